"""Stages mid and sft: from a model that continues text to one that answers in the chat format.

Mid trains on every token of the conversations: it teaches the format, the questions and the tool. SFT trains on
what the assistant says alone, under the loss mask.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import torch
from torch import Tensor

from reference.data.packing import pack
from reference.data.primer.curriculum import conversations
from reference.model import GPT
from reference.optim import MuonAdamW, Rates
from reference.stages.outcome import answers, finish
from reference.stages.session import Session
from reference.stages.training import Plan, linear_warmdown, train
from reference.tasks.task import Conversation

BEFORE = {"mid": "base", "sft": "mid"}
FIRST_DOCUMENT = {
    "mid": 1_000_000,
    "sft": 2_000_000,
}  # of the base text mixed in: beyond what base training read
QUESTIONS = ("What is the capital of France?", "Who are you?", "What is 12 plus 30?", "Spell the word lemon.")


def train_stage(session: Session, stage: str) -> None:
    """Train the model of the stage before on packed conversations, mixed with base documents."""
    preset = session.preset
    plan = preset.mid if stage == "mid" else preset.sft
    model = session.trained_model(BEFORE[stage])
    optimizer = MuonAdamW(model, session.parts, Rates().scaled(plan.rate, plan.rate, plan.rate))
    ids, mask = rows(session, stage)

    def gradients(step: int) -> dict[str, float]:
        batch = slice(step * preset.batch_rows, (step + 1) * preset.batch_rows)
        loss = supervised_loss(session, model, ids[batch], mask[batch])
        loss.backward()
        return {"loss": loss.item(), "tokens": ids[batch].numel()}

    before = answers(session, model, QUESTIONS)
    schedule = linear_warmdown(plan.steps, 1.0)
    train(session, model, optimizer, Plan(stage, plan.steps, gradients, schedule, lambda step: 0.95))
    losses = [line["loss"] for line in session.run.metrics(stage)]
    finish(
        session,
        stage,
        model,
        zip(QUESTIONS, before, answers(session, model, QUESTIONS), strict=True),
        f"loss {sum(losses[:5]) / len(losses[:5]):.2f} -> {sum(losses[-5:]) / len(losses[-5:]):.2f}",
        tokens=ids.numel(),
        supervised_tokens=int(mask.sum()),
    )


def supervised_loss(session: Session, model: GPT, ids: Tensor, mask: Tensor) -> Tensor:
    """The mean cross-entropy of the tokens under the mask; ids and mask (B, T+1)."""
    ids, mask = ids.to(session.device), mask.to(session.device)
    return session.parts.loss_mask.masked_cross_entropy(model(ids[:, :-1]), ids[:, 1:], mask[:, 1:])


def rows(session: Session, stage: str) -> tuple[Tensor, Tensor]:
    """All rows of the stage in training order: ids int64 and mask bool, (steps * B, T+1) each."""
    preset, seed = session.preset, session.seed
    plan = preset.mid if stage == "mid" else preset.sft
    needed = plan.steps * preset.batch_rows
    base_rows = round(plan.base_share * needed)
    endless = conversations(stage, seed, plan.two_step_examples)
    chat_ids, chat_mask = chat_rows(session, endless, needed - base_rows, every_token=stage == "mid")
    base_ids = base_text_rows(session, FIRST_DOCUMENT[stage], base_rows)
    ids = torch.cat([chat_ids, base_ids])
    mask = torch.cat([chat_mask, torch.ones_like(base_ids, dtype=torch.bool)])  # rows of base text have no padding
    order = torch.tensor(Random(f"{stage} order {seed}").sample(range(needed), needed))
    return ids[order], mask[order]


def chat_rows(
    session: Session, endless: Iterator[Conversation], count: int, every_token: bool = False
) -> tuple[Tensor, Tensor]:
    """`count` packed rows of conversations, ids and mask (count, T+1).

    The mask is 1 on what the assistant says, or on every token but padding.
    """
    T = session.preset.sequence_len
    rendered: list[tuple[list[int], list[int]]] = []
    tokens = 0
    while tokens < count * (T + 1):
        ids, said = session.tokenizer.render(next(endless), session.parts)
        rendered.append((ids, [1] * len(ids) if every_token else said))
        tokens += min(len(ids), T + 1)  # packing cuts the rest off
    packed, mask = pack(rendered, T, session.tokenizer.special["assistant_end"])
    return packed[:count], mask[:count]


def base_text_rows(session: Session, first: int, count: int) -> Tensor:
    """`count` rows (count, T+1) of base text, document after document, from number `first` on."""
    width, tokenizer = session.preset.sequence_len + 1, session.tokenizer
    documents = session.source.stream("train", start=first)
    flat: list[int] = []
    while len(flat) < count * width:
        flat += [tokenizer.special["bos"], *tokenizer.encode(next(documents))]
    return torch.tensor(flat[: count * width], dtype=torch.int64).view(count, width)

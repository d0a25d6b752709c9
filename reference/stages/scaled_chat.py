"""Stages mid and sft at scale: on the mixtures of real data sets, of which no step holds more than its batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from reference.data.ahead import Ahead
from reference.data.chat_loader import ChatLoader
from reference.data.hub import Hub
from reference.errors import UserError
from reference.evaluate import bits_per_byte
from reference.model import GPT
from reference.optim import MuonAdamW, Rates
from reference.presets import ChatPlan
from reference.progress import say
from reference.stages.mixtures import Mixture, mid_mixture, mid_validation, sft_mixture
from reference.stages.outcome import answers, note
from reference.stages.session import Session
from reference.stages.training import Plan, linear_warmdown, momentum_warmup, train
from reference.tasks.conversations import read_conversations
from reference.tasks.identity import conversations as identity_conversations
from reference.tasks.identity import read_persona
from reference.tasks.task import Conversation

SFT_ROWS = 8  # of 2,048 tokens: about 32 conversations
LOGIT_ROWS = 4096  # of (V,) logits in float32 held at once
EVALUATIONS = 5
QUESTIONS = ("Why is the sky blue?", "Who are you?", "Spell the word lemon.", "What is 12 plus 30?")


def hub_of(session: Session) -> Hub:
    """Where the run's data sets are."""
    return Hub(Path(session.run.config["data"]))


def identity_of(session: Session) -> Sequence[Conversation]:
    """Who the model is: identity.jsonl beside the data, or what the project's persona says of itself."""
    file = Path(session.run.config["data"]) / "identity.jsonl"
    if file.exists():
        return read_conversations(file)
    return list(identity_conversations(read_persona(), 1000, session.seed))


def train_mid(session: Session) -> None:
    """Train the base model on every token of conversations, which follow one another without gaps."""
    missing = session.run.config["allow_missing"]
    learned = mid_mixture(hub_of(session), identity_of(session), missing)
    held_out = mid_validation(hub_of(session), missing)
    plan, rows = session.preset.mid, session.preset.batch_rows

    def loss(model: GPT, ids: Tensor, mask: Tensor) -> Tensor:
        return model.loss(ids[:, :-1], ids[:, 1:].contiguous())

    _train(session, "mid", "base", plan, rows, learned, held_out, loss, momentum_warmup)


def train_sft(session: Session) -> None:
    """Train the mid model on what the assistant says in whole conversations."""
    missing = session.run.config["allow_missing"]
    learned = sft_mixture(hub_of(session), identity_of(session), missing)
    held_out = mid_validation(hub_of(session), missing)  # the same as in mid, for comparison
    plan, W = session.preset.sft, session.world.size
    rows = -(-min(SFT_ROWS, session.preset.batch_rows) // W) * W  # more where there are more processes than rows

    def loss(model: GPT, ids: Tensor, mask: Tensor) -> Tensor:
        return masked_loss(session, model, ids, mask)

    _train(session, "sft", "mid", plan, rows, learned, held_out, loss, lambda step: 0.95)


def masked_loss(session: Session, model: GPT, ids: Tensor, mask: Tensor) -> Tensor:
    """The mean cross-entropy of the tokens under the mask; ids and mask (B, T+1). All logits are never held.

    The part sees LOGIT_ROWS tokens at a time; for the backward pass each portion of logits is made again.
    """
    hidden = model.trunk(ids[:, :-1]).flatten(0, 1)  # (B T, C)
    targets, learned = ids[:, 1:].flatten(), mask[:, 1:].flatten()

    def portion(h: Tensor, t: Tensor, m: Tensor) -> Tensor:
        return session.parts.loss_mask.masked_cross_entropy(model.logits(h)[None], t[None], m[None]) * m.sum()

    if len(hidden) <= LOGIT_ROWS:
        total = portion(hidden, targets, learned)
    else:
        portions = zip(hidden.split(LOGIT_ROWS), targets.split(LOGIT_ROWS), learned.split(LOGIT_ROWS), strict=True)
        total = torch.stack([checkpoint(portion, h, t, m, use_reentrant=False) for h, t, m in portions]).sum()
    return total / learned.sum().clamp(min=1)


def _train(
    session: Session,
    stage: str,
    start: str,
    plan: ChatPlan,
    rows: int,
    learned: Mixture,
    held_out: Mixture,
    loss_of: Callable[[GPT, Tensor, Tensor], Tensor],
    momentum: Callable[[int], float],
) -> None:
    world, preset = session.world, session.preset
    model = session.trained_model(start)
    optimizer = MuonAdamW(model, session.parts, Rates().scaled(plan.rate, plan.rate, plan.rate), world)
    at_once, times = session.micro_batches(rows)
    every = max(1, plan.steps // EVALUATIONS)
    token_bytes = session.tokenizer.token_bytes()
    say(session.console, f"{stage}  learns from {_words(learned)}")

    def loader(mixture: Mixture, position: dict | None = None) -> ChatLoader:
        return ChatLoader(
            mixture.conversations,
            session.tokenizer,
            session.parts,
            at_once,
            preset.sequence_len,
            stage == "mid",
            world.rank,
            world.size,
            position,
        )

    batches = Ahead(loader(learned), session.device, times)

    def gradients(step: int) -> dict[str, float | Tensor]:
        taken = batches.take()
        mine = torch.stack([mask[:, 1:].sum() for _, mask in taken]).tolist()
        (everywhere,) = world.sum(sum(mine))
        if not everywhere:
            raise UserError(
                f"No token of step {step} of the stage {stage} is to be learned: the mask of loss_mask.render is 0 "
                "everywhere, or conversations are cut off before the assistant speaks. If that part is yours, run its "
                "kata's tests; or else begin another run with longer rows, tok-train --tag NEW --set sequence_len=2048."
            )
        total = torch.zeros((), device=session.device)
        for (ids, mask), count in zip(taken, mine, strict=True):
            # every token weighs the same, in whichever micro-batch of whichever process it stands
            loss = loss_of(model, ids, mask) * (count * world.size / everywhere)
            loss.backward()
            total += loss.detach()
        batches.fetch()  # while the device computes
        return {"loss": total, "tokens": rows * preset.sequence_len}

    def evaluate(step: int) -> dict[str, float]:
        if preset.validation_updates <= 0 or (step % every and step != plan.steps):
            return {}
        validation = loader(held_out)
        batches = (validation.next_batch() for _ in range(preset.validation_updates * times))
        pairs = ((ids[:, :-1], ids[:, 1:].masked_fill(~mask[:, 1:], -1)) for ids, mask in batches)
        return {"bpb": bits_per_byte(model, pairs, token_bytes, world)}

    def seek(position: dict) -> None:
        nonlocal batches
        if (before := position["sizes"]) != learned.sizes:
            raise UserError(
                f"The data sets have changed since the stage {stage} was begun: it read {_counts(before)}, and now "
                f"there are {_counts(learned.sizes)}; put back what it read, or begin the stage anew with --again."
            )
        batches = Ahead(loader(learned, position), session.device, times)

    def position() -> dict:
        return {**batches.position, "sizes": learned.sizes}

    said = answers(session, model, QUESTIONS) if world.is_main else []
    schedule = linear_warmdown(plan.steps, plan.warmdown)
    train(
        session,
        model,
        optimizer,
        Plan(stage, plan.steps, gradients, schedule, momentum, evaluate, seek, position, (at_once, times)),
    )
    if world.is_main:
        _note(session, stage, model, said, learned, tokens=plan.steps * rows * preset.sequence_len)


def _note(session: Session, stage: str, model: GPT, said: list[str], learned: Mixture, **facts: Any) -> None:
    bpb = [line["bpb"] for line in session.run.metrics(stage) if "bpb" in line]
    facts |= {"sizes": learned.sizes, "missing": list(learned.missing)}
    facts |= {"bpb_before": bpb[0], "bpb_after": bpb[-1]} if bpb else {}
    note(session, stage, zip(QUESTIONS, said, answers(session, model, QUESTIONS), strict=True), **facts)
    if bpb:
        say(session.console, f"{stage}  bits per byte on held-out conversations {bpb[0]:.3f} -> {bpb[-1]:.3f}")


def _counts(sizes: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sizes.items())


def _words(mixture: Mixture) -> str:
    return _counts(mixture.sizes) + (f"; NOT there: {', '.join(mixture.missing)}" if mixture.missing else "")

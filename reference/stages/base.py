"""Stage base: pretraining, next-token prediction on plain text."""

from __future__ import annotations

import torch
from torch import Tensor

from reference.data.ahead import Ahead
from reference.data.loader import TokenLoader
from reference.engine import Sampling
from reference.evaluate import bits_per_byte, completion_text
from reference.model import GPT
from reference.optim import MuonAdamW, Rates
from reference.progress import say
from reference.sizes import flops_per_token, parameters
from reference.stages.outcome import finish, note
from reference.stages.session import Session
from reference.stages.training import Plan, linear_warmdown, momentum_warmup, train

PROMPTS = {
    "primer": ("The capital of France is", "The opposite of hot is", "The color of snow is", "After Friday comes"),
    "hub": (
        "The capital of France is",
        "The chemical symbol of gold is",
        "If yesterday was Friday, then tomorrow will be",
        "The opposite of hot is",
        "The planets of the solar system are:",
        "My favorite color is",
        "If 5*x + 3 = 13, then x is",
    ),
}


def train_stage(session: Session) -> None:
    """Train a new model on the run's source; loss and bits per byte go to metrics.jsonl."""
    preset, tokenizer, world = session.preset, session.tokenizer, session.world
    model = session.new_model()
    optimizer = MuonAdamW(model, session.parts, Rates(), world)
    steps = preset.base_steps
    evaluates = preset.base_evaluations > 0 and preset.validation_updates > 0
    every = max(1, steps // preset.base_evaluations) if evaluates else 1
    at_once, times = session.micro_batches(preset.batch_rows)
    token_bytes = tokenizer.token_bytes()

    def loader(split: str, position: dict | None = None) -> TokenLoader:
        shape = at_once, preset.sequence_len
        return TokenLoader(session.source, tokenizer, *shape, split, world.rank, world.size, position)

    batches = Ahead(loader("train"), session.device)

    def gradients(step: int) -> dict[str, float | Tensor]:
        total = torch.zeros((), device=session.device)
        for _ in range(times):
            ((ids, targets),) = batches.take()
            loss = model.loss(ids, targets) / times
            loss.backward()
            batches.fetch()  # while the device computes
            total += loss.detach()
        return {"loss": total, "tokens": preset.batch_rows * preset.sequence_len}

    def evaluate(step: int) -> dict[str, float]:
        if not evaluates or (step % every and step != steps):
            return {}
        validation = loader("val")
        held_out = (validation.next_batch() for _ in range(preset.validation_updates * times))
        return {"bpb": bits_per_byte(model, held_out, token_bytes, world)}

    def seek(position: dict) -> None:
        nonlocal batches
        batches = Ahead(loader("train", position), session.device)

    before = continuations(session, model) if world.is_main else []
    train(
        session,
        model,
        optimizer,
        Plan(
            "base",
            steps,
            gradients,
            linear_warmdown(steps, preset.base_warmdown),
            momentum_warmup,
            evaluate,
            seek,
            lambda: batches.position,
            (at_once, times),
        ),
    )
    if world.is_main:
        _finish(session, model, before)


def _finish(session: Session, model: GPT, before: list[str]) -> None:
    preset = session.preset
    bpb = [line["bpb"] for line in session.run.metrics("base") if "bpb" in line]
    samples = zip(PROMPTS[preset.curriculum], before, continuations(session, model), strict=True)
    change = {"bpb_before": bpb[0], "bpb_after": bpb[-1]} if bpb else {}
    headline = f"bits per byte on held-out text {bpb[0]:.2f} -> {bpb[-1]:.3f}" if bpb else "trained without evaluation"
    facts = {
        "tokens": preset.base_steps * preset.batch_rows * preset.sequence_len,
        "parameters": parameters(model.config),
        "flops_per_token": flops_per_token(model.config),
        **change,
    }
    if preset.curriculum == "primer":
        finish(session, "base", model, samples, headline, **facts)
    else:
        note(session, "base", samples, **facts)
        say(session.console, f"base  {headline}")


def continuations(session: Session, model: GPT) -> list[str]:
    """How the model goes on from each of its PROMPTS, greedily."""
    tokenizer = session.tokenizer
    prompts = [[tokenizer.special["bos"], *tokenizer.encode(prompt)] for prompt in PROMPTS[session.preset.curriculum]]
    completions = session.engine(model).complete(prompts, Sampling(max_tokens=12))
    return [completion_text(tokenizer, completion) for (completion,) in completions]

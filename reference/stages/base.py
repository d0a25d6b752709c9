"""Stage base: pretraining, next-token prediction on plain text."""

from __future__ import annotations

from reference.data.loader import TokenLoader
from reference.engine import Sampling
from reference.evaluate import bits_per_byte, completion_text
from reference.model import GPT
from reference.optim import MuonAdamW, Rates
from reference.stages.outcome import finish
from reference.stages.session import Session
from reference.stages.training import Plan, linear_warmdown, momentum_warmup, train

EVALUATIONS = 4  # of the bits per byte, spread over the stage, and one at its end
VALIDATION_BATCHES = 4
PROMPTS = ("The capital of France is", "The opposite of hot is", "The color of snow is", "After Friday comes")


def train_stage(session: Session) -> None:
    """Train a new model on the run's source; loss and bits per byte go to metrics.jsonl."""
    preset, tokenizer = session.preset, session.tokenizer
    model = session.new_model()
    optimizer = MuonAdamW(model, session.parts, Rates())
    steps, shape = preset.base_steps, (preset.batch_rows, preset.sequence_len)
    every = max(1, steps // EVALUATIONS)
    token_bytes = tokenizer.token_bytes()
    loader = TokenLoader(session.source, tokenizer, *shape)

    def seek(position: dict) -> None:
        nonlocal loader
        loader = TokenLoader(session.source, tokenizer, *shape, position=position)

    def gradients(step: int) -> dict[str, float]:
        inputs, targets = (t.to(session.device) for t in loader.next_batch())
        loss = model.loss(inputs, targets)
        loss.backward()
        return {"loss": loss.item(), "tokens": targets.numel()}

    def evaluate(step: int) -> dict[str, float]:
        if step % every and step != steps:
            return {}
        validation = TokenLoader(session.source, tokenizer, *shape, split="val")
        return {"bpb": bits_per_byte(model, (validation.next_batch() for _ in range(VALIDATION_BATCHES)), token_bytes)}

    before = continuations(session, model)
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
            lambda: loader.position,
        ),
    )
    bpb = [line["bpb"] for line in session.run.metrics("base") if "bpb" in line]
    finish(
        session,
        "base",
        model,
        zip(PROMPTS, before, continuations(session, model), strict=True),
        f"bits per byte on held-out text {bpb[0]:.2f} -> {bpb[-1]:.3f}",
        tokens=steps * shape[0] * shape[1],
        parameters=sum(p.numel() for p in model.parameters()),
        bpb_before=bpb[0],
        bpb_after=bpb[-1],
    )


def continuations(session: Session, model: GPT) -> list[str]:
    """How the model goes on from each of PROMPTS, greedily."""
    tokenizer = session.tokenizer
    prompts = [[tokenizer.special["bos"], *tokenizer.encode(prompt)] for prompt in PROMPTS]
    completions = session.engine(model).complete(prompts, Sampling(max_tokens=12))
    return [completion_text(tokenizer, completion) for (completion,) in completions]

"""Proof of rmsnorm, rope, attention and muon: base training with the learner's part beside the reference's."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from dojo.curriculum import Kata
from dojo.proofs.outcome import Outcome, chart
from dojo.stack import learner_part
from reference.data.loader import TokenLoader
from reference.data.primer.source import PrimerDocuments
from reference.model import GPT
from reference.optim import MuonAdamW, Rates
from reference.parts import Parts
from reference.parts.provenance import counted
from reference.presets import D4, Preset
from reference.progress import StageProgress
from reference.shipped import shipped_tokenizer
from reference.stages.training import momentum_warmup

PRESET = replace(D4, sequence_len=128, batch_rows=8, base_steps=40)
# Two honest versions of a part differ in the last bit of a sum, and training makes that larger with every update.
TOLERANCE = 0.02  # nats


def sgd_step(weight: Tensor, grad: Tensor, buffer: Tensor, *, lr: float, momentum: float = 0.95) -> tuple:
    return weight - lr * grad, buffer


# The stack without the part: what is left when its idea is taken away, and how that is called.
WITHOUT: dict[str, tuple[str, dict[str, Any]]] = {
    "rmsnorm": ("no normalization", {"rms_norm": lambda x, eps: x * 1.0}),
    "rope": ("no positions", {"apply_rotary": lambda x, cos, sin: x * 1.0}),
    "attention": ("tokens that see only themselves", {"causal_attention": lambda q, k, v: v * 1.0}),
    "muon": ("plain gradient descent", {"muon_step": sgd_step}),
}


class Racer:
    """One model in training; several of them see the same batches."""

    def __init__(self, parts: Parts, preset: Preset) -> None:
        self.parts, self.calls = counted(parts)
        tokenizer = shipped_tokenizer()
        self.model = GPT(preset.model_config(tokenizer.vocab_size), self.parts)
        self.model.init_weights(seed=0)
        self.optimizer = MuonAdamW(self.model, self.parts, Rates())
        self.losses: list[float] = []
        self.seconds: list[float] = []

    def step(self, inputs: Tensor, targets: Tensor) -> None:
        begun = time.perf_counter()
        loss = self.model.loss(inputs, targets)
        loss.backward()
        self.optimizer.step(1.0, momentum_warmup(len(self.losses)))
        self.seconds.append(time.perf_counter() - begun)
        self.losses.append(loss.item())


def race(racers: list[Racer], preset: Preset, name: str, console: Console) -> None:
    """Every racer makes its update on every batch, in turns, so that what else the computer does hits all alike."""
    steps = preset.base_steps
    loader = TokenLoader(PrimerDocuments(0), shipped_tokenizer(), preset.batch_rows, preset.sequence_len)
    with StageProgress(name, steps, 0, console) as bar:
        for step in range(steps):
            batch = loader.next_batch()
            for racer in racers:
                racer.step(*batch)
            bar.update(step + 1, loss=racers[0].losses[-1])


def prove(kata: Kata, console: Console, preset: Preset = PRESET) -> Outcome:
    """Train three models: with the learner's part, with the reference's, and without its idea."""
    name, members = WITHOUT[kata.name]
    original = getattr(Parts(), kata.name)
    without = SimpleNamespace(**{**vars(original), **members})
    yours, reference, bare = racers = [
        Racer(Parts(**{kata.name: learner_part(kata)}), preset),
        Racer(Parts(), preset),
        Racer(Parts(**{kata.name: without}), preset),
    ]
    race(racers, preset, kata.name, console)
    console.print(
        chart("loss of base training", {"yours": yours.losses, "the reference's": reference.losses, name: bare.losses})
    )
    return verdict(kata, yours, reference, bare, name)


def verdict(kata: Kata, yours: Racer, reference: Racer, bare: Racer, name: str) -> Outcome:
    # at step 1 the projections back into the stream are zero, so that the first loss does not know any part
    differences = [abs(a - b) for a, b in zip(yours.losses[1:], reference.losses[1:], strict=True)]
    holds = max(differences) <= TOLERANCE
    ratio = torch.tensor([a / b for a, b in zip(yours.seconds[2:], reference.seconds[2:], strict=True)]).median().item()
    sentence = (
        f"with your {kata.name} the loss after {len(yours.losses)} steps is {yours.losses[-1]:.2f}; "
        f"with {name} it is {bare.losses[-1]:.2f}"
    )
    lines = [
        f"largest difference to the reference's losses: {max(differences):.1e} "
        f"({'the same, but for rounding' if holds else f'more than rounding, which stays below {TOLERANCE}'})",
        f"calls of your code: {yours.calls[kata.name]:,}; a step with it takes {ratio:.2f} times as long as with the "
        "reference's",
    ]
    return Outcome(holds, lines, sentence)

"""Proof of grpo: reinforcement learning with the learner's part, each call checked by the reference's."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from types import SimpleNamespace

import torch
from rich.console import Console
from torch import Tensor

from dojo.curriculum import Kata
from dojo.proofs.outcome import Outcome, chart
from dojo.proofs.session import proof_session
from dojo.stack import learner_part
from reference.engine import Sampling
from reference.optim import MuonAdamW, Rates
from reference.parts import Parts
from reference.parts.provenance import counted
from reference.presets import D4, Preset
from reference.progress import StageProgress
from reference.shipped import shipped_model
from reference.stages.rl import choose, policy_gradient, practice, rewards_of

PRESET = replace(D4, rl=replace(D4.rl, steps=16))
TOLERANCE = 1e-4  # of the largest value: sums over a thousand tokens in another order


class Checked:
    """The learner's part, every result of which is held against the reference's on the same arguments."""

    def __init__(self, part: SimpleNamespace) -> None:
        self.part, self.answer = part, Parts().grpo
        self.__file__ = part.__file__
        self.difference = 0.0
        self.losses: list[tuple[float, float]] = []

    def advantages(self, rewards: Tensor) -> Tensor:
        yours = self.part.advantages(rewards)
        self._compare(yours, self.answer.advantages(rewards))
        return yours

    def policy_loss(self, logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
        yours = self.part.policy_loss(logprobs, advantages, mask)
        (gradient,) = torch.autograd.grad(yours, logprobs, retain_graph=True)
        again = logprobs.detach().requires_grad_()
        reference = self.answer.policy_loss(again, advantages, mask)
        (expected,) = torch.autograd.grad(reference, again)
        self._compare(gradient, expected)
        self.losses.append((yours.item(), reference.item()))
        return yours

    def _compare(self, yours: Tensor, expected: Tensor) -> None:
        scale = expected.abs().max().clamp_min(1e-12)
        self.difference = max(self.difference, ((yours - expected).abs().max() / scale).item())


def prove(kata: Kata, console: Console, preset: Preset = PRESET) -> Outcome:
    """Let the shipped fine-tuned model practise word problems, and watch its reward."""
    checked = Checked(learner_part(kata))
    parts, calls = counted(Parts(grpo=checked))
    plan = preset.rl
    rewards_seen: list[float] = []
    with proof_session(parts, console, preset) as session, StageProgress(kata.name, plan.steps, 0, console) as bar:
        model = shipped_model("sft", parts)
        rates = Rates().scaled(plan.rates.matrix, plan.rates.embedding, plan.rates.head)
        optimizer = MuonAdamW(model, parts, rates)
        engine, problems = session.engine(model), practice(session)
        for step in range(plan.steps):
            chosen = choose(problems, plan.prompts, Random(f"proof {step}"))
            sampling = Sampling(plan.max_tokens, temperature=1.0, seed=step)
            completions = engine.complete([prompt for prompt, _ in chosen], sampling, plan.samples)
            rewards = rewards_of(session.tokenizer, [gold for _, gold in chosen], completions)  # (prompts, samples)
            rewards_seen.append(rewards.mean().item())
            advantages = parts.grpo.advantages(rewards)
            rows = [(prompt, c) for (prompt, _), group in zip(chosen, completions, strict=True) for c in group]
            policy_gradient(session, model, rows, advantages.flatten())
            optimizer.step(min(1.0, (step + 1) / plan.warmup))
            bar.update(step + 1, reward=rewards_seen[-1])
    console.print(chart("reward of the samples", {"with your policy loss": rewards_seen}))
    largest = max(abs(yours - reference) for yours, reference in checked.losses)
    first, last = rewards_seen[:4], rewards_seen[-4:]
    before, after = sum(first) / len(first), sum(last) / len(last)
    holds = checked.difference <= TOLERANCE
    return Outcome(
        holds,
        lines=[
            f"on the same samples your losses differ from the reference's by at most {largest:.1e}, your gradients by "
            f"{checked.difference:.1e} of the largest ({'rounding' if holds else 'more than rounding'})",
            f"calls of your code: {calls['grpo']:,}",
        ],
        sentence=f"your policy loss moved the reward from {before:.2f} to {after:.2f} in {plan.steps} steps",
    )

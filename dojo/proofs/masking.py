"""Proof of loss_mask: supervised fine-tuning with the learner's rendering and loss beside the reference's."""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import median

from rich.console import Console

from dojo.curriculum import Kata
from dojo.proofs.outcome import Outcome, chart
from dojo.proofs.session import proof_session
from dojo.proofs.training import TOLERANCE
from dojo.stack import learner_part
from reference.optim import MuonAdamW, Rates
from reference.parts import Parts
from reference.parts.provenance import counted
from reference.presets import D4, Preset
from reference.progress import StageProgress
from reference.shipped import shipped_model, shipped_tokenizer
from reference.stages.chat import rows, supervised_loss
from reference.stages.session import Session
from reference.tokenizer import Tokenizer

PRESET = replace(D4, batch_rows=8, sft=replace(D4.sft, steps=24))


class Racer:
    """The shipped mid model in fine-tuning."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.plan, self.rows = session.preset.sft, session.preset.batch_rows
        self.model = shipped_model("mid", session.parts)
        self.optimizer = MuonAdamW(self.model, session.parts, Rates().scaled(*[self.plan.rate] * 3))
        self.ids, self.mask = rows(session, "sft")
        self.losses: list[float] = []
        self.seconds: list[float] = []

    def step(self) -> None:
        begun, step = time.perf_counter(), len(self.losses)
        batch = slice(step * self.rows, (step + 1) * self.rows)
        loss = supervised_loss(self.session, self.model, self.ids[batch], self.mask[batch])
        loss.backward()
        self.optimizer.step(1 - step / self.plan.steps)
        self.seconds.append(time.perf_counter() - begun)
        self.losses.append(loss.item())


def prove(kata: Kata, console: Console, preset: Preset = PRESET) -> Outcome:
    """Fine-tune twice on the same conversations, and show what the mask hid."""
    steps = preset.sft.steps
    parts, calls = counted(Parts(loss_mask=learner_part(kata)))
    with (
        proof_session(parts, console, preset) as session,
        proof_session(Parts(), console, preset) as reference_session,
        StageProgress(kata.name, steps, 0, console) as bar,
    ):
        yours, reference = Racer(session), Racer(reference_session)
        for step in range(steps):
            yours.step()
            reference.step()
            bar.update(step + 1, loss=yours.losses[-1])
    same_rows = yours.ids.equal(reference.ids) and yours.mask.equal(reference.mask)
    difference = max(abs(a - b) for a, b in zip(yours.losses, reference.losses, strict=True))
    console.print(chart("loss of fine-tuning", {"yours": yours.losses, "the reference's": reference.losses}))
    chat = next((i for i, row in enumerate(yours.mask) if not row.all()), 0)  # the others are plain text
    share = yours.mask.float().mean().item()
    ratio = median(a / b for a, b in zip(yours.seconds, reference.seconds, strict=True))
    return Outcome(
        holds=same_rows and difference <= TOLERANCE,
        lines=[
            "one conversation, what the model learns to say in [brackets]:",
            f"  {_bracketed(shipped_tokenizer(), yours.ids[chat].tolist(), yours.mask[chat].tolist())}",
            f"your rows and masks are {'the same as' if same_rows else 'NOT those of'} the reference; largest "
            f"difference to its losses: {difference:.1e}",
            f"calls of your code: {calls['loss_mask']:,}; a step takes {ratio:.2f} times as long as "
            "with the reference's",
        ],
        sentence=f"of the tokens in a batch your mask leaves {share:.0%} to learn from; loss on them "
        f"{sum(yours.losses[:3]) / 3:.2f} -> {sum(yours.losses[-3:]) / 3:.2f} in {steps} steps",
    )


def _bracketed(tokenizer: Tokenizer, ids: list[int], mask: list[int], tokens: int = 60) -> str:
    text, inside = "", False
    for token, learned in zip(ids[:tokens], mask[:tokens], strict=True):
        if bool(learned) != inside:
            text += "[" if learned else "]"
            inside = bool(learned)
        text += tokenizer.decode([token])
    return text + ("]" if inside else "")

"""The loop that base, mid, sft and rl share: update, log, checkpoint, go on exactly where a killed process stopped."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from reference.blame import first_not_finite
from reference.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from reference.errors import UserError
from reference.model import GPT
from reference.optim import MuonAdamW
from reference.progress import StageProgress
from reference.sizes import mfu
from reference.stages.session import Session, config_of

# what computes the loss of a stage, where it is a part
LOSSES = {
    "primer": {"mid": "the part loss_mask", "sft": "the part loss_mask", "rl": "the parts grpo and loss_mask"},
    "hub": {"sft": "the part loss_mask", "rl": "the part grpo"},
}


class Interrupted(Exception):
    """Training stopped at the user's wish, and its checkpoint is written."""


@dataclass(frozen=True)
class Plan:
    """What distinguishes one stage's training from another's.

    Attributes:
        stage: its name.
        steps: number of updates.
        gradients: step -> what to log of it, such as {"loss": 2.3, "tokens": 4096}; leaves .grad on every parameter, or
            on none: then no update is made. In a world of several processes, the same names in each, whose values are
            averaged, and .grad in all or in none.
        lr_scale: step -> the factor on all learning rates.
        momentum: step -> Muon's momentum.
        evaluate: step -> more to be logged, such as {"bpb": 0.4}; empty on most steps. Also called at step == steps.
        seek: called once with the state of a checkpoint, before the first step after it.
        position: what `seek` needs, JSON.
        rows: that this device takes at a time, and how many times an update; (0, 0) where they have no one length.
    """

    stage: str
    steps: int
    gradients: Callable[[int], Mapping[str, float | Tensor]]
    lr_scale: Callable[[int], float]
    momentum: Callable[[int], float]
    evaluate: Callable[[int], dict[str, float]] = lambda step: {}
    seek: Callable[[dict], None] = lambda position: None
    position: Callable[[], dict] = dict
    rows: tuple[int, int] = (0, 0)


def linear_warmdown(steps: int, share: float) -> Callable[[int], float]:
    """1 until the last `share` of the steps, then linear to 0."""
    return lambda step: min(1.0, (steps - step) / max(1.0, share * steps))


def momentum_warmup(step: int) -> float:
    """Muon's momentum rises from 0.85 to 0.95 over 300 steps."""
    return 0.85 + 0.10 * min(step / 300, 1.0)


def train(session: Session, model: GPT, optimizer: MuonAdamW, plan: Plan) -> None:
    """Train `model` in place from the stage's last checkpoint, or from its start, to its end.

    Raises:
        Interrupted: on Ctrl-C, after the running step, with a checkpoint.
        UserError: the loss or a weight is not a number; no such weight gets into a checkpoint.
    """
    run, world = session.run, session.world
    step = _resume(session, model, optimizer, plan)
    saved, lines = time.monotonic(), 100 if session.on_gpu or session.preset.curriculum == "hub" else 10
    with (
        StageProgress(plan.stage, plan.steps, step, session.console, lines) as bar,
        _ctrl_c(once=world.size > 1) as interrupted,
        _memory_suffices(session, plan),
    ):
        while step < plan.steps:
            begun = time.monotonic()
            with _told_when(plan.stage, step):
                measured = {**plan.evaluate(step), **plan.gradients(step)}
            facts = world.mean({name: float(value) for name, value in measured.items()})
            _check_finite(session, plan.stage, step, facts, model)
            if any(p.grad is not None for p in model.parameters()):
                optimizer.step(plan.lr_scale(step), plan.momentum(step))
            shown = {"lr_scale": plan.lr_scale(step)} | _speed(session, model, facts, time.monotonic() - begun)
            run.log(plan.stage, step, **facts, **shown)
            session.tracker.log(plan.stage, step, facts | shown)
            step += 1
            bar.update(step, loss=facts.get("loss"), reward=facts.get("reward"), **shown)
            due = world.is_main and time.monotonic() - saved >= session.checkpoint_seconds
            stop, save = world.sum(interrupted.is_set(), due)  # one process that wants to is enough
            if stop:
                _save(session, model, optimizer, plan, step)
                raise Interrupted(f"Stopped in {plan.stage} after step {step} of {plan.steps}")
            if save and step < plan.steps:
                _save(session, model, optimizer, plan, step)
                saved = time.monotonic()
    if facts := plan.evaluate(plan.steps):
        _check_finite(session, plan.stage, plan.steps, facts, model)
        run.log(plan.stage, plan.steps, **facts)
        session.tracker.log(plan.stage, plan.steps, facts)
    _save(session, model, optimizer, plan, step)


def _speed(session: Session, model: GPT, facts: dict[str, float], seconds: float) -> dict[str, float]:
    """Of this step, {"tokens_per_second", on GPUs also "mfu"}; empty where no tokens are counted."""
    if "tokens" not in facts:
        return {}
    rate = facts["tokens"] / seconds
    utilization = {"mfu": mfu(model.config, rate, session.world.size)} if session.on_gpu else {}
    return {"tokens_per_second": rate, **utilization}


def _resume(session: Session, model: GPT, optimizer: MuonAdamW, plan: Plan) -> int:
    """Take up the stage's last checkpoint, if there is one; the number of steps that are done."""
    step = 0
    checkpoint = latest_checkpoint(session.run.stage_dir(plan.stage))
    if checkpoint is not None:
        tensors, state = load_checkpoint(checkpoint)
        if len(state["positions"]) != session.world.size:
            raise UserError(
                f"The stage {plan.stage} of {session.run.path} stopped in the middle with {len(state['positions'])} "
                f"processes, each at its place in the data, and goes on with as many, not with {session.world.size}; "
                f"or begin the stage anew with {session.anew(plan.stage)}."
            )
        model.load_state_dict(tensors["model"])
        optimizer.load_state(tensors["optimizer"])
        plan.seek(state["positions"][session.world.rank])
        session.ledger.resume(state["cost"])
        step = state["step"]
    session.run.rewind_log(plan.stage, step)
    return step


def _save(session: Session, model: GPT, optimizer: MuonAdamW, plan: Plan, step: int) -> None:
    _check_finite(
        session, plan.stage, step, {"the sum of all weights": sum(p.sum().item() for p in model.parameters())}, model
    )
    positions, moments = session.world.gather(plan.position()), optimizer.state()
    if session.world.is_main:  # one process writes for all, so that a checkpoint is there whole or not at all
        state = {"step": step, "config": config_of(model), "positions": positions, "cost": session.ledger.cost()}
        tensors = {"model": model.state_dict(), "optimizer": moments}
        save_checkpoint(session.run.stage_dir(plan.stage), step, tensors, state)


def _check_finite(session: Session, stage: str, step: int, facts: Mapping[str, float], model: GPT) -> None:
    if wrong := [f"{name} is {value}" for name, value in facts.items() if not math.isfinite(value)]:
        where = first_not_finite(model, LOSSES[session.preset.curriculum].get(stage, "the loss"))
        raise UserError(
            f"The {stage} stage has failed at step {step}: {', '.join(wrong)}; {where}. If a part is yours, run its "
            "kata's tests; otherwise try smaller learning rates."
        )


@contextmanager
def _memory_suffices(session: Session, plan: Plan) -> Iterator[None]:
    """When a device's memory is full, a sentence says which value to halve."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"The memory of {session.device} is full in the stage {plan.stage}{_less(session, plan)}."
        ) from error


def _less(session: Session, plan: Plan) -> str:
    """With how much it is full, and what would take less."""
    preset, (rows, times) = session.preset, plan.rows
    begin = (
        "begin another run: --tag NEW" if preset.curriculum == "primer" else "begin another run: tok-train --tag NEW"
    )
    if rows > 1:
        fewer = max(n for n in range(1, rows // 2 + 1) if rows * times % n == 0)
        way = f"run the same command again with --device-batch {fewer}, the same training in smaller portions"
        return f" with {rows} rows of {preset.sequence_len:,} tokens at a time; {way}"
    if rows == 1:
        way = f"{begin} --set sequence_len={preset.sequence_len // 2}, or a smaller depth"
        return f" with one row of {preset.sequence_len:,} tokens; {way}"
    if plan.stage == "rl":
        return f"; use more GPUs, which share its problems, or {begin} --set rl.max_tokens={preset.rl.max_tokens // 2}"
    return f"; {begin} --set batch_rows={preset.batch_rows // 2}"


@contextmanager
def _told_when(stage: str, step: int) -> Iterator[None]:
    """What a model says that is asked in training, of the step too."""
    try:
        yield
    except UserError as error:
        if isinstance(error.__cause__, FloatingPointError):
            raise UserError(f"The {stage} stage has failed at step {step}. {error}") from error
        raise


@contextmanager
def _ctrl_c(once: bool) -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event, so that no update is left half made; a second one stops at once.

    With `once` a second one does nothing: torchrun passes on what the terminal has sent to every process anyway.
    """
    event = threading.Event()

    def handle(number: int, frame: object) -> None:
        if event.is_set() and not once:
            raise KeyboardInterrupt
        event.set()

    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.signal(signal.SIGINT, handle)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)

"""The whole way: from a preset to a chat model and its report, stage by stage, skipping what is complete."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from reference.compute import compute_device, describe_machine, fastest_dtype, keep_freed_memory, peak_rss_gib
from reference.data.documents import DocumentSource, open_source
from reference.data.primer.source import PrimerDocuments
from reference.errors import UserError
from reference.parts import PART_NAMES, Parts
from reference.parts.provenance import counted, provenance
from reference.presets import Preset
from reference.progress import say
from reference.report import write_report
from reference.run import Run
from reference.shipped import fits, install
from reference.stages import base, chat, rl, tokenizer
from reference.stages.session import Ledger, Session
from reference.stages.training import Interrupted

TRAIN: dict[str, Callable[[Session], None]] = {
    "tokenizer": tokenizer.train_stage,
    "base": base.train_stage,
    "mid": lambda session: chat.train_stage(session, "mid"),
    "sft": lambda session: chat.train_stage(session, "sft"),
    "rl": rl.train_stage,
}


@dataclass(frozen=True)
class Order:
    """What is asked for: the run `tag` under `root`, from stage `start` anew, or from where it stopped."""

    root: Path
    tag: str
    preset: Preset
    seed: int
    data: str
    start: str | None = None


def make_run(
    order: Order, parts: Parts, console: Console, device: str = "auto", checkpoint_seconds: float = 20.0
) -> Run:
    """Train every stage that is not complete, and write the report.

    Args:
        order: which run, and what it is to become.
        parts: whose code it is built from.
        console: where its progress is shown.
        device: where to compute: "auto" takes the best there is.
        checkpoint_seconds: a checkpoint is written when the last one is so old, and at the end of a stage.

    Raises:
        UserError: the order cannot be carried out.
        Interrupted: on Ctrl-C; the same order, without its `start`, goes on from there.
    """
    source = PrimerDocuments(order.seed) if order.data == "primer" else open_source(order.data)
    keep_freed_memory()
    run = _open_or_create(order, source, compute_device(device))
    with run.lock():
        _check_same_order(run, order, source)
        if order.start is not None:
            _start_at(run, order, console)
        code = provenance(parts)
        run.update(parts=_parts(run, code))
        counted_parts, calls = counted(parts)
        session = Session(
            run,
            order.preset,
            counted_parts,
            Ledger(calls, code),
            source,
            console,
            getattr(torch, run.config["machine"]["compute_dtype"]),
            compute_device(device),
            checkpoint_seconds,
        )
        _say_what_starts(run, code, console)
        with _saying_how_to_go_on(order):
            _train_what_is_missing(session, calls, code)
            report = write_report(run, began=time.monotonic())
            run.mark_complete("report", seconds=report["stages"]["report"]["seconds"])
        say(console, f"report  {run.path / 'report.md'}  ({report['total_seconds']:.0f} s in all)")
    return run


def _train_what_is_missing(session: Session, calls: dict[str, int], code: dict[str, dict[str, str]]) -> None:
    run = session.run
    for stage, train_stage in TRAIN.items():
        if run.is_complete(stage):
            say(session.console, f"{stage}  complete already, skipped")
        else:
            train_stage(replace(session, ledger=Ledger(calls, code)))
        # also after a stage that is skipped: the process that completed it may have been killed before this line
        run.update(peak_rss_gib=max(peak_rss_gib(), run.config.get("peak_rss_gib", 0.0)), parts=_parts(run, code))


@contextmanager
def _saying_how_to_go_on(order: Order) -> Iterator[None]:
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as stop:
        again = "the same command without --from" if order.start else "the same command"
        raise Interrupted(f"{str(stop) or 'Stopped'}; {again} goes on from there.") from None


def _open_or_create(order: Order, source: DocumentSource, device: torch.device) -> Run:
    if order.tag in {file.parent.name for file in order.root.glob("*/run.json")}:
        return Run.open(order.root, order.tag)
    if order.start not in (None, "tokenizer") and not fits(order.preset, order.data):
        raise UserError(
            f"There is no run {order.tag!r} in {order.root} to start at {order.start}, and checkpoints/ holds another "
            "kind of model; leave --from out, or name a run with --tag."
        )
    dtype = str(fastest_dtype(device)).removeprefix("torch.")
    return Run.create(
        order.root,
        order.tag,
        {
            **_identity(order, source),
            "machine": {**describe_machine(device), "compute_dtype": dtype},
            "versions": {name: version(name) for name in ("torch", "tiktoken", "rustbpe", "numpy")},
        },
    )


def _identity(order: Order, source: DocumentSource) -> dict[str, Any]:
    """What must not change between the processes that work on one run."""
    return {
        "preset": order.preset.name,
        "seed": order.seed,
        "data": order.data,
        "settings": asdict(order.preset),
        "source": source.fingerprint,
    }


def _check_same_order(run: Run, order: Order, source: DocumentSource) -> None:
    words = {"data": "other data", "settings": "other settings", "source": "other text in its data"}
    for key, value in _identity(order, source).items():
        if run.config.get(key) != value:
            raise UserError(
                f"The run {run.path} was begun with {words.get(key, f'another {key}')}; repeat the command that began "
                "it, or begin another run with --tag NEW."
            )


def _start_at(run: Run, order: Order, console: Console) -> None:
    names, start = list(TRAIN), order.start
    if start not in names:
        raise UserError(f"There is no stage {start!r} to start at; the stages are {', '.join(names)}.")
    missing = [stage for stage in names[: names.index(start)] if not run.is_complete(stage)]
    if missing and (missing[0] != names[0] or not fits(order.preset, order.data)):
        raise UserError(f"The run {run.path} cannot start at {start}: its stage {missing[0]} is not complete.")
    run.forget([*missing, *names[names.index(start) :], "report"])
    for stage in missing:
        install(run, stage)
        say(console, f"{stage}  taken from checkpoints/")


def _parts(run: Run, code: dict[str, dict[str, str]]) -> dict[str, dict[str, Any]]:
    """`parts` of run.json, see report.py; where no stage has used a part yet, what this process has of it."""
    parts = {}
    for part in PART_NAMES:
        ran = [
            {"stage": stage, **version}
            for stage in TRAIN
            for version in run.config["stages"].get(stage, {}).get("code", {}).get(part, [])
        ]
        latest = {key: (ran or [code[part]])[-1][key] for key in ("whose", "file", "sha256")}
        parts[part] = {**latest, "calls": sum(version["calls"] for version in ran), "stages": ran}
    return parts


def _say_what_starts(run: Run, code: dict[str, dict[str, str]], console: Console) -> None:
    config = run.config
    learner = [part for part, facts in code.items() if facts["whose"] == "learner"]
    whose = (
        f"yours: {', '.join(learner)}; the others are the reference's" if learner else "all nine are the reference's"
    )
    machine = config["machine"]
    say(console, f"run  {run.path}, preset {config['preset']}, seed {config['seed']}, text: {config['data']}")
    say(
        console,
        f"run  on {machine['cpu']}, {machine['threads']} threads, {machine['device']} in {machine['compute_dtype']}",
    )
    say(console, f"run  parts: {whose}")

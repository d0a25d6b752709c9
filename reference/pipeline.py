"""The whole way: from a preset to a chat model and its report, stage by stage, skipping what is complete."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from reference.compiled import IN_BLOCKS
from reference.compute import (
    check_compiler,
    compute_device,
    describe_machine,
    keep_freed_memory,
    number_format,
    peak_gpu_gib,
    peak_rss_gib,
    python_headers,
    set_up_gpu,
)
from reference.data.documents import DocumentSource, open_source
from reference.data.primer.source import PrimerDocuments
from reference.distributed import ALONE, World
from reference.errors import UserError
from reference.memory import micro_batches, rows_per_device
from reference.parts import PART_NAMES, Parts
from reference.parts.provenance import counted, provenance
from reference.presets import Preset
from reference.progress import say
from reference.report import write_report
from reference.run import Run
from reference.shipped import fits, install
from reference.stages import base, chat, rl, scaled_chat, scaled_rl, scaled_tokenizer, tokenizer
from reference.stages.session import Ledger, Session
from reference.stages.training import Interrupted
from reference.tokenizer import which_rustbpe
from reference.trackers import tracker

TRAIN: dict[str, Callable[[Session], None]] = {
    "tokenizer": lambda session: _of(session, tokenizer.train_stage, scaled_tokenizer.train_stage),
    "base": base.train_stage,
    "mid": lambda session: _of(session, partial(chat.train_stage, stage="mid"), scaled_chat.train_mid),
    "sft": lambda session: _of(session, partial(chat.train_stage, stage="sft"), scaled_chat.train_sft),
    "rl": lambda session: _of(session, rl.train_stage, scaled_rl.train_stage),
}


def _of(session: Session, primer: Callable[[Session], None], hub: Callable[[Session], None]) -> None:
    """Train with the stage of the session's curriculum."""
    (primer if session.preset.curriculum == "primer" else hub)(session)


@dataclass(frozen=True)
class Order:
    """What is asked for: the run `tag` under `root`, from stage `start` anew, or from where it stopped.

    `only` names a stage to train alone. `data` is "primer", or where the text is; for a preset at scale the folder of
    all data, see data/hub.py, of which `allow_missing` leaves out, from now on, the conversations that are not there.
    `dtype` is one of compute.FORMATS: what a new run computes in for good.
    """

    root: Path
    tag: str
    preset: Preset
    seed: int
    data: str
    start: str | None = None
    only: str | None = None
    allow_missing: bool = False
    dtype: str = "auto"


def make_run(
    order: Order,
    parts: Parts,
    console: Console,
    device: str = "auto",
    checkpoint_seconds: float = 20.0,
    world: World = ALONE,
    device_rows: int | None = None,
    track: str = "off",
) -> Run:
    """Train every stage that is not complete, and write the report.

    Args:
        order: which run, and what it is to become.
        parts: whose code it is built from.
        console: where its progress is shown.
        device: where to compute: "auto" takes the best there is. In a world of several processes each has its own.
        checkpoint_seconds: a checkpoint is written when the last one is so old, and at the end of a stage.
        world: the processes that make it together.
        device_rows: rows that a device trains on at a time; None: as many as fit.
        track: one of trackers.TRACKERS.

    Raises:
        UserError: the order cannot be carried out.
        Interrupted: on Ctrl-C; the same order, without its `start`, goes on from there.
    """
    with open_session(order, parts, console, device, checkpoint_seconds, world, device_rows, track) as session:
        run = session.run
        if order.only is not None:
            _check_complete(run, order.only)
        _say_what_starts(session)
        with _saying_how_to_go_on(order):
            _train_what_is_missing(session, [order.only] if order.only else list(TRAIN))
            if order.only is None:
                report = write_report(run, began=time.monotonic())
                run.mark_complete("report", seconds=report["stages"]["report"]["seconds"])
                say(console, f"report  {run.path / 'report.md'}  ({report['total_seconds']:.0f} s in all)")
    return run


@contextmanager
def open_session(
    order: Order,
    parts: Parts,
    console: Console,
    device: str = "auto",
    checkpoint_seconds: float = 20.0,
    world: World = ALONE,
    device_rows: int | None = None,
    track: str = "off",
) -> Iterator[Session]:
    """Work on a run, which is made if there is none; arguments and errors are those of `make_run`."""
    place = compute_device(device if world.size == 1 else world.device)
    source = _source(order)
    keep_freed_memory()
    if place.type == "cuda":
        check_compiler(os.environ.get("PATH", ""), python_headers())
        set_up_gpu()
    run = _open_or_create(order, source, place, world)
    with run.lock():
        _check_same_order(run, order, source)
        mine = rows_per_device(order.preset.batch_rows, world.size)  # refused, if it is, before anything is forgotten
        micro_batches(order.preset.batch_rows, world.size, min(mine, device_rows or mine))
        if order.start is not None:
            _start_at(run, order, console)
        world.barrier()
        run.reload()
        code = provenance(parts)
        run.update(
            parts=_parts(run, code),
            allow_missing=run.config.get("allow_missing", False) or order.allow_missing,
            # as many as train any stage: the first one, the tokenizer, is trained by one process
            machine={"devices": max(world.size, run.config["machine"].get("devices", 1))},
        )
        counted_parts, calls = counted(parts)
        session = Session(
            run,
            order.preset,
            counted_parts,
            Ledger(calls, code),
            source,
            console,
            getattr(torch, run.config["machine"]["compute_dtype"]),
            place,
            checkpoint_seconds,
            world,
            device_rows,
            compiles=place.type == "cuda" and all(code[part]["whose"] == "reference" for part in IN_BLOCKS),
            tracker=tracker(track, run.path, world.is_main),
        )
        with _memory_suffices(place):
            yield session


def _source(order: Order) -> DocumentSource:
    if order.data == "primer":
        return PrimerDocuments(order.seed)
    at_scale = order.preset.curriculum == "hub"
    return open_source(str(Path(order.data) / "base_data") if at_scale else order.data)


def _train_what_is_missing(session: Session, stages: list[str]) -> None:
    run, world, calls, code = session.run, session.world, session.ledger.calls, session.ledger.code
    for stage in stages:
        if run.is_complete(stage):
            say(session.console, f"{stage}  complete already, skipped")
        else:
            TRAIN[stage](replace(session, ledger=Ledger(calls, code)))
            world.barrier()
            run.reload()
        # also after a stage that is skipped: the process that completed it may have been killed before this line
        peaks = {"peak_rss_gib": peak_rss_gib()} | ({"peak_gpu_gib": peak_gpu_gib()} if session.on_gpu else {})
        highest = {name: max(peak, run.config.get(name, 0.0)) for name, peak in peaks.items()}
        run.update(**highest, parts=_parts(run, code))


@contextmanager
def _memory_suffices(device: torch.device) -> Iterator[None]:
    """Of what fills a GPU's memory outside of training."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"The memory of {device} does not hold the model and its optimizer; end what else runs there, which "
            "nvidia-smi shows, use more GPUs, or begin another run of a smaller depth."
        ) from error


@contextmanager
def _saying_how_to_go_on(order: Order) -> Iterator[None]:
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as stop:
        option = "--from" if order.only is None else "--again"
        again = f"the same command without {option}" if order.start else "the same command"
        raise Interrupted(f"{str(stop) or 'Stopped'}; {again} goes on from there.") from None


def _open_or_create(order: Order, source: DocumentSource, device: torch.device, world: World) -> Run:
    there = order.tag in {file.parent.name for file in order.root.glob("*/run.json")}
    world.barrier()  # before anybody makes it
    if there or not world.is_main:
        world.barrier()
        return Run.open(order.root, order.tag, writes=world.is_main)
    if order.start not in (None, "tokenizer") and not fits(order.preset, order.data):
        raise UserError(
            f"There is no run {order.tag!r} in {order.root} to start at {order.start}, and checkpoints/ holds another "
            "kind of model; leave --from out, or name a run with --tag."
        )
    chosen = number_format(order.dtype, device)
    run = Run.create(
        order.root,
        order.tag,
        {
            **_identity(order, source),
            "machine": {
                **describe_machine(device),
                "devices": world.size,
                "compute_dtype": chosen.name,
                "compute_dtype_reason": chosen.reason,
            },
            "versions": {name: version(name) for name in ("torch", "tiktoken", "rustbpe", "numpy")},
        },
    )
    world.barrier()
    return run


def _identity(order: Order, source: DocumentSource) -> dict[str, Any]:
    """What must not change between the processes that work on one run.

    The shards of a large one may still be arriving: there the order of their names says what is read.
    """
    return {
        "preset": order.preset.name,
        "seed": order.seed,
        "data": order.data,
        "settings": asdict(order.preset),
        "source": source.fingerprint if order.preset.curriculum == "primer" else {},
    }


def _check_same_order(run: Run, order: Order, source: DocumentSource) -> None:
    words = {"data": "other data", "settings": "other settings", "source": "other text in its data"}
    for key, value in _identity(order, source).items():
        if run.config.get(key) != value:
            raise UserError(
                f"The run {run.path} was begun with {words.get(key, f'another {key}')}; repeat the command that began "
                "it, or begin another run with --tag NEW."
            )
    taken = run.config["machine"]["compute_dtype"]
    if order.dtype not in ("auto", taken):
        raise UserError(
            f"The run {run.path} computes in {taken} for good, so that its numbers do not depend on where it goes on; "
            f"leave --dtype {order.dtype} out, or begin another run with --tag NEW."
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


def _check_complete(run: Run, only: str) -> None:
    """UserError unless everything is there that the stage `only` begins with."""
    before = {"base": "tokenizer", "mid": "base", "sft": "mid", "rl": "sft"}.get(only)
    if before and not run.is_complete(before):
        raise UserError(f"The stage {only} begins with what {before} has made, and that is not complete; do it first.")


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


def _say_what_starts(session: Session) -> None:
    config, console = session.run.config, session.console
    learner = [part for part, facts in session.ledger.code.items() if facts["whose"] == "learner"]
    whose = (
        f"yours: {', '.join(learner)}; the others are the reference's" if learner else "all nine are the reference's"
    )
    machine, processes = config["machine"], session.world.size
    reason = machine.get("compute_dtype_reason", "as an earlier version chose")
    say(console, f"run  {session.run.path}, preset {config['preset']}, seed {config['seed']}, text: {config['data']}")
    several = f", {processes} processes" if processes > 1 else ""
    say(console, f"run  on {machine['cpu']}, {machine['threads']} threads, {machine['device']}{several}")
    say(console, f"run  in {machine['compute_dtype']} ({reason})")
    say(console, f"run  parts: {whose}")
    if session.on_gpu and not session.compiles:
        yours = ", ".join(part for part in IN_BLOCKS if part in learner)
        say(console, f"run  {yours} being yours, the blocks are not compiled: expect training to be slower")
    say(console, f"run  rustbpe: {which_rustbpe()}")

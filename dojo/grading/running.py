"""Runs the tests of katas in a process that can be lost, and gathers what it says while it lives."""

from __future__ import annotations

import functools
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dojo.curriculum import ROOT, Kata
from dojo.grading.schema import Isolation
from reference.sandbox.limits import Limits

KATA_SECONDS = 600.0  # of wall-clock time for all tests of one kata, far more than what `Worker` lets code use
STRANGE = "it made the process that runs the tests stop"


@dataclass
class Run:
    """What the process that runs the tests said of one kata."""

    tests: dict[str, dict[str, Any]] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    stopped: str = ""  # why it was not finished, where it was not
    unchecked: str = ""  # why that was not the submission's doing, where it was not


@dataclass
class Runs:
    """The same of all katas, by name, and where the code ran."""

    katas: dict[str, Run]
    isolation: Isolation = field(default_factory=lambda: Isolation("none"))


def run_tests(katas: Sequence[Kata], folder: Path, seed: int | None, limits: Limits) -> Runs:
    """Run the tests of katas in one process; where one of them makes it stop, the others in another one.

    Args:
        folder: holds the submission's files.
        seed: of unseen cases, None for the public ones only.
        limits: for the submission's code in one test.
    """
    runs = Runs({kata.name: Run() for kata in katas})
    waiting = [list(katas)] if katas else []
    while waiting:
        together = waiting.pop(0)
        begun, finished = "", False
        for record in _records(together, folder, seed, limits):
            begun = record["kata"] if record["kind"] == "begun" else begun
            finished = record["kind"] == "finished"
            _note(record, runs)
        if finished:
            continue
        if not begun and len(together) > 1:
            waiting += [[kata] for kata in together]
            continue
        at = next((i for i, kata in enumerate(together) if kata.name == begun), 0)
        run, rest = runs.katas[together[at].name], together[at + 1 :]
        run.stopped, run.unchecked = STRANGE, _grader_fails(together[at], seed)
        waiting += [rest] if rest else []
    return runs


def _note(record: dict[str, Any], runs: Runs) -> None:
    """Take one line of the process's into account."""
    if record["kind"] == "isolation":
        runs.isolation = Isolation(record["name"], tuple(record["what_holds"]), tuple(record["what_does_not"]))
    elif record["kind"] == "test":
        runs.katas[record["kata"]].tests[record["name"]] = record
    elif record["kind"] == "result":
        runs.katas[record["kata"]].results[record["name"]] = record


def _records(katas: Sequence[Kata], folder: Path, seed: int | None, limits: Limits) -> Iterator[dict[str, Any]]:
    """Start the process and yield what it says until it ends or its time is over, then why, if it was not finished."""
    reading, writing = os.pipe()
    asked = {"descriptor": writing, "folder": str(folder), "seed": seed, "limits": asdict(limits)}
    command = [sys.executable, "-s", "-m", "dojo.grading.trusted"]
    foreign = ("PYTHON", "PYTEST")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [*command, json.dumps({**asked, "katas": [kata.name for kata in katas]})],
            cwd=ROOT,
            env={**environment, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            pass_fds=[writing],
        )
        os.close(writing)
        kind = ""
        try:
            for line in _lines(reading, time.monotonic() + KATA_SECONDS * len(katas)):
                record = json.loads(line)
                kind = record["kind"]
                yield record
        finally:
            os.close(reading)
            process.kill()
            process.wait()
        if kind != "finished":
            said.seek(0)
            words = said.read().decode(errors="replace").split()
            yield {"kind": "ended", "said": " ".join(words[-40:]) or f"status {process.returncode}"}


def _lines(descriptor: int, deadline: float) -> Iterator[bytes]:
    """Whole lines, until the other end is closed or the time is over."""
    kept = b""
    while select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
        data = os.read(descriptor, 2**16)
        if not data:
            return
        *lines, kept = (kept + data).split(b"\n")
        yield from lines


@functools.cache
def _grader_fails(kata: Kata, seed: int | None) -> str:
    """Why the tests cannot be run on the worked answer, if they cannot: then it is not the submission's fault."""
    with tempfile.TemporaryDirectory(prefix="grading-") as folder:
        (Path(folder) / kata.file.name).write_bytes(kata.answer.read_bytes())
        records = list(_records([kata], Path(folder), seed, Limits()))
    if records[-1]["kind"] == "finished":
        return ""
    said = records[-1]["said"] if records[-1]["kind"] == "ended" else ""
    return f"the grader cannot run the tests of {kata.name} on the worked answer either: {said}"

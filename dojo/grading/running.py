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

    tests: list[dict[str, Any]] = field(default_factory=list)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    stopped: str = ""  # why it was not finished, where it was not
    unchecked: str = ""  # why that was not the submission's doing, where it was not


@dataclass
class Runs:
    """The same of all katas, by name, and where the code ran."""

    katas: dict[str, Run]
    isolation: Isolation = field(default_factory=lambda: Isolation("none"))


def run_tests(katas: Sequence[Kata], folder: Path, seed: int | None, limits: Limits) -> Runs:
    """Run the tests of katas in one process; where a kata makes that process stop, the others in another one."""
    runs = Runs(katas={kata.name: Run() for kata in katas})
    left = list(katas)
    while left:
        last = None
        for record in _records(left, folder, seed, limits):
            last = _noted(record, runs) or last
        if last == "finished":
            break
        stopped = next((kata for kata in left if len(runs.katas[kata.name].results) < _expected(runs, kata)), left[0])
        run = runs.katas[stopped.name]
        run.stopped = STRANGE
        run.unchecked = "" if _grader_works(stopped, seed) else "the grader cannot run the tests on the worked answer"
        left = left[left.index(stopped) + 1 :]
    return runs


def _expected(runs: Runs, kata: Kata) -> int:
    return max(1, len(runs.katas[kata.name].tests))


def _noted(record: dict[str, Any], runs: Runs) -> str | None:
    """Take one line of the process's into account; its kind."""
    kind = record.pop("kind")
    if kind == "isolation":
        runs.isolation = Isolation(record["name"], tuple(record["what_holds"]), tuple(record["what_does_not"]))
    elif kind in ("test", "result"):
        run = runs.katas[record.pop("kata")]
        if kind == "test":
            run.tests = [test for test in run.tests if test["name"] != record["name"]] + [record]
        else:
            run.results[record["name"]] = record
    return kind


def _records(katas: Sequence[Kata], folder: Path, seed: int | None, limits: Limits) -> Iterator[dict[str, Any]]:
    """Start the process and yield what it says until it ends or its time is over."""
    reading, writing = os.pipe()
    asked = {"descriptor": writing, "folder": str(folder), "seed": seed, "limits": asdict(limits)}
    command = [sys.executable, "-s", "-m", "dojo.grading.trusted"]
    foreign = ("PYTHON", "PYTEST")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    process = subprocess.Popen(
        [*command, json.dumps({**asked, "katas": [kata.name for kata in katas]})],
        cwd=ROOT,
        env={**environment, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[writing],
    )
    os.close(writing)
    try:
        yield from map(json.loads, _lines(reading, time.monotonic() + KATA_SECONDS * len(katas)))
    finally:
        os.close(reading)
        process.kill()
        process.wait()


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
def _grader_works(kata: Kata, seed: int | None) -> bool:
    """Whether the worked answer can be graded: if not, what happened is the grader's fault and not the submission's."""
    with tempfile.TemporaryDirectory(prefix="grading-") as folder:
        (Path(folder) / kata.file.name).write_bytes(kata.answer.read_bytes())
        kinds = [record["kind"] for record in _records([kata], Path(folder), seed, Limits())]
    return kinds[-1:] == ["finished"]

"""Grades many submissions, some at a time, each in a trusted process of its own; goes on where it was interrupted.

This process opens nothing of a submission, and of its results keeps only how many there are.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO

from dojo.curriculum import ROOT
from dojo.grading.files import write_whole
from dojo.grading.job import Job, as_json, result_in, unchecked
from dojo.grading.names import plain
from dojo.grading.schema import Status, SubmissionResult, to_json

COMMAND = (sys.executable, "-m", "dojo.grading.job")
SECONDS = 1800.0  # for one submission: every test has its own limit, so this is for a grader that hangs
PATIENCE = 10.0  # for a process that was asked to end
LOOK_EVERY = 0.05


@dataclass
class _Running:
    """A submission that is being graded."""

    job: Job
    process: subprocess.Popen[bytes]
    said: IO[bytes]
    errors: IO[bytes]
    until: float


@dataclass
class Tally:
    """How a run goes.

    Attributes:
        graded, kept: how many submissions were graded now, and how many had been before.
        unchecked: names of those in which something could not be checked.
        last: the result that came last.
    """

    graded: int = 0
    kept: int = 0
    unchecked: list[str] = field(default_factory=list)
    last: SubmissionResult | None = None


class Watcher:
    """Told of every submission that is finished; this one says nothing."""

    def finished(self, job: Job, tally: Tally) -> None: ...


def grade_all(
    jobs: Sequence[Job], at_once: int, watcher: Watcher, command: Sequence[str] = COMMAND, seconds: float = SECONDS
) -> Tally:
    """Grade submissions; every finished one has its file when this returns or is interrupted.

    Args:
        at_once: how many run at a time.
        command: grades the one job on its standard input, as `dojo.grading.job` does.
        seconds: after which a submission's process is ended and the submission counts as unchecked.
    """
    waiting, running, tally = list(reversed(jobs)), list[_Running](), Tally()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(_start(waiting.pop(), command, seconds))
            for one in [one for one in running if one.process.poll() is not None or time.monotonic() > one.until]:
                running.remove(one)
                _finish(one, tally)
                watcher.finished(one.job, tally)
            time.sleep(LOOK_EVERY)
    finally:
        _end(running)
    return tally


def _start(job: Job, command: Sequence[str], seconds: float) -> _Running:
    said, errors = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed by _all_of
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=said, stderr=errors, cwd=ROOT, start_new_session=True
    )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it has ended already, which is seen later
        process.stdin.write(as_json(job).encode())
        process.stdin.close()
    return _Running(job, process, said, errors, time.monotonic() + seconds)


def _finish(one: _Running, tally: Tally) -> None:
    """Note how a submission's process ended; where it left no result, write one that says so."""
    problem = ""
    if one.process.poll() is None:
        problem = "Grading did not come to an end in time"
        _end([one])
    elif one.process.returncode or result_in(one.job.file) is None:
        problem = f"Grading ended with status {one.process.returncode} and no result"
    said, errors = _all_of(one.said), _all_of(one.errors)
    if problem:
        last = plain(errors.decode("utf-8", "replace").strip().rpartition("\n")[2], 300)
        write_whole(one.job.file, to_json(unchecked(one.job, f"{problem}{': ' + last if last else ''}.")))
    if not problem and said.endswith(b"kept\n"):
        tally.kept += 1
    else:
        tally.graded += 1
    tally.last = result_in(one.job.file)
    if tally.last is None or tally.last.status is Status.UNCHECKED:
        tally.unchecked.append(one.job.name)


def _all_of(file: IO[bytes]) -> bytes:
    with file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - (1 << 16)))
        return file.read()


def _end(running: Sequence[_Running]) -> None:
    """End processes: asked first, for they have workers to end, then without asking, with all their group."""
    for one in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.process.pid, signal.SIGTERM)
    until = time.monotonic() + PATIENCE
    for one in running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            one.process.wait(max(0.0, until - time.monotonic()))
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(one.process.pid, signal.SIGKILL)
        one.process.wait()

"""Grades many submissions, some at a time, in trusted processes; goes on where it was interrupted.

This process opens nothing of a submission, and of its results keeps only how many there are. A process that grades
serves some submissions, one after the other, and what decides on each runs in a fork of its own (see `trusted`).
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
from dojo.limits import SUBMISSION_SECONDS

COMMAND = (sys.executable, "-m", "dojo.grading.job")
PATIENCE = 10.0  # for processes that were asked to end
LOOK_EVERY = 0.05
MOST = 25  # submissions for one process, then its memory goes with it


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


class _Grader:
    """A process that grades one submission after the other."""

    def __init__(self, command: Sequence[str]) -> None:
        self.said, self.errors = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed by _end
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=self.said, stderr=self.errors, cwd=ROOT, start_new_session=True
        )
        self.job: Job | None = None
        self.given, self.until = 0, 0.0

    def give(self, job: Job, seconds: float) -> None:
        """Hand it a job; it has none."""
        assert self.process.stdin is not None
        self.job, self.given, self.until = job, self.given + 1, time.monotonic() + seconds
        self.mark, self.errors_mark = _size(self.said), _size(self.errors)
        with contextlib.suppress(BrokenPipeError):  # it has ended, which is seen later
            self.process.stdin.write(as_json(job).encode() + b"\n")
            self.process.stdin.flush()

    def answer(self) -> str | None:
        """ "kept" or "graded" once it has done its job, a sentence if it cannot be waited for any longer, else None."""
        ended, late = self.process.poll() is not None, time.monotonic() > self.until
        said = _from(self.said, self.mark)
        if said.endswith((b"kept\n", b"graded\n")):
            return said.decode().split()[-1]
        if not ended and not late:
            return None
        errors = _from(self.errors, self.errors_mark).decode("utf-8", "replace")
        last = plain(errors.strip().rpartition("\n")[2], 300)
        what = f"ended with status {self.process.returncode}" if ended else "did not come to an end in time"
        return f"Grading {what}{': ' + last if last else ''}."

    def leave(self) -> None:
        """Let it go once it has no job: it ends when it is told that there are no more."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()


def grade_all(
    jobs: Sequence[Job],
    at_once: int,
    watcher: Watcher,
    command: Sequence[str] = COMMAND,
    seconds: float = SUBMISSION_SECONDS,
) -> Tally:
    """Grade submissions; every finished one has its file when this returns or is interrupted.

    Args:
        at_once: how many run at a time.
        command: grades the jobs on its standard input, as `dojo.grading.job` does.
        seconds: after which a submission's process is ended and the submission counts as unchecked.
    """
    waiting, graders, tally = list(reversed(jobs)), list[_Grader](), Tally()
    try:
        while waiting or any(one.job for one in graders):
            while waiting and (free := _free(graders, at_once, command)) is not None:
                free.give(waiting.pop(), seconds)
            for one in list(graders):
                if (job := one.job) is not None and (answer := one.answer()) is not None:
                    sound = _note(job, answer, tally)
                    one.job = None if sound else job
                    if not sound or one.given >= MOST:
                        graders.remove(one)
                        _end([one])
                    watcher.finished(job, tally)
            time.sleep(LOOK_EVERY)
    finally:
        _end(graders)
    return tally


def _free(graders: list[_Grader], at_once: int, command: Sequence[str]) -> _Grader | None:
    """A process without a job, started where there may be one more."""
    for one in [one for one in graders if one.job is None]:
        if one.process.poll() is None:
            return one
        graders.remove(one)  # it has ended after its work was done
        _end([one])
    if len(graders) == at_once:
        return None
    graders.append(_Grader(command))
    return graders[-1]


def _note(job: Job, answer: str, tally: Tally) -> bool:
    """Note how a job went; where it left no result, write one that says so. Whether its process can go on."""
    sound = answer in ("kept", "graded")
    if sound and result_in(job.file) is None:
        sound, answer = False, "Grading left no result."
    if not sound:
        write_whole(job.file, to_json(unchecked(job, answer)))
    tally.kept += answer == "kept"
    tally.graded += answer != "kept"
    tally.last = result_in(job.file)
    if tally.last is None or tally.last.status is Status.UNCHECKED:
        tally.unchecked.append(job.name)
    return sound


def _from(file: IO[bytes], mark: int) -> bytes:
    """What was written behind a mark, its end where that is much; the place of writing, which is shared, stays."""
    return os.pread(file.fileno(), 1 << 16, max(mark, _size(file) - (1 << 16)))


def _size(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


def _end(graders: Sequence[_Grader]) -> None:
    """End processes: asked first, for they have workers to end, then without asking, with all their group."""
    for one in graders:
        if one.job is None:
            one.leave()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(one.process.pid, signal.SIGTERM)
    until = time.monotonic() + PATIENCE
    for one in graders:
        with contextlib.suppress(subprocess.TimeoutExpired):
            one.process.wait(max(0.0, until - time.monotonic()))
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(one.process.pid, signal.SIGKILL)
        one.process.wait()
        one.leave()
        one.said.close()
        one.errors.close()

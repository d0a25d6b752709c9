"""`grade`: from the arguments of the command line to the files of results."""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dojo.curriculum import Kata
from dojo.grading.files import write_whole
from dojo.grading.formats.text import shown
from dojo.grading.formats.writing import write_formats
from dojo.grading.job import Job
from dojo.grading.roster import Submission, expand
from dojo.grading.run import COMMAND, Tally, Watcher, grade_all
from dojo.grading.schema import SchemaError
from dojo.grading.similarity import Likeness, likenesses
from reference.errors import UserError
from reference.progress import clock, say


@dataclass(frozen=True)
class Order:
    """What was asked for.

    Attributes:
        submissions: as on the command line.
        hidden_seed: None takes the one that OUT was begun with, or draws one.
        jobs: submissions at a time.
    """

    submissions: tuple[str, ...]
    katas: tuple[Kata, ...]
    out: Path
    formats: frozenset[str]
    jobs: int
    hidden_seed: int | None = None


class _Told(Watcher):
    """A line for every submission that is finished: its points, the pace and the time left; in a terminal a bar."""

    def __init__(self, total: int, console: Console) -> None:
        self.total, self.console, self.started = total, console, time.monotonic()
        columns = (TextColumn("grading"), BarColumn(bar_width=None), MofNCompleteColumn(), TimeElapsedColumn())
        self.bar = Progress(*columns, console=console, expand=True, transient=True, disable=not console.is_terminal)
        self.task = self.bar.add_task("grading", total=total)

    def finished(self, job: Job, tally: Tally) -> None:
        done = tally.graded + tally.kept
        line = f"{done:>{len(str(self.total))}} of {self.total}  {job.name}  "
        if (result := tally.last) is not None:
            line += f"{shown(result.earned)} of {shown(result.points)}"
            line += "  COULD NOT BE CHECKED" if job.name in tally.unchecked else ""
        seconds = time.monotonic() - self.started
        if tally.graded:
            left = (self.total - done) * seconds / tally.graded
            line += f"  ({60 * tally.graded / seconds:.1f} a minute, {clock(left)} left)"
        say(self.console, line)
        self.bar.update(self.task, completed=done)


def grade(order: Order, console: Console, command: Sequence[str] = COMMAND) -> int:
    """Grade, and write the files; the exit status.

    Raises:
        UserError: something that was asked for cannot be done.
        KeyboardInterrupt: after what is finished was kept.
    """
    try:
        order.out.mkdir(parents=True, exist_ok=True)
        with _alone(order.out), tempfile.TemporaryDirectory(prefix="nanokata-class-") as unpacked, _ending_on_term():
            submissions, passed_over = expand(order.submissions, order.katas, Path(unpacked), order.out)
            if passed_over:
                say(console, f"Passed over, being neither folder nor archive: {', '.join(passed_over[:10])}")
            return _grade(order, submissions, _seed(order), console, command)
    except OSError as error:
        raise UserError(f"{error.filename or order.out} cannot be used: {error.strerror}.") from None


def _grade(order: Order, submissions: Sequence[Submission], seed: int, console: Console, command: Sequence[str]) -> int:
    labels, out = tuple(kata.label for kata in order.katas), str(order.out.resolve())
    jobs = [Job(one.name, one.where, one.problem, labels, seed, out) for one in submissions]
    many = f"{len(jobs)} submission{'s' * (len(jobs) != 1)}"
    say(
        console,
        f"Grading {many}, {min(order.jobs, len(jobs))} at a time, with the hidden seed {seed}, into {order.out}/",
    )
    told = _Told(len(jobs), console)
    try:
        with told.bar:
            tally = grade_all(jobs, order.jobs, told, command)
    except KeyboardInterrupt:
        say(console, "Interrupted. What is finished is kept; the same command goes on with the rest.")
        raise
    names = [job.name for job in jobs]
    found, not_compared = _likenesses(order, names)
    written = write_formats(order.out, names, order.formats, found, not_compared)
    say(console, f"{tally.graded} graded now, {tally.kept} before. In {order.out}/: {', '.join(written)}")
    if tally.unchecked:
        say(console, f"COULD NOT BE CHECKED, at least in part: {', '.join(tally.unchecked)}")
    return 1 if tally.unchecked else 0


def _likenesses(order: Order, names: Sequence[str]) -> tuple[list[Likeness], list[str]]:
    try:
        return likenesses(order.out / "sources", names, order.katas)
    except (subprocess.TimeoutExpired, SchemaError):
        return [], ["any: comparing them did not come to an end"]


def _seed(order: Order) -> int:
    """The hidden seed: as asked, else as kept from before, else drawn; it is kept."""
    file = order.out / "grading.json"
    kept = None
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        kept = int(json.loads(file.read_text(encoding="utf-8"))["hidden_seed"])
    seed = order.hidden_seed if order.hidden_seed is not None else kept
    seed = secrets.randbelow(1 << 31) if seed is None else seed
    write_whole(file, json.dumps({"hidden_seed": seed}))
    return seed


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold a lock on the folder of results, so that two runs do not write the same files."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with (out / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"Another run is grading into {out}; wait for it, or name another folder with --out."
            ) from None
        yield


@contextlib.contextmanager
def _ending_on_term() -> Iterator[None]:
    """Let SIGTERM end the processes that were started, as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

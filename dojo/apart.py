"""The trusted end of a student's code that runs in the sandbox: a fresh process for every test, waited for so long."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from dojo.border import checked
from dojo.contract import parameters
from dojo.curriculum import ROOT, Kata
from dojo.executor import Outcome, Request
from dojo.limits import MOST_COMPUTING, MOST_STOPS, MOST_WAITING
from dojo.loading import IMPORT_SECONDS, LoadError, shown, source_of
from dojo.student import Lost
from dojo.wire import WireError, receive, send
from reference.sandbox.limits import Limits
from reference.sandbox.sandbox import Overdue, Process, Sandbox
from reference.sandbox.walls import WALLS, Wall

MODULES = ("__init__", "clock", "curriculum", "executor", "guard", "loading", "meta", "values", "wire", "worker")


def student_sandbox(walls: Mapping[str, Wall] = WALLS) -> Sandbox:
    """A sandbox whose processes hold what answering requests takes: neither answers nor tests nor mistakes."""
    return Sandbox(["dojo.worker:prepare"], [ROOT / "dojo" / f"{name}.py" for name in MODULES], walls)


class Worker:
    """One student's file.

    Args:
        printed: is handed what the code prints.
    """

    def __init__(
        self, kata: Kata, file: Path, sandbox: Sandbox, limits: Limits, printed: Callable[[str], object]
    ) -> None:
        codecs = kata.folder / "codecs.py"
        self._kata, self._file, self._sandbox, self._limits, self._printed = kata, file, sandbox, limits, printed
        self._codecs = codecs.read_text(encoding="utf-8") if codecs.exists() else ""
        self._process: Process | None = None
        self._spare: Process | None = None  # forked meanwhile for the next test; nothing has run in it yet
        self._lost = ""  # why the process that this test had is no more
        self._problem = ""  # why the file cannot be used
        self._stops: Counter[str] = Counter()
        self._used, self._waited, self._seconds = 0.0, 0.0, limits.cpu_seconds / 2

    def renew(self, seconds: float) -> None:
        """A test begins, in which the code may compute so long; it finds nothing that an earlier one has left."""
        # half of the hard limit is for what the code does not say of itself: its import, its threads
        self._seconds = min(seconds, self._limits.cpu_seconds / 2)
        self._forget()

    def _forget(self) -> None:
        """End the process, and all that the code may have kept in it; the next request is put to a fresh one."""
        if self._process is not None:
            self._used += self._process.end().cpu_seconds
        self._process, self._lost = None, ""

    def close(self) -> None:
        """End what runs."""
        self._forget()
        if self._spare is not None:
            self._spare.end()
            self._spare = None

    def run(self, request: Request) -> Outcome:
        """Put a request to the student's code.

        Raises:
            LoadError: the file cannot be used.
        """
        if self._stops[request.name] >= MOST_STOPS:
            return Outcome(stopped=f"was not called, after it had been stopped in {MOST_STOPS} tests")
        if self._process is None and not self._lost:
            self._start()
        if self._process is None:
            return Outcome(error=Lost(self._lost))
        begun = time.monotonic()
        try:
            if self._process.speaks():
                raise WireError("it has ended, or says what nobody has asked")
            send(self._process, request)
            outcome = checked(receive(self._process), request, self._kata)
            self._stops[request.name] += outcome.stopped is not None
            return outcome
        except (WireError, OSError, Overdue) as error:
            self._stops[request.name] += self._lose(error)
            return Outcome(error=Lost(self._lost))
        finally:
            self._waited += time.monotonic() - begun
            if self._process is not None and (text := self._process.output()):
                self._printed(text)

    def _start(self) -> None:
        if self._problem:
            raise LoadError(self._problem)
        if self._used > MOST_COMPUTING:
            self._lost = f"your code computed for more than {MOST_COMPUTING:g} seconds in all; it was not run again"
            return
        if self._waited > MOST_WAITING:
            self._lost = f"your code was waited for more than {MOST_WAITING:g} seconds in all; it was not run again"
            return
        source, told = source_of(self._file), shown(self._file) if self._file.is_relative_to(ROOT) else self._file.name
        self._process, self._spare = self._spare or self._forked(), None
        self._process.begin()
        try:
            first = {"source": source, "file": told, "told": told, "codecs": self._codecs}
            seconds = [self._seconds, min(IMPORT_SECONDS, self._limits.cpu_seconds / 2)]
            send(self._process, {**first, "parameters": parameters(self._kata), "seconds": seconds})
            self._spare = self._forked()
            problem = receive(self._process)
        except (WireError, OSError, Overdue) as error:
            self._lose(error)
            problem = f"{told} ends the process or takes too long when it is imported: {self._lost}."
        if problem is not None:
            self._forget()
            self._problem = problem if type(problem) is str else f"{told} cannot be used."
            raise LoadError(self._problem)

    def _forked(self) -> Process:
        return self._sandbox.start("dojo.worker:serve", self._kata.name, limits=self._limits)

    def _lose(self, error: Exception) -> bool:
        """The process is of no more use: end it, and say why in words; whether it had used up its time."""
        assert self._process is not None
        ending, self._process = self._process.end(), None
        self._printed(ending.output)
        self._used += ending.cpu_seconds
        late = isinstance(error, Overdue)
        if late:
            self._lost = (
                f"your code was ended after {self._limits.wall_seconds:g} seconds, of which it computed "
                f"{ending.cpu_seconds:.1f} and waited for the rest"
            )
        elif ending.cpu_seconds > self._limits.cpu_seconds - 0.5:
            self._lost, late = f"your code was ended after {self._limits.cpu_seconds:g} seconds of computing", True
        else:
            self._lost = f"the process that ran your code has ended: {error}"
        return late

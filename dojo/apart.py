"""The trusted end of a student's code that runs in the sandbox: a fresh process for every test, waited for so long."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from dojo.border import checked
from dojo.contract import parameters
from dojo.curriculum import ROOT, Kata
from dojo.executor import Outcome, Request
from dojo.loading import LoadError, shown, source_of
from dojo.student import Lost
from dojo.wire import WireError, receive, send
from reference.sandbox.limits import Limits
from reference.sandbox.sandbox import Overdue, Process, Sandbox
from reference.sandbox.walls import WALLS, Wall

MODULES = ("__init__", "curriculum", "executor", "guard", "loading", "values", "wire", "worker")
MOST_HANGS = 3  # after so many tests that were not over in their time, the others are not waited for
MOST_SECONDS = 60.0  # of computing, in all tests of a kata together


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
        self._hangs, self._used = 0, 0.0

    def renew(self) -> None:
        """Forget the process, and all that the code may have kept in it; the next request is put to a fresh one."""
        if self._process is not None:
            self._used += self._process.end().cpu_seconds
        self._process, self._lost = None, ""

    def close(self) -> None:
        """End what runs."""
        self.renew()
        if self._spare is not None:
            self._spare.end()
            self._spare = None

    def run(self, request: Request) -> Outcome:
        """Put a request to the student's code.

        Raises:
            LoadError: the file cannot be used.
        """
        if self._process is None and not self._lost:
            self._start()
        if self._process is None:
            return Outcome(error=Lost(self._lost))
        try:
            if self._process.speaks():
                raise WireError("it has ended, or says what nobody has asked")
            send(self._process, request)
            return checked(receive(self._process), request, self._kata)
        except (WireError, OSError, Overdue) as error:
            self._lose(error)
            return Outcome(error=Lost(self._lost))
        finally:
            if self._process is not None and (text := self._process.output()):
                self._printed(text)

    def _start(self) -> None:
        if self._problem:
            raise LoadError(self._problem)
        if self._hangs >= MOST_HANGS:
            self._lost = f"in {MOST_HANGS} tests your code did not come back; it was not run again"
            return
        if self._used > MOST_SECONDS:
            self._lost = f"your code computed for more than {MOST_SECONDS:g} seconds in all; it was not run again"
            return
        source, told = source_of(self._file), shown(self._file) if self._file.is_relative_to(ROOT) else self._file.name
        self._process, self._spare = self._spare or self._forked(), None
        self._process.begin()
        try:
            first = {"source": source, "file": told, "told": told, "codecs": self._codecs}
            send(self._process, {**first, "parameters": parameters(self._kata)})
            self._spare = self._forked()
            problem = receive(self._process)
        except (WireError, OSError, Overdue) as error:
            self._lose(error)
            problem = f"{told} ends the process or takes too long when it is imported: {self._lost}."
        if problem is not None:
            self.renew()
            self._problem = problem if type(problem) is str else f"{told} cannot be used."
            raise LoadError(self._problem)

    def _forked(self) -> Process:
        return self._sandbox.start("dojo.worker:serve", self._kata.name, limits=self._limits)

    def _lose(self, error: Exception) -> None:
        """The process is of no more use: end it, and say why in words."""
        assert self._process is not None
        ending, self._process = self._process.end(), None
        self._printed(ending.output)
        self._used += ending.cpu_seconds
        if isinstance(error, Overdue):
            self._lost = "your code did not come back in its time"
            self._hangs += 1
        elif ending.cpu_seconds > self._limits.cpu_seconds - 0.5:
            self._lost = f"your code computed for more than {self._limits.cpu_seconds:g} seconds"
            self._hangs += 1
        else:
            self._lost = f"the process that ran your code has ended: {error}"

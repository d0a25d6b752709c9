"""A student's code in a process of its own: requests come in on one pipe, outcomes go out on another."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

from dojo.curriculum import ROOT, Kata, find_kata
from dojo.executor import Executor, Outcome, Request
from dojo.loading import LoadError, load_kata
from dojo.wire import WireError, receive, send

STARTER = "import sys; sys.path.insert(0, sys.argv[1]); from dojo.worker import serve; serve(*sys.argv[2:])"


class Worker:
    """The parent's end of such a process."""

    def __init__(self, kata: Kata, file: Path) -> None:
        """Start it. Raises LoadError when the file cannot be used."""
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", STARTER, str(ROOT), kata.name, str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        if problem := self._answer():
            self.close()
            raise LoadError(problem)

    def run(self, request: Request) -> Outcome:
        """Put a request to the student's code; the process that answers may have died of it."""
        assert self._process.stdin is not None
        try:
            send(self._process.stdin, request)
            return self._answer()
        except (WireError, OSError) as error:
            return Outcome(error=RuntimeError(f"the process that ran your code has ended: {error}"))

    def _answer(self):  # type: ignore[no-untyped-def]
        assert self._process.stdout is not None
        return receive(self._process.stdout)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def serve(name: str, file: str) -> None:
    """The worker's own life: load the file, say how that went, then answer until the pipe is closed."""
    requests, outcomes = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the student's code prints is no outcome
    sys.stdin = open(os.devnull)  # noqa: SIM115, PTH123
    kata = find_kata(name)
    assert kata is not None
    try:
        executor = Executor(kata, load_kata(kata, Path(file)))
    except LoadError as error:
        send(outcomes, str(error))
        return
    send(outcomes, None)
    _answer_all(executor, requests, outcomes)


def _answer_all(executor: Executor, requests: IO[bytes], outcomes: IO[bytes]) -> None:
    while True:
        try:
            request = receive(requests)
        except WireError:
            return
        send(outcomes, executor.run(request))

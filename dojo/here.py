"""The student's code in the process of the tests: each test may compute so long, and the others go on."""

from __future__ import annotations

from collections import Counter

from dojo.executor import Executor, Outcome, Request
from dojo.limits import MOST_STOPS

AFTER_A_STOP = 1.0  # seconds for each later test: who has a loop in one function wants to hear of it


class Here:
    """One student's file, as `apart.Worker` is in the sandbox."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._stops: Counter[str] = Counter()

    def renew(self, seconds: float) -> None:
        """A test begins, in which the code may compute so long."""
        self._executor.clock.allow(min(seconds, AFTER_A_STOP) if any(self._stops.values()) else seconds)

    def run(self, request: Request) -> Outcome:
        """Put a request to the student's code."""
        if self._stops[request.name] >= MOST_STOPS:
            return Outcome(stopped=f"was not called, after it had been stopped in {MOST_STOPS} tests")
        outcome = self._executor.run(request)
        self._stops[request.name] += outcome.stopped is not None
        return outcome

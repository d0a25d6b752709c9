"""How long code under test may run: what it computes counts, so that a slow or busy machine fails nobody."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

WALL = 24  # a last resort: so many times as long on the wall's clock, for code that is neither at work nor at rest
TICKS = 10  # looks at the clock in the time allowed
STILL, LONGEST_REST = 0.0005, 5  # so many looks one after the other at a process that has computed less than this
MOST_CATCHES = 20
DEBUGGERS = ("bdb", "pdb", "pydevd")


class TooLong(BaseException):
    """Raised in the code under test; the message says after what. No Exception, so that the code does not catch it."""


class Clock:
    """Counts what the thread computes in its `with` blocks, and stops the block in which that becomes too much.

    It looks every tenth of the time allowed, on the main thread of systems that have signals; elsewhere it stops
    nothing. Code that waits is told from code that waits for its turn: whoever is to be asked on a busy machine gets a
    processor for it, and goes on computing then. A block may lie in the block of another clock.
    """

    def __init__(self, seconds: float) -> None:
        self.allow(seconds)

    def allow(self, seconds: float) -> None:
        """Count anew: all blocks from now on may compute so long together."""
        self._seconds, self._computed, self._passed, self._rest, self._catches = seconds, 0.0, 0.0, 0, 0
        self._counts = False

    def __enter__(self) -> Clock:
        self._works = hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread()
        if self._works:
            self._begin()
            self._handler = signal.signal(signal.SIGALRM, self._look)
            tick = max(self._seconds / TICKS, 0.001)
            self._timer = signal.setitimer(signal.ITIMER_REAL, tick, tick)
        return self

    def __exit__(self, *_: object) -> None:
        if self._works:
            self._end()
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._handler)
            if self._timer[0]:
                signal.setitimer(signal.ITIMER_REAL, *self._timer)  # of the block around this one

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What is computed in here, inside of a block, does not count."""
        if not self._counts:
            yield
            return
        self._end()
        try:
            yield
        finally:
            self._begin()

    def _begin(self) -> None:
        self._thread, self._wall, self._process = time.thread_time(), time.monotonic(), time.process_time()
        self._counts = True

    def _end(self) -> None:
        self._counts = False
        self._computed += time.thread_time() - self._thread
        self._passed += time.monotonic() - self._wall

    def _look(self, number: int, frame: FrameType | None) -> None:
        if not self._counts:
            return
        if _in_a_debugger(frame):
            self._begin()
            return
        process = time.process_time()
        self._rest = self._rest + 1 if process - self._process < STILL else 0
        self._process = process
        computed = self._computed + time.thread_time() - self._thread
        passed = self._passed + time.monotonic() - self._wall
        if computed >= self._seconds:
            self._stop(f"after {self._seconds:g} s of computing")
        if self._rest >= LONGEST_REST:
            self._stop(f"while it waited, {passed:.1f} s after its start")
        if passed >= WALL * self._seconds:
            self._stop(f"after {passed:.1f} s, of which it computed {computed:.1f} and waited for the rest")

    def _stop(self, words: str) -> None:
        self._catches += 1
        if self._catches > MOST_CATCHES:
            sys.stderr.write(f"\nYour code should have been stopped {words}, but it catches every exception.\n")
            sys.stderr.flush()
            os._exit(1)  # nothing else ends it
        raise TooLong(words)


def _in_a_debugger(frame: FrameType | None) -> bool:
    """Whether a person is looking at the code: a debugger waits on top of it."""
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] in DEBUGGERS:
            return True
        frame = frame.f_back
    return False

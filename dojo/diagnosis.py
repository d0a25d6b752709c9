"""Which known mistake does what the student's code did? The same requests are put to every one of them."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

from dojo.contract import executor_of
from dojo.curriculum import Kata
from dojo.executor import Executor, Outcome, Request
from dojo.loading import LoadError, load_kata
from dojo.mistakes import Mistake, build, mistakes_of
from dojo.student import Entry
from dojo.values import close


class _TooSlow(BaseException):
    """No Exception, so that no implementation catches it."""


def diagnose(kata: Kata, stories: list[list[Entry]], seconds: float) -> list[Mistake]:
    """The mistakes whose results equal the student's on every story, where the worked answer's do not.

    Args:
        kata: whose mistakes.
        stories: independent sequences of requests with the outcomes of the student's code.
        seconds: of computing, for all mistakes together.
    """
    try:
        mistakes = mistakes_of(kata)
    except LoadError:
        return []
    answer = executor_of(kata, load_kata(kata, kata.answer))
    wrong = [story for story in stories if not agrees(answer, story)]
    if not wrong:
        return []
    others = [story for story in stories if not any(story is one for one in wrong)]
    found = []
    end = time.process_time() + seconds
    asked = {entry.request.name for story in wrong for entry in story}
    # those of the functions that went wrong come first; another function's mistake may be behind it all the same
    for mistake in sorted(mistakes, key=lambda mistake: not asked & set(mistake.replaced)):
        executor = executor_of(kata, build(kata, mistake))
        # the wrong ones first, from the last, which is where the test stopped: most mistakes fall there
        same = _within(end - time.process_time(), executor, [*reversed(wrong), *others])
        if same is None:
            break
        if same:
            found.append(mistake)
    return found


def agrees(executor: Executor, story: list[Entry]) -> bool:
    """Put the requests of a story to another implementation: does it answer as the student's did?"""
    objects: dict[int, int] = {}
    tapes: dict[int, int] = {}
    for entry in story:
        request = entry.request
        numbers = tapes if request.kind == "backward" else objects
        target = None if request.target is None else numbers.get(request.target)
        if request.target is not None and target is None:
            return False
        again = Request(request.kind, request.name, request.args, request.kwargs, target, request.odd)
        outcome = executor.run(again)
        if not _equal(outcome, entry.outcome):
            return False
        if outcome.tape is not None and entry.outcome.tape is not None:
            tapes[entry.outcome.tape] = outcome.tape
        theirs, ours = entry.outcome.value, outcome.value
        if hasattr(theirs, "class_name"):
            if objects.get(theirs.number, ours.number) != ours.number or (
                theirs.number not in objects and ours.number in objects.values()
            ):
                return False  # one of the two made a new object, the other gave back an old one
            objects[theirs.number] = ours.number
    return True


def _equal(one: Outcome, other: Outcome) -> bool:
    if one.error is not None or other.error is not None:
        return type(one.error) is type(other.error)
    if one.broken is not None or other.broken is not None:
        return one.broken == other.broken
    if hasattr(one.value, "class_name") or hasattr(other.value, "class_name"):
        return type(one.value) is type(other.value)
    return one.differentiable == other.differentiable and close(one.value, other.value)


def _within(seconds: float, executor: Executor, stories: list[list[Entry]]) -> bool | None:
    """Whether an implementation agrees with all stories; None where that takes longer, if there is such a signal."""
    if not hasattr(signal, "SIGVTALRM") or threading.current_thread() is not threading.main_thread():
        return all(agrees(executor, story) for story in stories)
    waiting = True

    def ring(number: int, frame: Any) -> None:
        if waiting:  # else it comes when the answer is there already, and must not strike whoever reads it
            raise _TooSlow

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, max(seconds, 0.01))
    try:
        same = all(agrees(executor, story) for story in stories)
        waiting = False
        return same
    except _TooSlow:
        return None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)

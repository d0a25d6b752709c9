"""The fixture `student`: an implementation under test, called by value, with everything it was asked written down."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from dojo.curriculum import Kata
from dojo.executor import Outcome, Request
from dojo.values import Codec, Handle, copied, is_tensor, mapped, tensors_in


class BrokenPromise(AssertionError):
    """The student's code did what the contract forbids of every call, such as changing an argument."""


class Lost(Exception):
    """The process that ran the student's code has ended, or does not keep to the form; no test expects this error."""


class Stopped(Lost):
    """The student's code was stopped, or was not called because it had been stopped before."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.stopped)
        self.frames = outcome.frames


@dataclass(frozen=True)
class Entry:
    """One request, as it was made, and what came of it."""

    request: Request
    outcome: Outcome


class Trace:
    """What a test asked of the student: enough of it to ask the same of another implementation.

    Calls of functions stand alone, so only the last ones are kept; what was asked of one object, and of those that it
    made, belongs together.
    """

    def __init__(self) -> None:
        self.calls: deque[list[Entry]] = deque(maxlen=200)  # a call, and the gradients asked of it
        self.families: deque[list[Entry]] = deque(maxlen=40)
        self.last: Entry | None = None
        self._of_tape: dict[int, list[Entry]] = {}
        self._of_object: dict[int, list[Entry]] = {}

    def stories(self) -> list[list[Entry]]:
        """Sequences of requests, each independent of the others."""
        return [*self.calls, *self.families]

    def add(self, entry: Entry) -> None:
        request, outcome = entry.request, entry.outcome
        if request.kind == "backward":
            self._of_tape.get(request.target or 0, []).append(entry)
            return
        self.last = entry
        if request.kind == "call":
            story = [entry]
            self.calls.append(story)
        elif request.kind == "make":
            story = [entry]
            self.families.append(story)
        else:
            story = self._of_object.get(request.target or 0, [])
            story.append(entry)
        if outcome.tape is not None:
            self._of_tape[outcome.tape] = story
            self._of_tape.pop(outcome.tape - 64, None)
        if isinstance(outcome.value, Handle):
            self._of_object[outcome.value.number] = story


class Student:
    """Has the names of a kata's contract; values go in and values come out.

    Args:
        kata: whose contract.
        run: takes a request to the student's code, in this process or in another one.
        renew: told when a test begins, and how many seconds the code may compute in it; ends that other process, so
            that the test finds nothing that an earlier one has left there.
    """

    def __init__(
        self, kata: Kata, run: Callable[[Request], Outcome], renew: Callable[[float], object] = lambda seconds: None
    ) -> None:
        self._kata, self._run, self._renew = kata, run, renew
        self._odd = False
        self.trace = Trace()

    def begin(self, seconds: float) -> None:
        """Forget what was asked: another test begins, in which the code may compute so long."""
        self.trace = Trace()
        self._renew(seconds)

    def __getattr__(self, name: str) -> Callable:
        if name in self._kata.functions:
            return lambda *args, **kwargs: self._ask(Request("call", name, args, kwargs))
        if name in self._kata.classes:
            return lambda *args, **kwargs: self._ask(Request("make", name, args, kwargs))
        raise AttributeError(f"the contract of kata {self._kata.label} has no {name}")

    def codec(self, name: str) -> Codec:
        """Stands for the function `name` of the kata's codecs.py."""
        return Codec(name)

    @contextlib.contextmanager
    def odd_globals(self) -> Iterator[None]:
        """Inside, the student's code runs under an unusual default dtype and device, and autocast."""
        self._odd = True
        try:
            yield
        finally:
            self._odd = False

    def _ask(self, request: Request) -> Any:
        args, kwargs = copied((request.args, request.kwargs))  # tests may change their own later
        kept = Request(request.kind, request.name, args, kwargs, request.target, self._odd)
        self.trace.last = Entry(kept, Outcome())  # for the case that it never comes back
        outcome = self._run(replace(request, odd=self._odd))
        self.trace.add(Entry(kept, outcome))
        if outcome.stopped is not None:
            raise Stopped(outcome)
        if outcome.broken is not None:
            raise BrokenPromise(outcome.broken)
        if outcome.error is not None:
            raise outcome.error
        value = copied(outcome.value)  # the trace keeps its own
        if outcome.tape is not None:
            value = self._with_gradients(value, outcome, request)
        return mapped(value, lambda leaf: StudentObject(self, leaf) if isinstance(leaf, Handle) else leaf)

    def _with_gradients(self, value: Any, outcome: Outcome, request: Request) -> Any:
        from dojo.gradients import attached

        outputs = list(tensors_in(value))
        inputs = [x for x in tensors_in((request.args, request.kwargs)) if x.requires_grad]

        def backward(gradients: list) -> Any:
            asked = Request("backward", request.name, (gradients,), target=outcome.tape)
            answer = self._run(asked)
            self.trace.add(Entry(asked, answer))
            if answer.stopped is not None:
                raise Stopped(answer)
            if answer.error is not None:
                raise answer.error
            return answer.value

        fresh = iter(attached(outputs, inputs, outcome.differentiable, backward))
        return mapped(value, lambda leaf: next(fresh) if is_tensor(leaf) else leaf)


class StudentObject:
    """An object of the student's, reached by value: its methods, its attributes, the calls of its codecs."""

    def __init__(self, student: Student, handle: Handle) -> None:
        self._student, self._handle = student, handle

    METHODS = ("insert", "expand", "reset", "next")

    def __getattr__(self, name: str) -> Any:
        if name in self.METHODS:
            return lambda *args, **kwargs: self._student._ask(
                Request("method", name, args, kwargs, self._handle.number)
            )
        return self._student._ask(Request("get", name, target=self._handle.number))

    @property
    def codec_calls(self) -> list[tuple[str, list]]:
        """(name, arguments) of every call of a codec so far."""
        return self._student._ask(Request("codec_calls", target=self._handle.number))

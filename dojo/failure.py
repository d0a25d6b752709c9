"""One failed test as a learner should meet it: the sentence, the call, yours, expected, and what it looks like."""

from __future__ import annotations

import inspect
import textwrap
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from dojo.curriculum import Kata
from dojo.diagnosis import diagnose
from dojo.loading import LoadError, said
from dojo.mistakes import Mistake
from dojo.shown import call_line, compared, short
from dojo.student import BrokenPromise, Lost, Stopped, Student


@dataclass(frozen=True)
class Failure:
    """What a learner is told about one test.

    Attributes:
        test: its name, as pytest takes it.
        sentence: what should hold.
        unwritten: the name of the function that is still the stub, or empty.
        lines: what was called, what came, what was expected.
        mistakes: known wrong versions that do the same.
        load_error: why the file could not be used at all, or empty.
    """

    test: str
    sentence: str
    unwritten: str = ""
    lines: list[str] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    load_error: str = ""

    def text(self) -> str:
        if self.load_error:
            return self.load_error
        if self.unwritten:
            return f"{self.unwritten} is not written yet."
        told = [f"    {line}" for line in self.lines]
        if self.mistakes:
            told += textwrap.wrap(self.mistakes[0].diagnosis, 96, initial_indent="  ", subsequent_indent="  ")
        return "\n".join([f"x  {self.sentence}", *told])


def sentence_of(test: Any, fallback: str) -> str:
    """The first paragraph of a test's docstring, in one line."""
    return " ".join((inspect.getdoc(test) or fallback).split("\n\n")[0].split())


def failure_of(
    kata: Kata,
    test: str,
    sentence: str,
    error: BaseException,
    student: Student | None,
    compared_values: tuple | None,
    seconds: float,
) -> Failure:
    """Explain a failed test.

    Args:
        compared_values: (left, right) of the comparison that failed by `==`, where it was one.
        seconds: for trying the known mistakes; 0 tries none.
    """
    if isinstance(error, LoadError):
        return Failure(test, sentence, load_error=str(error))
    if isinstance(error, NotImplementedError):
        return Failure(test, sentence, unwritten=_unwritten(student))
    if isinstance(error, Stopped):  # to put the same to the known mistakes could take as long
        return Failure(test, sentence, lines=_told(kata, error, student, None))
    lines = _told(kata, error, student, compared_values)
    mistakes = diagnose(kata, student.trace.stories(), seconds) if student is not None and seconds > 0 else []
    return Failure(test, sentence, lines=lines, mistakes=mistakes)


def _unwritten(student: Student | None) -> str:
    last = student.trace.last if student is not None else None
    return last.request.name if last is not None else "something"


def _told(kata: Kata, error: BaseException, student: Student | None, compared_values: tuple | None) -> list[str]:
    last = student.trace.last if student is not None else None
    after = [f"after {call_line(kata, last.request)}:"] if last is not None else []
    if isinstance(error, Stopped) and last is not None:
        where = [f"    {frame}" for frame in error.frames[-1:]]
        return [f"{call_line(kata, last.request)}", f"    {error}{', at' if where else ''}", *where]
    if isinstance(error, (BrokenPromise, Lost)):
        return [*after, f"    {error}."]
    if last is not None and last.outcome.error is error:
        return [
            f"your code raised, in {call_line(kata, last.request)}:",
            *(f"    {frame}" for frame in last.outcome.frames[-4:]),
            f"    {said(error)}",
        ]
    first = str(error).strip().split("\n")[0]
    values = _from_assert_close(error.__traceback__) or compared_values
    if values is not None:
        return [*after, *(f"    {line}" for line in compared(*values))]
    if "DID NOT RAISE" in first:
        wanted = first.removeprefix("DID NOT RAISE").strip(" <>").replace("class ", "").strip("'")
        came = f"came back: {short(last.outcome.value)}" if last is not None else ""
        return [*after, f"    expected {wanted}; {came}"]
    if first.startswith("Regex pattern"):
        rest = [line.strip() for line in str(error).strip().split("\n")[1:3]]
        return [*after, "    the error does not name what is wrong:", *(f"    {line}" for line in rest)]
    return [*after, f"    {first}"]


def _from_assert_close(trace: TracebackType | None) -> tuple[Any, Any] | None:
    """(actual, expected) of the assert_close that failed, from its innermost frame."""
    found = None
    while trace is not None:
        frame = trace.tb_frame
        if frame.f_code.co_name == "assert_close" and "actual" in frame.f_locals:
            found = frame.f_locals["actual"], frame.f_locals["expected"]
        trace = trace.tb_next
    return found

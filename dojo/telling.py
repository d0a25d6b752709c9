"""What the terminal says after the tests of a kata: one problem in full, the others in a line, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable

from dojo.curriculum import Kata
from dojo.failure import Failure
from dojo.loading import shown
from dojo.progress import load_progress

OTHERS = 8  # so many further failures get a line


def summary(kata: Kata, passed: int, total: int, failures: list[Failure], own: bool) -> str:
    """All that a learner needs to know after a run.

    Args:
        passed, total: tests that count, stretch goals left out.
        failures: in the order of the tests.
        own: whether the learner's file was tested, and not another implementation.
    """
    lesson = f"katas/{kata.name}/README.md"
    if broken := next((failure.load_error for failure in failures if failure.load_error), ""):
        return f"katas/{kata.name}: {broken}"
    unwritten = [failure.unwritten for failure in failures if failure.unwritten]
    if own and failures and len(unwritten) == len(failures) and passed == 0:
        names = " and ".join(f"{name}()" for name in kata.names)
        return f"katas/{kata.name} is not begun: write {names} in {shown(kata.file)}; the lesson is {lesson}."
    lines = [f"katas/{kata.name}  {passed} of {total} green", ""]
    told = [failure for failure in failures if not failure.unwritten]
    if told:
        lines += [told[0].text(), f"    ({told[0].test})", ""]
        lines += _in_a_line(told[0], told[1:])
    if unwritten:
        lines += [f"o  {_counted(unwritten)}", ""]
    if own and failures:
        lines.append(next_step(kata))
    elif own:
        lines.append(f"Now train with it: nox -s kata-{kata.label}")
    return "\n".join(lines)


def _in_a_line(first: Failure, others: list[Failure]) -> list[str]:
    sentences = [sentence for sentence in dict.fromkeys(f.sentence for f in others) if sentence != first.sentence]
    lines = [f"x  {sentence}" for sentence in sentences[:OTHERS]]
    if len(sentences) > OTHERS:
        lines.append(f"x  and {len(sentences) - OTHERS} more")
    return [*lines, ""] if lines else []


def _counted(names: Iterable[str]) -> str:
    names = list(names)
    each = [
        f"{name}() ({names.count(name)} test{'s' if names.count(name) > 1 else ''})" for name in dict.fromkeys(names)
    ]
    return f"not written yet: {', '.join(each)}"


def next_step(kata: Kata) -> str:
    """Where help is, and how to be told again."""
    taken = load_progress()[kata.name].hints
    again = "again on every save: nox -s watch"
    if taken < 3:
        return f"   hint {taken + 1} of 3: nox -s hint-{kata.label}          {again}"
    return f"   the worked answer: nox -s solution-{kata.label}          {again}"

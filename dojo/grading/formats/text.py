"""What several formats say in the same words, and the limits that they keep."""

from __future__ import annotations

from dojo.grading.files import printable
from dojo.grading.schema import KataResult, Status, SubmissionResult

LONGEST = 8000  # characters of feedback, reason or notes in one place


def rounded(number: float) -> float:
    """A figure for people; sums of it over a submission are off by less than a hundredth of a point."""
    return round(number, 6)


def shown(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")


def shortened(text: str, longest: int) -> str:
    """A text that may be a stranger's, printable and not too long: its beginning and its end."""
    text = printable(text)
    if len(text) <= longest:
        return text
    half = longest // 2 - 20
    return f"{text[:half]}\n[... {len(text) - 2 * half:,} characters left out ...]\n{text[-half:]}"


def first_line(text: str) -> str:
    return shortened(" ".join(text.split()), 300)


def headline(kata: KataResult) -> str:
    """How a kata went, in a few words."""
    if kata.status is Status.UNCHECKED:
        return "could not be checked"
    if not kata.tests:
        return "not tested"
    passed = sum(test.status is Status.PASSED for test in kata.tests)
    return f"{passed} of {len(kata.tests)} tests passed, {shown(kata.earned)} of {shown(kata.points)} points"


def told(result: SubmissionResult) -> list[str]:
    """A submission in plain lines: katas, notes, isolation. Without the hidden seed, for it may be read too early."""
    lines = []
    if result.status is Status.UNCHECKED:
        lines += ["COULD NOT BE CHECKED in full: what is missing counts as 0 here and is not a grade.", ""]
    lines.append(f"{shown(result.earned)} of {shown(result.points)} points")
    for kata in result.katas:
        lines.append(f"  {kata.label} {kata.name}: {headline(kata)}{'. ' + kata.reason if kata.reason else ''}")
        lines += [f"      seen, not charged: {advisory}" for advisory in kata.advisories]
    lines += ["", *(f"Note: {note}." for note in result.notes)] if result.notes else []
    return [*lines, "", f"Isolation: {result.isolation.name}."]

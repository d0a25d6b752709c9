"""A page for one submission, in Markdown.

Whatever may come from the submission stands in code spans and fenced blocks that it cannot close, so it makes no
headings, links, images, HTML or mentions.
"""

from __future__ import annotations

import re

from dojo.grading.files import printable
from dojo.grading.formats.text import LONGEST, first_line, headline, shortened, shown
from dojo.grading.schema import KataResult, Status, SubmissionResult, TestResult

MARKS = {Status.PASSED: "passed", Status.FAILED: "failed", Status.UNCHECKED: "**could not be checked**"}


def page(result: SubmissionResult) -> str:
    lines = [f"# {code(result.name)}: {shown(result.earned)} of {shown(result.points)} points", ""]
    if result.status is Status.UNCHECKED:
        lines += ["**Not everything could be checked.** What is missing counts as 0 here and is not a grade.", ""]
    lines += ["| kata | result | points | seconds |", "|---|---|---:|---:|"]
    for kata in result.katas:
        points = f"{shown(kata.earned)} of {shown(kata.points)}"
        lines.append(f"| {kata.label} {kata.name} | {MARKS[kata.status]} | {points} | {kata.seconds:.1f} |")
    for kata in result.katas:
        lines += _kata(kata)
    if result.notes:
        lines += ["", "## Notes", "", *(f"- {code(note)}" for note in result.notes)]
    return "\n".join([*lines, "", *_how(result), ""])


def _kata(kata: KataResult) -> list[str]:
    lines = ["", f"## {kata.label} {kata.name}: {headline(kata)}", ""]
    if kata.reason:
        lines += [code(kata.reason), ""]
    if kata.advisories:
        lines += ["Seen, not charged:", "", *(f"- {code(advisory)}" for advisory in kata.advisories), ""]
    unpassed = [test for test in kata.tests if test.status is not Status.PASSED]
    passed = len(kata.tests) - len(unpassed)
    told: dict[str, list[TestResult]] = {}
    for test in unpassed:
        told.setdefault(test.reason or test.feedback, []).append(test)
    for words, tests in told.items():
        lines += _tests(words, tests)
    if passed and unpassed:
        lines.append(f"The other {passed} tests pass.")
    return lines


def _tests(words: str, tests: list[TestResult]) -> list[str]:
    """Tests that are told in the same words: what each wants, then the words once."""
    lines = []
    for test in tests[:10]:
        kinds = [
            *(["hidden"] if test.hidden else []),
            *(["stretch goal"] if test.stretch else []),
            *(["could not be checked"] if test.status is Status.UNCHECKED else []),
        ]
        about = f" ({', '.join(kinds)})" if kinds else ""
        points = f"{shown(test.earned)} of {shown(test.points)}"
        lines.append(f"- {code(first_line(test.sentence))}{about}: {points}, {code(test.name)}")
    if len(tests) > 10:
        lines.append(f"- and {len(tests) - 10} more")
    return [*lines, "", *fenced(words), ""] if words.strip() else [*lines, ""]


def _how(result: SubmissionResult) -> list[str]:
    """What is needed to make the grade again, and what the submission's code was kept from."""
    seed = "no hidden cases" if result.hidden_seed is None else f"hidden seed {result.hidden_seed}"
    versions = ", ".join(f"{name} {code(version)}" for name, version in result.versions.items())
    lines = ["## How this was graded", "", f"{seed}; {versions}; begun {code(result.started)}.", ""]
    lines += [f"Isolation: {result.isolation.name}.", ""]
    lines += [f"- {what}" for what in result.isolation.what_holds]
    lines += [f"- not held: {what}" for what in result.isolation.what_does_not]
    return lines


def code(text: str) -> str:
    """A code span in one line that holds any text, also in a table."""
    text = shortened(" ".join(printable(text).split()), 500).replace("\n", " ").replace("|", "\\|") or " "
    fence = "`" * (_longest_run(text) + 1)
    pad = " " if text[0] in "` " or text[-1] in "` " else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def fenced(text: str) -> list[str]:
    """A fenced block that holds any text."""
    text = shortened(text, LONGEST)
    fence = "`" * max(3, _longest_run(text) + 1)
    return [f"{fence}text", *text.split("\n"), fence]


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)

"""A whole class: points, times, and which tests and mistakes are most common; as JSON, and as a page of it."""

from __future__ import annotations

import ast
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from dojo.curriculum import Kata, find_kata
from dojo.grading.formats.page import code
from dojo.grading.formats.text import first_line, rounded, shown
from dojo.grading.schema import KataResult, Status, SubmissionResult
from dojo.grading.similarity import PHRASE, Likeness

MOST = 15  # lines in each table


@dataclass
class _KataCount:
    """What is gathered of one kata while the results go by."""

    statuses: Counter[str] = field(default_factory=Counter)
    shares: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def summarize(
    results: Iterable[SubmissionResult], likenesses: Sequence[Likeness] = (), not_compared: Sequence[str] = ()
) -> dict[str, Any]:
    """Count a class, one submission at a time."""
    katas: dict[str, _KataCount] = defaultdict(_KataCount)
    missed: Counter[tuple[str, str, str]] = Counter()
    mistakes: Counter[tuple[str, str]] = Counter()
    seen: Counter[tuple[str, str]] = Counter()
    percents: list[float] = []
    unchecked: list[str] = []
    submissions = 0
    for result in results:
        submissions += 1
        if result.status is Status.UNCHECKED:
            unchecked.append(result.name)
        else:
            percents.append(100 * result.earned / result.points if result.points else 0.0)
        for kata in result.katas:
            _count(kata, katas[f"{kata.label} {kata.name}"], missed, mistakes)
            seen.update((kata.name, advisory) for advisory in set(kata.advisories))
    return {
        "submissions": submissions,
        "unchecked": unchecked,
        "percent": _spread(percents),
        "histogram": [sum(min(int(percent // 10), 9) == bar for percent in percents) for bar in range(10)],
        "katas": {name: _kata(count) for name, count in sorted(katas.items())},
        "missed": [
            {"kata": kata, "test": test, "sentence": sentence, "submissions": count}
            for (kata, test, sentence), count in _most(missed)
        ],
        "mistakes": [
            {"kata": kata, "mistake": name, "diagnosis": diagnoses(kata).get(name, ""), "submissions": count}
            for (kata, name), count in _most(mistakes)
        ],
        "advisories": [{"kata": kata, "seen": what, "submissions": count} for (kata, what), count in _most(seen)],
        "similarity": {
            "note": PHRASE,
            "pairs": [like.as_dict() for like in likenesses[:MOST]],
            "not compared": list(not_compared),
        },
    }


def _most(counter: Counter[Any]) -> list[tuple[Any, int]]:
    return sorted(counter.items(), key=lambda item: (-item[1], item[0]))[:MOST]


def _count(
    kata: KataResult, count: _KataCount, missed: Counter[tuple[str, str, str]], mistakes: Counter[tuple[str, str]]
) -> None:
    count.statuses[kata.status.value] += 1
    if kata.status is not Status.UNCHECKED:
        count.shares.append(kata.earned / kata.points if kata.points else 0.0)
        count.seconds.append(kata.seconds)
    begun = kata.earned > 0  # of what is not begun every test fails, which says nothing about the test
    missed.update(
        {
            (kata.name, test.name.partition("[")[0], first_line(test.sentence))
            for test in kata.tests
            if begun and test.status is Status.FAILED and not test.stretch
        }
    )
    mistakes.update({(kata.name, test.mistakes[0]) for test in kata.tests if test.mistakes})


def _kata(count: _KataCount) -> dict[str, Any]:
    statuses = {status.value: count.statuses[status.value] for status in Status}
    mean = statistics.fmean(count.shares) if count.shares else 0.0
    return {**statuses, "mean share": round(mean, 4), "seconds": _spread(count.seconds)}


def _spread(numbers: list[float]) -> dict[str, float]:
    """Least, quartiles, most and mean, by linear interpolation; empty of nothing."""
    if not numbers:
        return {}
    low, middle, high = statistics.quantiles(numbers, n=4, method="inclusive") if len(numbers) > 1 else numbers * 3
    found = {"least": min(numbers), "quarter": low, "median": middle, "three quarters": high, "most": max(numbers)}
    return {name: rounded(number) for name, number in {**found, "mean": statistics.fmean(numbers)}.items()}


@cache
def diagnoses(name: str) -> dict[str, str]:
    """What a teacher would say of each known mistake of a kata: the first docstring of that name, read and not run."""
    kata: Kata | None = find_kata(name)
    if kata is None or not kata.mistakes.exists():
        return {}
    found: dict[str, str] = {}
    for node in ast.parse(kata.mistakes.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and "__" in node.name:
            found.setdefault(node.name.partition("__")[2], " ".join((ast.get_docstring(node) or "").split()))
    return found


def page_of(summary: dict[str, Any]) -> str:
    """The summary as a page in Markdown."""
    count = summary["submissions"]
    lines = [f"# {count} submission{'s' * (count != 1)}", ""]
    if summary["percent"]:
        spread = {name: shown(number) for name, number in summary["percent"].items()}
        lines += [
            f"Percent of the points: mean {spread['mean']}, median {spread['median']}, half of all between "
            f"{spread['quarter']} and {spread['three quarters']}, least {spread['least']}, most {spread['most']}.",
            *("", "| percent | submissions |", "|---|---:|"),
        ]
        lines += [f"| {10 * bar} to {10 * bar + 10} | {many} |" for bar, many in enumerate(summary["histogram"])]
    if summary["unchecked"]:
        names = ", ".join(code(name) for name in summary["unchecked"])
        lines += ["", f"**Could not be checked, and not in the figures above:** {names}"]
    lines += [
        "",
        "## Katas",
        "",
        "| kata | passed | failed | unchecked | mean | median seconds |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, kata in summary["katas"].items():
        seconds = shown(kata["seconds"].get("median", 0.0))
        counts = f"{kata['passed']} | {kata['failed']} | {kata['unchecked']}"
        lines.append(f"| {name} | {counts} | {100 * kata['mean share']:.0f}% | {seconds} |")
    rows = [(one["submissions"], one["kata"], code(one["sentence"]), code(one["test"])) for one in summary["missed"]]
    lines += _table("Tests most often missed, where the kata was begun", ["kata", "what should hold", "test"], rows)
    rows = [(one["submissions"], one["kata"], code(one["mistake"]), one["diagnosis"]) for one in summary["mistakes"]]
    lines += _table("Most common mistakes", ["kata", "mistake", "what to say about it"], rows)
    seen = [(one["submissions"], one["kata"], code(one["seen"])) for one in summary["advisories"]]
    lines += _table("Seen, not charged", ["kata", "what"], seen)
    alike = summary["similarity"]
    pairs = [
        (one["similarity"], one["usual"], one["kata"], code(one["one"]), code(one["other"])) for one in alike["pairs"]
    ]
    lines += _table("Most alike", ["usual for the kata", "kata", "one", "other"], pairs, "similarity")
    lines += ["", alike["note"]] if pairs else []
    if alike["not compared"]:
        lines += ["", f"Could not be compared: {', '.join(code(name) for name in alike['not compared'])}."]
    return "\n".join([*lines, ""])


def _table(title: str, columns: list[str], rows: Sequence[tuple[Any, ...]], first: str = "submissions") -> list[str]:
    if not rows:
        return []
    head = ["", f"## {title}", "", f"| {first} | {' | '.join(columns)} |", f"|--:|{'---|' * len(columns)}"]
    return head + ["| " + " | ".join(str(each) for each in row) + " |" for row in rows]

"""Tables of a class in CSV: katas in one, tests in the other, a row for each submission."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence

from dojo.grading.files import printable
from dojo.grading.formats.text import rounded
from dojo.grading.schema import SubmissionResult

Results = Callable[[], Iterable[SubmissionResult]]  # may be gone through more than once, one at a time


def class_csv(results: Results) -> str:
    """Points and status of every kata."""
    katas = {f"{kata.label} {kata.name}": None for result in results() for kata in result.katas}
    columns = ["name", "status", "earned", "points", "percent"]
    columns += [f"{kata} {what}" for kata in katas for what in ("earned", "points", "status", "reason", "seconds")]
    return table(
        [*columns, "hidden seed", "isolation", "seconds", "notes"], (_row(result, katas) for result in results())
    )


def _row(result: SubmissionResult, katas: Iterable[str]) -> list[object]:
    found = {f"{kata.label} {kata.name}": kata for kata in result.katas}
    percent = 100 * result.earned / result.points if result.points else 0.0
    row: list[object] = [result.name, result.status.value, rounded(result.earned), rounded(result.points)]
    row.append(round(percent, 2))
    for name in katas:
        kata = found.get(name)
        if kata is None:
            row += [""] * 5
        else:
            row += [rounded(kata.earned), rounded(kata.points), kata.status.value, kata.reason, rounded(kata.seconds)]
    seed = "" if result.hidden_seed is None else result.hidden_seed
    return [*row, seed, result.isolation.name, rounded(result.seconds), "; ".join(result.notes)]


def tests_csv(results: Results) -> str:
    """What every test earned; an empty cell where it was not checked."""
    columns = {
        f"{kata.name}::{'hidden ' if test.hidden else ''}{test.name}": None
        for result in results()
        for kata in result.katas
        for test in kata.tests
    }

    def rows() -> Iterator[list[object]]:
        for result in results():
            earned: dict[str, object] = {
                f"{kata.name}::{'hidden ' if test.hidden else ''}{test.name}": (
                    "" if test.status.value == "unchecked" else rounded(test.earned)
                )
                for kata in result.katas
                for test in kata.tests
            }
            yield [result.name, *(earned.get(column, "") for column in columns)]

    return table(["name", *columns], rows())


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(map(cell, columns))
    writer.writerows(map(cell, row) for row in rows)
    return stream.getvalue()


def cell(value: object) -> object:
    """A cell that a spreadsheet takes for text and never for a formula; numbers stay numbers."""
    if not isinstance(value, str):
        return value
    text = printable(value).replace("\n", " ").replace("\t", " ")
    first = unicodedata.normalize("NFKC", text.lstrip()[:1])  # the wide forms of East Asia count as well
    return f"'{text}" if first in ("=", "+", "-", "@", "'", "|", "%") else text

"""Writes the files of the chosen formats, holding one submission at a time."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from dojo.grading.files import write_whole
from dojo.grading.formats import FORMATS
from dojo.grading.formats.classroom import encoded, runner_result
from dojo.grading.formats.gradescope import results_json
from dojo.grading.formats.junit import junit_xml
from dojo.grading.formats.page import page
from dojo.grading.formats.summary import page_of, summarize
from dojo.grading.formats.tables import class_csv, table, tests_csv
from dojo.grading.schema import SubmissionResult, from_json
from dojo.grading.similarity import Likeness


def write_formats(
    out: Path,
    names: Sequence[str],
    formats: Collection[str],
    likenesses: Sequence[Likeness],
    not_compared: Sequence[str],
) -> list[str]:
    """Make the files from OUT/submissions/; what was written, in words for a person."""

    def results() -> Iterable[SubmissionResult]:
        for name in names:
            yield from_json((out / "submissions" / f"{name}.json").read_bytes(), SubmissionResult)

    for result in results():
        _write_submission(out, result, formats)
    summary = summarize(results(), likenesses, not_compared)
    write_whole(out / "summary.json", json.dumps(summary, indent=1))
    written = [f"{each}/" for each in FORMATS if each in formats and each != "csv"]
    if "markdown" in formats:
        write_whole(out / "summary.md", page_of(summary))
        written.append("summary.md")
    if "csv" in formats:
        write_whole(out / "class.csv", class_csv(results))
        write_whole(out / "tests.csv", tests_csv(results))
        columns = ["kata", "one", "other", "similarity", "usual"]
        write_whole(out / "similarity.csv", table(columns, ([*like.as_dict().values()] for like in likenesses)))
        written += ["class.csv", "tests.csv", "similarity.csv"]
    return [*written, "summary.json", "submissions/"]


def _write_submission(out: Path, result: SubmissionResult, formats: Collection[str]) -> None:
    if "gradescope" in formats:
        write_whole(out / "gradescope" / f"{result.name}.json", results_json(result))
    if "classroom" in formats:
        for kata in result.katas:
            found, file = runner_result(kata), f"{kata.label}-{kata.name}"
            write_whole(out / "classroom" / result.name / f"{file}.json", json.dumps(found, indent=1))
            write_whole(out / "classroom" / result.name / f"{file}.base64", encoded(found))
    if "junit" in formats:
        write_whole(out / "junit" / f"{result.name}.xml", junit_xml(result))
    if "markdown" in formats:
        write_whole(out / "markdown" / f"{result.name}.md", page(result))

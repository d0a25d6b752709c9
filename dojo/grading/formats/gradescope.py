"""Gradescope's results.json for one submission.

Format: https://gradescope-autograders.readthedocs.io/en/latest/specs/ ("Output format"). Everything that a submission
may have said is marked as plain text. Tests from the hidden seed are shown to students once grades are published.
"""

from __future__ import annotations

import json
from typing import Any

from dojo.grading.formats.text import LONGEST, first_line, headline, rounded, shortened, told
from dojo.grading.schema import KataResult, Status, SubmissionResult, TestResult


def results_json(result: SubmissionResult) -> str:
    tests = [test for kata in result.katas for test in _tests(kata)]
    found: dict[str, Any] = {
        "score": rounded(result.earned),
        "execution_time": rounded(result.seconds),
        "output": shortened("\n".join(told(result)), LONGEST),
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
        "extra_data": {
            "status": result.status.value,
            "max_score": rounded(result.points),
            "hidden_seed": result.hidden_seed,
            "isolation": result.isolation.name,
            "versions": result.versions,
            "key": result.key,
        },
    }
    return json.dumps(found, indent=1)


def failed_json(why: str) -> str:
    """For a grader that broke down: it says so, for a zero without a word would be taken for a grade."""
    output = (
        "COULD NOT BE CHECKED. The grader itself failed; this zero says nothing about the submission. "
        f"Tell your instructor, and have it graded again.\n\n{shortened(why, LONGEST)}"
    )
    found = {"score": 0.0, "output": output, "output_format": "text", "stdout_visibility": "hidden"}
    return json.dumps({**found, "extra_data": {"status": Status.UNCHECKED.value}}, indent=1)


def _tests(kata: KataResult) -> list[dict[str, Any]]:
    name = f"{kata.label} {kata.name}"
    if not kata.tests:
        about = {"name": f"{name}: {headline(kata)}", "status": "failed", "output": shortened(kata.reason, LONGEST)}
        return [about]
    return [_test(kata, number, test) for number, test in enumerate(kata.tests, 1)]


def _test(kata: KataResult, number: int, test: TestResult) -> dict[str, Any]:
    unchecked = test.status is Status.UNCHECKED
    mark = "could not be checked: " if unchecked else "stretch goal: " if test.stretch else ""
    return {
        "name": f"{kata.label} {kata.name}: {mark}{first_line(test.sentence)}",
        "number": f"{int(kata.label)}.{number}",
        "score": rounded(test.earned),
        "max_score": rounded(test.points),
        "status": "passed" if test.status is Status.PASSED else "failed",
        "output": shortened(test.reason if unchecked else test.feedback, LONGEST),
        "output_format": "text",
        "name_format": "text",
        "tags": [kata.name, *(["hidden"] if test.hidden else []), *(["unchecked"] if unchecked else [])],
        "visibility": "after_published" if test.hidden else "visible",
        "extra_data": {"test": test.name, "status": test.status.value, "mistakes": list(test.mistakes)},
    }

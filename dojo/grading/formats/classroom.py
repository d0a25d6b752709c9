"""The result that GitHub Classroom's autograding reporter takes from a runner, one for each kata.

Format: https://github.com/classroom-resources/autograding-grading-reporter: JSON in base64, in an environment variable
RUNNER_RESULTS. GitHub has retired Classroom (https://gh.io/classroom-sunset); the reporter and its format remain.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from dojo.grading.formats.text import first_line, rounded, shortened
from dojo.grading.schema import KataResult, Status, TestResult

STATUS = {Status.PASSED: "pass", Status.FAILED: "fail", Status.UNCHECKED: "error"}
LARGEST = 96 << 10  # bytes in base64: one environment variable of Linux holds 128 KiB


def runner_result(kata: KataResult) -> dict[str, Any]:
    """The result of a kata as the reporter reads it; long messages are shortened until it fits."""
    for longest in (4000, 1000, 300, 100, 20):
        tests = [_test(kata, test, longest) for test in kata.tests] or [_nothing(kata, longest)]
        found = {"version": 1, "status": STATUS[kata.status], "max_score": rounded(kata.points), "tests": tests}
        if len(encoded(found)) <= LARGEST:
            break
    return found


def encoded(found: dict[str, Any]) -> str:
    return base64.b64encode(json.dumps(found).encode()).decode()


def _test(kata: KataResult, test: TestResult, longest: int) -> dict[str, Any]:
    message = test.reason if test.status is Status.UNCHECKED else test.feedback
    return {
        "name": f"{kata.name}: {shortened(first_line(test.sentence), max(60, longest))}",
        "status": STATUS[test.status],
        "score": rounded(test.earned),
        "message": shortened(message, longest) if test.status is not Status.PASSED else None,
        "test_code": test.name,
        "filename": f"katas/{kata.name}/test_{kata.name}.py",
        "line_no": 0,
        "execution_time": f"{test.seconds:.3f}s",
    }


def _nothing(kata: KataResult, longest: int) -> dict[str, Any]:
    about = {"name": f"{kata.name}: {kata.title}", "status": STATUS[kata.status], "score": 0.0}
    return {**about, "message": shortened(kata.reason, longest)}

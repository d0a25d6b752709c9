"""In place of the grader: points that follow from the text of a source, and processes that end as a source asks."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from dojo.curriculum import Kata
from dojo.grading.job import main
from dojo.grading.schema import Isolation, KataResult, Status, SubmissionResult, TestResult

POINTS = 10.0


def grade_submission(
    name: str, files: Mapping[str, Path], katas: Sequence[Kata], *, hidden_seed: int | None
) -> SubmissionResult:
    """Ten points for a file with "right" in it, none for another; "wait", "die" and "hang" do what they say."""
    results = []
    for kata in katas:
        source = files[kata.name].read_text() if kata.name in files else ""
        if "wait" in source:
            time.sleep(0.3)
        if "die" in source:
            print("about to die", file=sys.stderr, flush=True)
            os.abort()
        if "hang" in source:
            time.sleep(1000)
        right = "right" in source
        status = Status.PASSED if right else Status.FAILED
        said = "" if right else f"x  it is right\n    yours {source[:200]}"
        test = TestResult(
            "test_it[1]", "it is right", POINTS, POINTS * right, status, "", said, () if right else ("wrong",)
        )
        sha = hashlib.sha256(source.encode()).hexdigest() if source else None
        results.append(KataResult(kata.label, kata.name, kata.title, status, "", (test,), (), 0.5, sha))
    return SubmissionResult(
        name, tuple(results), Isolation("limits", ("time",), ("network",)), hidden_seed, {"python": "3"}
    )


if __name__ == "__main__":
    main(grade_submission)

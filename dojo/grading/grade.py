"""What a submission earns: its code runs in the sandbox, and everything that decides runs here and in `trusted`."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from dojo.curriculum import Kata
from dojo.grading.advisories import advisories
from dojo.grading.points import points_of, table
from dojo.grading.running import STRANGE, Run, Runner
from dojo.grading.schema import KataResult, Status, SubmissionResult, TestResult, together
from dojo.grading.versions import versions
from dojo.loading import LoadError, source_of

LARGEST = 2**20  # bytes of a solution file


def grade_kata(
    kata: Kata, file: Path | None, *, hidden_seed: int | None = None, runner: Runner | None = None
) -> KataResult:
    """Grade one solution file.

    Args:
        file: the submission's, None where it has none.
        hidden_seed: from which unseen cases are drawn; None for the public ones only.
        runner: who runs the tests, where several submissions are graded one after the other.
    """
    files = {} if file is None else {kata.name: file}
    return grade_submission("", files, [kata], hidden_seed=hidden_seed, runner=runner).katas[0]


def grade_submission(
    name: str,
    files: Mapping[str, Path],
    katas: Sequence[Kata],
    *,
    hidden_seed: int | None = None,
    runner: Runner | None = None,
) -> SubmissionResult:
    """Grade the files of a submission, each by the tests of its kata; nothing it does raises anything here.

    Args:
        files: name of a kata -> the submission's file for it.
    """
    began, started = time.monotonic(), datetime.now(timezone.utc).isoformat(timespec="seconds")
    with tempfile.TemporaryDirectory(prefix="grading-") as folder:
        sources = {kata.name: _taken(files.get(kata.name), Path(folder) / kata.file.name) for kata in katas}
        there = [kata for kata in katas if not sources[kata.name].problem]
        with Runner() if runner is None else contextlib.nullcontext(runner) as chosen:
            runs = chosen.run(there, Path(folder), hidden_seed)
    results = tuple(_result(kata, sources[kata.name], runs.katas.get(kata.name)) for kata in katas)
    seconds = round(time.monotonic() - began, 3)
    return SubmissionResult(name, results, runs.isolation, hidden_seed, versions(), started, seconds)


@dataclass(frozen=True)
class _Source:
    """A solution file: its text, and why there is none."""

    text: str = ""
    sha256: str | None = None
    problem: str = ""


def _taken(file: Path | None, copy: Path) -> _Source:
    """Copy a file to where the tests look for it, so that nobody changes it meanwhile."""
    if file is None:
        return _Source(problem=f"There is no {copy.name} in the submission.")
    try:
        if file.stat().st_size > LARGEST:
            return _Source(problem=f"{copy.name} is larger than {LARGEST:,} bytes.")
        copy.write_bytes(file.read_bytes())
        sha256 = hashlib.sha256(copy.read_bytes()).hexdigest()
        try:
            text = source_of(copy)
        except LoadError:
            return _Source(sha256=sha256, problem=f"{copy.name} is not text in UTF-8; save it as such.")
    except OSError as error:
        return _Source(problem=f"{copy.name} cannot be read: {error.strerror}.")
    return _Source(text, sha256, "" if text.strip() else f"{copy.name} is empty.")


def _result(kata: Kata, source: _Source, run: Run | None) -> KataResult:
    result = KataResult(kata.label, kata.name, kata.title, Status.FAILED, source_sha256=source.sha256)
    if run is None:
        return replace(result, reason=source.problem, tests=_all_failed(kata, source.problem))
    seen = advisories(kata, source.text)
    if not run.tests:
        problem = run.unchecked or STRANGE
        tests = _all_failed(kata, problem, unchecked=bool(run.unchecked))
        return replace(result, status=together([test.status for test in tests]), reason=problem, tests=tests)
    points = points_of(kata, [(test["name"], test["hidden"]) for test in run.tests.values()])
    tests = tuple(_test_result(test, run, points[test["name"]]) for test in sorted(run.tests.values(), key=_hidden))
    problems = [each["load_error"] for each in run.results.values() if each["load_error"]]
    unwritten = bool(run.results) and all(each["unwritten"] for each in run.results.values())
    reason = run.unchecked or run.stopped or (problems or ["Nothing is written yet." if unwritten else ""])[0]
    status = together([test.status for test in tests if not test.stretch])
    seconds = round(sum(test.seconds for test in tests), 3)
    return replace(result, status=status, reason=clean(reason), tests=tests, advisories=seen, seconds=seconds)


def _hidden(test: dict[str, Any]) -> bool:
    return test["hidden"]


def _test_result(test: dict[str, Any], run: Run, points: float) -> TestResult:
    name, hidden, stretch = test["name"], test["hidden"], test["stretch"]
    result = TestResult(name, clean(test["sentence"]), points, 0.0, Status.FAILED, hidden=hidden, stretch=stretch)
    found = run.results.get(name)
    if found is None and run.unchecked:
        return replace(result, status=Status.UNCHECKED, reason=run.unchecked)
    if found is None:
        return replace(result, feedback=f"Your code ended the tests before this one: {run.stopped or STRANGE}.")
    if found["passed"]:
        return replace(result, status=Status.PASSED, earned=points, seconds=found["seconds"])
    mistakes = tuple(found["mistakes"])
    return replace(result, feedback=clean(found["feedback"]), mistakes=mistakes, seconds=found["seconds"])


def _all_failed(kata: Kata, why: str, unchecked: bool = False) -> tuple[TestResult, ...]:
    """Every function of the table, where no test could be run."""
    status = Status.UNCHECKED if unchecked else Status.FAILED
    reason, feedback = (why, "") if unchecked else ("", why)
    return tuple(
        TestResult(name, name.removeprefix("test_").replace("_", " "), points, 0.0, status, reason, feedback)
        for name, points in table()[kata.name].items()
    )


def clean(text: str) -> str:
    """What every system can show: no control characters, none that is no character, not without end."""
    shown = "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text[:8000])
    return shown.encode(errors="replace").decode()

"""Proof that an exercise is good: what its tests say of the stub, the worked answer, every mistake and other answers.

python -m dojo.verify reads from its standard input which katas and files to examine, collects each kata's tests once,
runs them on one implementation after the other, and prints what came of it, as JSON.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dojo.curriculum import ROOT, Kata, find_kata
from dojo.mistakes import mistakes_of
from dojo.plugin import FAILURES, STUDENT

HIDDEN_SEED = "1"  # honest answers must pass on unseen cases, too
OPTIONS = [
    "-q", "-p", "no:cacheprovider", "-p", "no:logging",
    "-p", "no:unraisableexception",  # it collects all garbage after a run
    "--hidden-seed", HIDDEN_SEED,
]  # fmt: skip


@dataclass
class Findings:
    """What the tests of a kata said of one implementation.

    Attributes:
        passed, failed: names of tests.
        stretch: names of failed stretch goals.
        unwritten: names of failed tests that told of nothing but an unwritten function.
        diagnosed: names of the mistakes that the first failure was told to be.
        said: the first failure, as a learner reads it.
    """

    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    stretch: list[str] = field(default_factory=list)
    unwritten: list[str] = field(default_factory=list)
    diagnosed: list[str] = field(default_factory=list)
    said: str = ""


@dataclass(frozen=True)
class Subject:
    """An implementation to be examined.

    Attributes:
        name: by which it is found in what is printed.
        implementation: as --impl takes it.
        without: marks of tests that are left out.
        first: whether its tests end with the first failure.
    """

    name: str
    implementation: str
    without: tuple[str, ...] = ()
    first: bool = False


class Examiner:
    """A plugin of pytest that runs the collected tests on every subject, as if each had a session of its own."""

    def __init__(self, subjects: list[Subject]) -> None:
        self._subjects = subjects
        self.found: dict[str, Findings] = {}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted("the tests cannot be collected")
        for subject in self._subjects:
            self._now = self.found[subject.name] = Findings()
            self._examine(session, subject)
        return True

    def _examine(self, session: pytest.Session, subject: Subject) -> None:
        config, now = session.config, self._now
        config.option.impl, config.stash[FAILURES] = subject.implementation, {}
        items = [item for item in session.items if not any(map(item.get_closest_marker, subject.without))]
        for item, following in zip(items, [*items[1:], None], strict=True):
            if STUDENT in item.stash:
                del item.stash[STUDENT]  # of the subject before
            config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if now.failed and subject.first:
                config.hook.pytest_runtest_teardown(item=item, nextitem=None)  # what its module has set up, too
                break
        failures = [failure for each in config.stash[FAILURES].values() for failure in each]
        now.unwritten = [failure.test.partition("::")[2] for failure in failures if failure.unwritten]
        if failures:
            now.diagnosed = [mistake.name for mistake in failures[0].mistakes]
            now.said = failures[0].text()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.partition("::")[2]
        if hasattr(report, "wasxfail"):
            self._now.stretch.append(name)
        elif report.failed:
            self._now.failed.append(name)
        elif report.when == "call":
            self._now.passed.append(name)


def examine(kata: Kata, subjects: list[Subject]) -> dict[str, Findings]:
    """Run the tests of a kata on every subject, in this process."""
    examiner, printed = Examiner(subjects), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        status = pytest.main([str(kata.folder), *OPTIONS, "--impl=reference"], plugins=[examiner])
    assert status in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED), printed.getvalue()
    return examiner.found


def subjects_of(kata: Kata, stub: str, *others: str) -> Iterator[Subject]:
    """The worked answer, the stub, every mistake, and the files of other answers."""
    yield Subject("reference", "reference")
    yield Subject("stub", stub)
    for mistake in mistakes_of(kata):  # which the cases that a learner sees must catch
        yield Subject(f"mistake:{mistake.name}", f"mistake:{mistake.name}", without=("hidden",), first=True)
    for file in others:  # an honest answer may miss a stretch goal, and take long to
        yield Subject(Path(file).stem, file, without=("stretch",))


def main() -> None:
    """Examine the katas of the JSON object on standard input, kata -> [stub, other answers ...], and print the same."""
    found: dict[str, dict[str, Any]] = {}
    for name, files in json.load(sys.stdin).items():
        kata = find_kata(name)
        assert kata is not None
        examined = examine(kata, list(subjects_of(kata, *files)))
        found[name] = {subject: asdict(findings) for subject, findings in examined.items()}
    print(json.dumps(found))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()

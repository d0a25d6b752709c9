"""Proof that an exercise is good: what its tests say of the stub, the worked answer, every mistake and other answers.

python -m dojo.verify KATA [FILE ...] runs them all in one process and prints what came of it, as JSON.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest

from dojo.curriculum import ROOT, Kata, find_kata
from dojo.mistakes import mistakes_of
from dojo.plugin import FAILURES

HIDDEN_SEED = "1"  # honest answers must pass on unseen cases, too


@dataclass(eq=False)  # pytest keeps its plugins in sets
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

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.partition("::")[2]
        if hasattr(report, "wasxfail"):
            self.stretch.append(name)
        elif report.failed:
            self.failed.append(name)
        elif report.when == "call":
            self.passed.append(name)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        failures = [failure for each in session.config.stash[FAILURES].values() for failure in each]
        self.unwritten = [failure.test.partition("::")[2] for failure in failures if failure.unwritten]
        if failures:
            self.diagnosed = [mistake.name for mistake in failures[0].mistakes]
            self.said = failures[0].text()


def examine(kata: Kata, implementation: str, *arguments: str) -> Findings:
    """Run the tests of a kata on one implementation, in this process."""
    findings = Findings()
    # without the check for unraisable exceptions, which collects all garbage after each run: a third of the time
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:unraisableexception", f"--impl={implementation}", *arguments]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        pytest.main([str(kata.folder), *options], plugins=[findings])
    return findings


def main(name: str, *files: str) -> None:
    kata = find_kata(name)
    assert kata is not None
    unseen = ("--hidden-seed", HIDDEN_SEED)
    found = {"reference": examine(kata, "reference", *unseen), "stub": examine(kata, files[0], *unseen)}
    for mistake in mistakes_of(kata):
        found[f"mistake:{mistake.name}"] = examine(kata, f"mistake:{mistake.name}", "-x")
    for file in files[1:]:
        found[Path(file).stem] = examine(kata, file, *unseen)
    print(json.dumps({name: asdict(findings) for name, findings in found.items()}))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main(*sys.argv[1:])

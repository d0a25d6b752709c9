"""Runs the tests of katas on a submission, in a trusted process, and reports as it goes.

python -m dojo.grading.trusted JSON writes lines of JSON to a file descriptor that its parent alone reads. The
submission's code runs in the sandbox that the plugin starts, and reaches nothing here.
"""

from __future__ import annotations

import json
import os
import sys
import textwrap
from dataclasses import asdict
from typing import Any

import pytest

from dojo.curriculum import ROOT, find_kata, kata_of
from dojo.failure import Failure, sentence_of
from dojo.plugin import DIAGNOSES, FAILURES, LIMITS, SANDBOX
from reference.sandbox.limits import Limits

MOST_DIAGNOSES = 6  # failures per kata that are diagnosed
OPTIONS = [
    "-q", "-c", os.devnull, "--rootdir", str(ROOT), "--import-mode=importlib", "--noconftest", "--capture=sys",
    "-p", "no:cacheprovider", "-p", "dojo.plugin", "--apart",
]  # fmt: skip


class Reporter:
    """A plugin of pytest that writes what comes of every test."""

    def __init__(self, descriptor: int, limits: Limits) -> None:
        self._stream, self._limits = os.fdopen(descriptor, "w", encoding="utf-8"), limits

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        config.addinivalue_line("markers", "timeout: of pytest-timeout, which is not used here; `Worker` counts")
        config.stash[LIMITS], config.stash[DIAGNOSES] = self._limits, MOST_DIAGNOSES

    def _say(self, kind: str, **what: Any) -> None:
        self._stream.write(json.dumps({"kind": kind, **what}) + "\n")
        self._stream.flush()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        sandbox = session.config.stash[SANDBOX]
        assert sandbox is not None
        self._say("isolation", **asdict(sandbox.isolation))
        for item in session.items:
            kata = kata_of(item.path)
            assert kata is not None
            self._say(
                "test",
                kata=kata.name,
                name=_name(item.nodeid),
                sentence=sentence_of(item.function, item.name),  # type: ignore[attr-defined]
                hidden=item.get_closest_marker("hidden") is not None,
                stretch=item.get_closest_marker("stretch") is not None,
            )

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._say("begun", name=_name(nodeid), kata=_kata(nodeid))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo) -> Any:
        report = yield
        if call.when == "call" or report.failed:
            failures = item.config.stash[FAILURES].get(_kata(item.nodeid), [])
            failure = next((each for each in failures if each.test == item.nodeid), None)
            self._say(
                "result",
                kata=_kata(item.nodeid),
                name=_name(item.nodeid),
                passed=report.passed and not hasattr(report, "wasxfail"),
                feedback=told(failure, item) if failure else "",
                mistakes=[mistake.name for mistake in failure.mistakes] if failure else [],
                load_error=failure.load_error if failure else "",
                unwritten=bool(failure and failure.unwritten),
                seconds=round(report.duration, 3),
            )
        return report

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if session.testscollected and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            self._say("finished")


def told(failure: Failure, item: pytest.Item) -> str:
    """What the learner would have seen; of an unseen case neither its values nor what the code said of them."""
    if item.get_closest_marker("hidden") is None or failure.load_error or failure.unwritten:
        return failure.text()
    lines = [f"x  {failure.sentence}", "    on a case that is not shown"]
    if failure.mistakes:
        lines += textwrap.wrap(failure.mistakes[0].diagnosis, 96, initial_indent="  ", subsequent_indent="  ")
    return "\n".join(lines)


def _name(nodeid: str) -> str:
    return nodeid.partition("::")[2]


def _kata(nodeid: str) -> str:
    kata = kata_of(ROOT / nodeid.partition("::")[0])
    assert kata is not None
    return kata.name


def main(given: str) -> None:
    """`given`: {"descriptor", "folder", "seed", "limits", "katas"} as JSON."""
    asked = json.loads(given)
    unseen = [] if asked["seed"] is None else ["--hidden-seed", str(asked["seed"])]
    tests = [str(kata.tests) for name in asked["katas"] if (kata := find_kata(name))]
    reporter = Reporter(asked["descriptor"], Limits(**asked["limits"]))
    pytest.main([*OPTIONS, "--impl", asked["folder"], *unseen, *tests], plugins=[reporter])


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Runs the tests of katas on submissions, in trusted processes, and reports as it goes.

python -m dojo.grading.trusted JSON reads orders, a line each, and writes lines of JSON to a file descriptor that its
parent alone reads. It imports what takes long, starts the sandbox, and forks a process for every order, so that no
submission finds anything that another has left. A submission's code runs in the sandbox only, and reaches nothing here.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import tempfile
import textwrap
import traceback
from dataclasses import asdict
from typing import Any, NoReturn

import pytest

from dojo.apart import student_sandbox
from dojo.curriculum import ROOT, find_kata, kata_of
from dojo.failure import Failure, sentence_of
from dojo.plugin import DIAGNOSES, FAILURES, LIMITS, SANDBOX
from reference.sandbox.limits import Limits
from reference.sandbox.lockdown import die_with_parent
from reference.sandbox.sandbox import Sandbox, SandboxError
from reference.sandbox.walls import WALLS

MOST_DIAGNOSES = 6  # failures per kata that are diagnosed
OPTIONS = [
    "-q", "-c", os.devnull, "--rootdir", str(ROOT), "--import-mode=importlib", "--noconftest", "--capture=sys",
    "-p", "no:cacheprovider", "-p", "no:logging", "-p", "dojo.plugin", "--apart",
]  # fmt: skip


class Reporter:
    """A plugin of pytest that writes what comes of every test."""

    def __init__(self, descriptor: int, limits: Limits, sandbox: Sandbox) -> None:
        self._stream = os.fdopen(descriptor, "w", encoding="utf-8")
        self._limits, self._sandbox = limits, sandbox

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[LIMITS], config.stash[DIAGNOSES] = self._limits, MOST_DIAGNOSES
        config.stash[SANDBOX] = self._sandbox

    def _say(self, kind: str, **what: Any) -> None:
        self._stream.write(json.dumps({"kind": kind, **what}) + "\n")
        self._stream.flush()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._say("isolation", **asdict(self._sandbox.isolation))
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
    """`given`: the "descriptor" to write to, the "limits" of code in a test, the "walls" to try, by name, or null."""
    die_with_parent()
    asked = json.loads(given)
    limits, walls = Limits(**asked["limits"]), {name: WALLS[name] for name in asked["walls"] or WALLS}
    sandbox = student_sandbox(walls)
    for line in sys.stdin:
        order = json.loads(line)
        if any(kata.torch for kata in map(find_kata, order["katas"]) if kata):
            import torch  # noqa: F401 - while the sandbox starts, and not again in every process that is forked
        with contextlib.suppress(SandboxError):  # pytest will tell
            assert sandbox.isolation  # waited for here, so that what is forked need not
        gc.freeze()  # pytest collects garbage at its end: what is there now is not looked through for it in every fork
        with tempfile.TemporaryFile() as said:
            child = os.fork()
            if not child:
                _obey(order, said.fileno(), Reporter(asked["descriptor"], limits, sandbox))
            _, status = os.waitpid(child, 0)
            said.seek(0)
            words = " ".join(said.read().decode(errors="replace").split()[-60:])
        try:
            if status:
                raise SandboxError("the process may have ended in the middle of a word with the sandbox")
            sandbox.end_all()
        except SandboxError:
            sandbox.close()
            sandbox = student_sandbox(walls)
        os.write(asked["descriptor"], json.dumps({"kind": "ended", "said": words}).encode() + b"\n")
    sandbox.close()


def _obey(order: dict[str, Any], said: int, reporter: Reporter) -> NoReturn:
    """Run pytest, and end; what it prints goes to the file `said`."""
    status = 1
    try:
        die_with_parent()
        os.dup2(said, 1)
        os.dup2(said, 2)
        unseen = [] if order["seed"] is None else ["--hidden-seed", str(order["seed"])]
        tests = [str(kata.tests) for name in order["katas"] if (kata := find_kata(name))]
        pytest.main([*OPTIONS, "--impl", order["folder"], *unseen, *tests], plugins=[reporter])
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


if __name__ == "__main__":
    main(*sys.argv[1:])

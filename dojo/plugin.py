"""The pytest plugin of the katas: the fixtures `student` and `reference`, and failures told to a learner."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import pytest

from dojo.apart import Worker, student_sandbox
from dojo.contract import executor_of
from dojo.curriculum import KATAS, Kata, kata_of
from dojo.executor import SECONDS
from dojo.failure import Failure, failure_of, sentence_of
from dojo.here import Here
from dojo.limits import LIMITS as STUDENT_LIMITS
from dojo.loading import LoadError, load_kata, said
from dojo.progress import record_run
from dojo.shown import shortened
from dojo.student import Student
from dojo.telling import summary
from reference.sandbox.limits import Limits
from reference.sandbox.sandbox import Sandbox

FAILURES = pytest.StashKey[dict[str, list[Failure]]]()
PASSED = pytest.StashKey[dict[str, dict[str, bool]]]()  # per kata and test, stretch goals left out
COLLECTED = pytest.StashKey[Counter[str]]()  # tests per kata that a run is to make, stretch goals left out
TOLD_HERE = pytest.StashKey[bool]()  # the failures are told by this plugin, not by pytest
DIAGNOSIS_SECONDS = 5.0  # of computing, eighty times what the longest of any known mistake takes: so none is missed
COMPARED = pytest.StashKey[tuple | None]()
SANDBOX = pytest.StashKey[Sandbox | None]()
LIMITS = pytest.StashKey[Limits]()  # of a student's code in the sandbox
DIAGNOSES = pytest.StashKey[int]()  # failures of a kata that are diagnosed; a learner waits, and reads the first
STUDENT = pytest.StashKey[Student]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("katas")
    group.addoption(
        "--impl",
        default=None,
        metavar="WHAT",
        help="test another implementation than the learner's file: reference, a file or folder, or mistake:NAME",
    )
    group.addoption("--hidden-seed", default=None, metavar="SEED", help="draw unseen cases as well, from this seed")
    group.addoption("--apart", action="store_true", help="run the student's code in the sandbox, as for a grade")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "stretch: a goal beyond green, which a kata can be green without")
    config.addinivalue_line("markers", "seconds(number): that the code under test may compute in a test")
    config.addinivalue_line("markers", "hidden: its cases are drawn from the hidden seed")
    config.stash[FAILURES], config.stash[PASSED], config.stash[TOLD_HERE] = {}, {}, False
    config.stash.setdefault(LIMITS, STUDENT_LIMITS)
    config.stash.setdefault(DIAGNOSES, 1)
    if SANDBOX not in config.stash:
        config.stash[SANDBOX] = student_sandbox() if config.getoption("--apart") else None
        if sandbox := config.stash[SANDBOX]:
            config.add_cleanup(sandbox.close)
    if config.args and all(kata_of(Path(argument.partition("::")[0])) for argument in config.args):
        config.option.no_header = True


def pytest_collection_finish(session: pytest.Session) -> None:
    """Where only katas are tested, and nobody asked for a style of tracebacks, the plugin tells what failed."""
    config = session.config
    config.stash[COLLECTED] = Counter(
        kata.name for item in session.items if (kata := kata_of(item.path)) and not item.get_closest_marker("stretch")
    )
    if (sandbox := config.stash[SANDBOX]) and session.items:
        assert sandbox.isolation  # it is waited for here, where no test's time is running yet
    if session.items and all(map(_kata_or_none, session.items)) and config.getoption("tbstyle") == "auto":
        config.stash[TOLD_HERE] = True
        config.option.tbstyle = "no"
        if reporter := config.pluginmanager.get_plugin("terminalreporter"):
            reporter.reportchars = ""


def _kata_or_none(item: Any) -> Kata | None:
    return kata_of(item.path)


def _kata(request: pytest.FixtureRequest) -> Kata:
    kata = kata_of(request.path)
    assert kata is not None, "the fixtures of the katas are for the tests in katas/"
    return kata


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Whatever draws its cases from a seed is run once more, on cases that nobody has seen."""
    secret = metafunc.config.getoption("--hidden-seed")
    if "seed" in metafunc.fixturenames and secret is not None:
        unseen = int.from_bytes(hashlib.sha256(str(secret).encode()).digest()[:6], "big")
        hidden = pytest.param(unseen, id="hidden", marks=pytest.mark.hidden)
        metafunc.parametrize("seed", [pytest.param(0, id=pytest.HIDDEN_PARAM), hidden])


@pytest.fixture
def seed() -> int:
    """Of the cases that a test draws at random: 0 where a learner practises."""
    return 0


@pytest.fixture(scope="module")
def student(request: pytest.FixtureRequest) -> Iterator[Student]:
    """The implementation under test, by value."""
    kata, wanted = _kata(request), request.config.getoption("--impl")
    if sandbox := request.config.stash[SANDBOX]:
        limits = request.config.stash[LIMITS]
        worker = Worker(kata, _file(kata, wanted), sandbox, limits, lambda text: sys.stdout.write(text))
        yield Student(kata, worker.run, worker.renew)
        worker.close()
    else:
        here = Here(executor_of(kata, _implementation(kata, wanted)))
        yield Student(kata, here.run, here.renew)


def _file(kata: Kata, wanted: str | None) -> Path:
    if wanted in (None, "reference"):
        return kata.answer if wanted else kata.file
    place = Path(wanted or "").resolve()
    return place / kata.file.name if place.is_dir() else place


def _implementation(kata: Kata, wanted: str | None) -> ModuleType:
    if wanted is not None and wanted.startswith("mistake:"):
        from dojo.mistakes import build, mistakes_of

        name = wanted.removeprefix("mistake:").rpartition("__")[2]
        for mistake in mistakes_of(kata):
            if mistake.name == name:
                return build(kata, mistake)
        raise LoadError(f"kata {kata.label} knows no mistake {name}.")
    return load_kata(kata, _file(kata, wanted))


@pytest.fixture(scope="module")
def reference(request: pytest.FixtureRequest) -> ModuleType:
    """The worked answer, called directly."""
    kata = _kata(request)
    return load_kata(kata, kata.answer)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Nobody whose tests are red waits for a stretch goal, which may compute for long; for a grade it is tried."""
    if item.config.stash[SANDBOX] is None and item.get_closest_marker("stretch") and (kata := kata_of(item.path)):
        failures = item.config.stash[FAILURES].get(kata.name, [])
        if any(not failure.unwritten and not failure.load_error for failure in failures):
            pytest.skip("a stretch goal is for when the other tests are green")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Any:
    student = getattr(item, "funcargs", {}).get("student")
    if student is not None:
        item.stash[STUDENT] = student
        mark = item.get_closest_marker("seconds")
        student.begin(mark.args[0] if mark else SECONDS)
    return (yield)


def pytest_assertrepr_compare(config: pytest.Config, op: str, left: object, right: object) -> None:
    if op in ("==", "is"):
        config.stash[COMPARED] = (left, right)


def _with_lines(excinfo: pytest.ExceptionInfo) -> pytest.ExceptionInfo:
    """The same where every frame has a line: pytest cannot report a timeout that struck between two lines."""
    steps: list[Any] = [excinfo.tb]
    while steps[-1].tb_next is not None:
        steps.append(steps[-1].tb_next)
    if all(step.tb_lineno is not None for step in steps):
        return excinfo
    trace: TracebackType | None = None
    for step in reversed(steps):
        line = step.tb_lineno or step.tb_frame.f_code.co_firstlineno
        trace = TracebackType(trace, step.tb_frame, step.tb_lasti, line)
    return pytest.ExceptionInfo.from_exception(excinfo.value.with_traceback(trace))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Any:
    if call.excinfo is not None:
        call.excinfo = _with_lines(call.excinfo)
    report = yield
    config, kata = item.config, kata_of(item.path)
    values, config.stash[COMPARED] = config.stash.get(COMPARED, None), None
    if kata is None:
        return report
    stretch = item.get_closest_marker("stretch") is not None
    if not stretch and (call.when == "call" or report.failed):
        config.stash[PASSED].setdefault(kata.name, {})[item.nodeid] = report.passed
    if call.excinfo is None or not report.failed:
        return report
    sentence = sentence_of(inspect.unwrap(item.function), item.name)  # type: ignore[attr-defined]
    earlier = config.stash[FAILURES].setdefault(kata.name, [])
    told = sum(not other.unwritten for other in earlier)
    student = item.stash.get(STUDENT, None)
    seconds = DIAGNOSIS_SECONDS if told < config.stash[DIAGNOSES] else 0.0
    try:
        failure = failure_of(kata, item.nodeid, sentence, call.excinfo.value, student, values, seconds)
    except Exception as error:  # the value that came is too odd to be shown, which is no reason to show nothing
        failure = Failure(item.nodeid, sentence, lines=[f"what came cannot be shown: {said(error)}"])
    if report.capstdout.strip():
        failure.lines.append(f"your code printed: {shortened(report.capstdout.strip())}")
    if stretch and not failure.unwritten and not failure.load_error:
        report.outcome, report.wasxfail = "skipped", "a stretch goal"
        return report
    earlier.append(failure)
    if config.stash[TOLD_HERE]:
        report.longrepr = failure.text()
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not config.stash[TOLD_HERE]:
        return
    for kata in KATAS:
        if results := config.stash[PASSED].get(kata.name):
            failures = config.stash[FAILURES].get(kata.name, [])
            own, total = config.getoption("--impl") is None, config.stash[COLLECTED][kata.name]
            terminalreporter.write_line("")
            terminalreporter.write_line(summary(kata, sum(results.values()), total, failures, own))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Note how far the learner is, where all tests of a kata ran on their own file."""
    config = session.config
    chosen = config.getoption("keyword") or config.getoption("markexpr") or config.getoption("deselect")
    if config.getoption("--impl") is not None or chosen or session.shouldstop:
        return
    for kata in KATAS:
        results = config.stash[PASSED].get(kata.name)
        whole = any(_names_whole(kata, argument) for argument in config.args)
        if results and whole:
            record_run(kata, sum(results.values()), len(results))


def _names_whole(kata: Kata, argument: str) -> bool:
    """Whether an argument of pytest, a file or a folder, holds all tests of a kata."""
    return kata.tests.is_relative_to(Path(argument).resolve())

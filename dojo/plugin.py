"""The pytest plugin of the katas: the fixtures `student` and `reference`, and failures told to a learner."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dojo.curriculum import Kata, kata_of
from dojo.executor import Executor
from dojo.failure import Failure, failure_of, sentence_of
from dojo.loading import LoadError, load, load_kata, missing_names, shown
from dojo.student import Student, Trace

FAILURES = pytest.StashKey[dict[str, list[Failure]]]()
COMPARED = pytest.StashKey[tuple | None]()
STUDENT = pytest.StashKey[Student]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("katas")
    group.addoption(
        "--impl",
        default=None,
        metavar="WHAT",
        help="test another implementation than the learner's file: reference, a file, or mistake:NAME",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "stretch: a goal beyond green, which a kata can be green without")
    config.stash[FAILURES] = {}


def _kata(request_or_item: Any) -> Kata:
    kata = kata_of(request_or_item.path)
    assert kata is not None, "the fixtures of the katas are for the tests in katas/"
    return kata


@pytest.fixture(scope="module")
def student(request: pytest.FixtureRequest) -> Student:
    """The implementation under test, by value."""
    kata = _kata(request)
    codecs = kata.folder / "codecs.py"
    executor = Executor(
        kata,
        _implementation(kata, request.config.getoption("--impl")),
        load(codecs, "dojo_codecs") if codecs.exists() else None,
    )
    return Student(kata, executor.run)


def _implementation(kata: Kata, wanted: str | None) -> ModuleType:
    if wanted == "reference":
        return load_kata(kata, kata.answer)
    if wanted is not None and wanted.startswith("mistake:"):
        from dojo.mistakes import build, mistakes_of

        name = wanted.removeprefix("mistake:").rpartition("__")[2]
        for mistake in mistakes_of(kata):
            if mistake.name == name:
                return build(kata, mistake)
        raise LoadError(f"kata {kata.label} knows no mistake {name}.")
    path = kata.file if wanted is None else Path(wanted).resolve()
    module = load_kata(kata, path)
    if missing := missing_names(kata, module):
        raise LoadError(f"{shown(path)} has no {' and no '.join(missing)}; the contract asks for it.")
    return module


@pytest.fixture(scope="module")
def reference(request: pytest.FixtureRequest) -> ModuleType:
    """The worked answer, called directly."""
    kata = _kata(request)
    return load_kata(kata, kata.answer)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Any:
    student = getattr(item, "funcargs", {}).get("student")
    if student is not None:
        item.stash[STUDENT] = student
        student.trace = Trace()
    return (yield)


def pytest_assertrepr_compare(config: pytest.Config, op: str, left: object, right: object) -> None:
    if op in ("==", "is"):
        config.stash[COMPARED] = (left, right)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Any:
    report = yield
    values = item.config.stash.get(COMPARED, None)
    item.config.stash[COMPARED] = None
    kata = kata_of(item.path)
    if kata is None or call.excinfo is None or not report.failed:
        return report
    test = inspect.unwrap(item.function)  # type: ignore[attr-defined]
    failure = failure_of(
        kata, item.nodeid, sentence_of(test, item.name), call.excinfo.value, item.stash.get(STUDENT, None), values
    )
    item.config.stash[FAILURES].setdefault(kata.name, []).append(failure)
    if item.config.getoption("tbstyle") == "auto":
        report.longrepr = failure.text()
    return report

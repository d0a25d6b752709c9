"""The internal schema: what is written comes back, and nothing else is taken."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from dojo.grading.schema import (
    Isolation,
    KataResult,
    SchemaError,
    Status,
    SubmissionResult,
    TestResult,
    from_json,
    to_json,
    together,
)

PASSED = TestResult("test_a[1-x]", "a holds", 2.0, 2.0, Status.PASSED, seconds=0.25)
FAILED = TestResult(
    "test_b", "b holds", 0.1, 0.0, Status.FAILED, "", "x  b holds\n\ud800 \x00 é", ("wrong_sign",), hidden=True
)
KATA = KataResult("03", "rope", "angles", Status.FAILED, "", (PASSED, FAILED), ("told",), 1.5, "ab" * 32)
SUBMISSION = SubmissionResult(
    "ann", (KATA,), Isolation("limits", ("cpu time",), ("network",)), 7, {"python": "3.11"}, "2026-01-02T03:04:05Z", 2.0
)


def test_round_trip() -> None:
    """a result comes back equal, odd characters included, and its JSON is plain ASCII in one line"""
    text = to_json(SUBMISSION)
    assert from_json(text, SubmissionResult) == SUBMISSION
    assert text.isascii()
    assert "\n" not in text
    assert from_json(to_json(KATA), KataResult) == KATA
    assert json.loads(text)["katas"][0]["tests"][1]["status"] == "failed"


def test_points_are_sums() -> None:
    """points and earned are summed over tests and katas"""
    assert (KATA.points, KATA.earned) == (2.1, 2.0)
    assert (SUBMISSION.points, SUBMISSION.earned) == (2.1, 2.0)
    many = dataclasses.replace(KATA, tests=(FAILED,) * 10)
    assert many.points == 1.0, "ten times a tenth is one"


def test_status_of_several() -> None:
    """what is unchecked stays so, whatever else failed; nothing at all is not passed"""
    passed, failed, unchecked = Status.PASSED, Status.FAILED, Status.UNCHECKED
    assert together([passed, passed]) is passed
    assert together([passed, failed]) is failed
    assert together([failed, unchecked, passed]) is unchecked
    assert together([]) is failed


def changed(path: str, value: Any) -> str:
    """The submission's JSON with one field put to another value, or taken out where `value` is ..."""
    found = json.loads(to_json(SUBMISSION))
    *way, last = path.split(".")
    inner = found
    for step in way:
        inner = inner[int(step)] if step.isdigit() else inner[step]
    at: Any = int(last) if last.isdigit() else last
    if value is ...:
        del inner[at]
    else:
        inner[at] = value
    return json.dumps(found)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a SubmissionResult of schema 1"),
        (changed("schema", 2), "not a SubmissionResult of schema 1"),
        (to_json(KATA), "not a SubmissionResult of schema 1"),
        (changed("name", ...), "lacks or has too much: name"),
        (changed("katas.0.tests.1.bonus", 5), "katas[0].tests[1] lacks or has too much: bonus"),
        (changed("katas.0.tests.1.earned", "5"), "katas[0].tests[1].earned should be of type float, not '5'"),
        (changed("katas.0.tests.1.earned", True), "katas[0].tests[1].earned should be of type float"),
        (changed("katas.0.tests.1.earned", float("nan")), "katas[0].tests[1].earned should be of type float"),
        (changed("katas.0.tests.1.hidden", 1), "katas[0].tests[1].hidden should be of type bool"),
        (changed("katas.0.tests.1.status", "fine"), "katas[0].tests[1].status should be of type Status"),
        (changed("katas.0.tests.1.mistakes", "abc"), "katas[0].tests[1].mistakes should be of type tuple"),
        (changed("katas.0.tests.1", None), "katas[0].tests[1] should be a TestResult"),
        (changed("hidden_seed", 1.5), "hidden_seed should be of type int"),
        (changed("versions.python", 3), "versions.python should be of type str"),
    ],
)
def test_what_is_refused(text: str, told: str) -> None:
    """a wrong field is named, with what it should have been"""
    with pytest.raises(SchemaError) as error:
        from_json(text, SubmissionResult)
    assert told in str(error.value)

"""The one form in which results of grading are kept; every file for another system is made from it.

Frozen dataclasses of plain values. `to_json` gives {"schema": 1, "kind": ..., fields}; `from_json` takes that back and
says what is wrong with anything else. Points are never rounded here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, ClassVar, TypeVar, Union, get_args, get_origin, get_type_hints

SCHEMA = 1


class SchemaError(ValueError):
    """A text is not a result of this schema; the message names the field and what it should have been."""


class Status(str, Enum):
    """What came of a test, a kata or a submission. UNCHECKED earns nothing and is never reported as a failure."""

    PASSED = "passed"
    FAILED = "failed"
    UNCHECKED = "unchecked"  # could not be checked, for a reason that is not the submission's


@dataclass(frozen=True)
class TestResult:
    """One test of one kata.

    Attributes:
        name: as pytest takes it, without the file: "test_angles[4-10000]".
        sentence: what should hold.
        points: what it can earn.
        earned: what it did earn, 0 to `points`.
        status: passed, failed or unchecked.
        reason: why it could not be checked; empty otherwise.
        feedback: what the learner would have seen locally, with the diagnosis; empty where it passed.
        mistakes: names of the known mistakes that do the same, most likely first.
        hidden: whether its inputs came from the hidden seed.
        stretch: whether it is a goal beyond green.
        seconds: of wall-clock time.
    """

    __test__: ClassVar[bool] = False  # pytest need not look for tests in it

    name: str
    sentence: str
    points: float
    earned: float
    status: Status
    reason: str = ""
    feedback: str = ""
    mistakes: tuple[str, ...] = ()
    hidden: bool = False
    stretch: bool = False
    seconds: float = 0.0


@dataclass(frozen=True)
class KataResult:
    """All tests of one kata, on one submission.

    Attributes:
        label, name, title: of the kata: "03", "rope", "positions become angles".
        status: passed when every test that counts did; unchecked when it cannot be said.
        reason: one sentence where there is something to say: why it is unchecked, that there is no file, that the
            stub is untouched, that the file cannot be imported.
        tests: in the order of the test file, the hidden ones last.
        advisories: what was seen and is told, but not charged.
        seconds: of wall-clock time.
        source_sha256: of the solution file, None where the submission has none.
    """

    label: str
    name: str
    title: str
    status: Status
    reason: str = ""
    tests: tuple[TestResult, ...] = ()
    advisories: tuple[str, ...] = ()
    seconds: float = 0.0
    source_sha256: str | None = None

    @property
    def points(self) -> float:
        return math.fsum(test.points for test in self.tests)

    @property
    def earned(self) -> float:
        return math.fsum(test.earned for test in self.tests)


@dataclass(frozen=True)
class Isolation:
    """What stood between the submission's code and the machine.

    Attributes:
        name: "bubblewrap", "namespaces" or "limits".
        what_holds: one sentence each, for instance "no network".
        what_does_not: likewise.
    """

    name: str
    what_holds: tuple[str, ...] = ()
    what_does_not: tuple[str, ...] = ()


@dataclass(frozen=True)
class SubmissionResult:
    """One submission.

    Attributes:
        name: unique in its class; safe as the name of a file.
        katas: those that were asked for, in their order.
        isolation: what its code was kept from.
        hidden_seed: of the unseen cases, disclosed so that the grade can be made again; None where there were none.
        versions: of python, torch, nanokata and the platform.
        started: UTC, ISO 8601.
        seconds: of wall-clock time.
        notes: what was left out of the submission and why, and whatever else a person should know.
        key: of all that the result depends on; a submission whose result has the same key need not be graded again.
    """

    name: str
    katas: tuple[KataResult, ...]
    isolation: Isolation
    hidden_seed: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    started: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    key: str = ""

    @property
    def points(self) -> float:
        return math.fsum(kata.points for kata in self.katas)

    @property
    def earned(self) -> float:
        return math.fsum(kata.earned for kata in self.katas)

    @property
    def status(self) -> Status:
        return together([kata.status for kata in self.katas])


def together(statuses: Sequence[Status]) -> Status:
    """Of several: unchecked if one is, else failed if one is (or there is none), else passed."""
    if Status.UNCHECKED in statuses:
        return Status.UNCHECKED
    return Status.PASSED if statuses and Status.FAILED not in statuses else Status.FAILED


Result = TypeVar("Result", KataResult, SubmissionResult)


def to_json(result: KataResult | SubmissionResult) -> str:
    """One line of ASCII, whatever characters the strings hold."""
    return json.dumps({"schema": SCHEMA, "kind": type(result).__name__, **asdict(result)}, allow_nan=False)


def from_json(text: str | bytes, kind: type[Result]) -> Result:
    """The result that `to_json` wrote.

    Raises:
        SchemaError: it is no JSON, of another schema or kind, or a field is missing, unknown or of the wrong type.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"this is not JSON: {error}") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA or found.get("kind") != kind.__name__:
        raise SchemaError(f"this is not a {kind.__name__} of schema {SCHEMA}")
    return _decoded({name: value for name, value in found.items() if name not in ("schema", "kind")}, kind, "")


def _decoded(value: Any, wanted: Any, where: str) -> Any:
    """`value`, as json gives it, as the type `wanted`."""
    if is_dataclass(wanted):
        return _object(value, wanted, where)
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin in (Union, UnionType):
        (inner,) = (argument for argument in arguments if argument is not NoneType)
        return None if value is None else _decoded(value, inner, where)
    if origin is tuple and isinstance(value, list):
        return tuple(_decoded(each, arguments[0], f"{where}[{i}]") for i, each in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {name: _decoded(each, arguments[1], f"{where}.{name}") for name, each in value.items()}
    if wanted is Status and value in [status.value for status in Status]:
        return Status(value)
    if wanted is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    if wanted in (str, int, bool) and type(value) is wanted:
        return value
    name = getattr(origin or wanted, "__name__", str(wanted))
    raise SchemaError(f"{where or 'it'} should be of type {name}, not {value!r:.60}")


def _object(value: Any, wanted: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise SchemaError(f"{where or 'it'} should be a {wanted.__name__}, not {value!r:.60}")
    hints = get_type_hints(wanted)
    names = [each.name for each in fields(wanted)]
    if odd := sorted(set(names) ^ set(value)):
        raise SchemaError(f"{where or wanted.__name__} lacks or has too much: {', '.join(odd)}")
    prefix = f"{where}." if where else ""
    return wanted(**{name: _decoded(value[name], hints[name], prefix + name) for name in names})

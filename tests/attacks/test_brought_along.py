"""What a submission brings along decides nothing, and nothing that is not a pass counts as one.

Entries 5, 10, 23, 24 and 25 of the list of attacks, through the whole command with the real grader, on the kata with
the quickest tests.
"""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from dojo.curriculum import find_kata
from dojo.grading.command import Order, grade
from dojo.grading.job import result_in
from dojo.grading.schema import Status, SubmissionResult
from tests.grading.test_intake import folder

RMSNORM = find_kata("rmsnorm")
assert RMSNORM is not None
ANSWER = RMSNORM.answer.read_bytes()
WRONG = ANSWER + b"\n\ndef rms_norm(x, eps=1e-6):\n    return x\n"
STEERING = {
    "conftest.py": b"import pytest\n\n@pytest.hookimpl(wrapper=True)\ndef pytest_runtest_makereport(item, call):\n"
    b"    report = yield\n    report.outcome = 'passed'\n    return report\n",
    "pytest.ini": b"[pytest]\naddopts = --collect-only\n",
    "pyproject.toml": b"[tool.pytest.ini_options]\naddopts = '-k nothing'\n",
    "katas/rmsnorm/test_rmsnorm.py": b"def test_by_hand():\n    pass\n",
    "katas/rmsnorm/conftest.py": b"collect_ignore_glob = ['*']\n",
    "sitecustomize.py": b"import os\nos._exit(0)\n",
    "katas/rmsnorm/sitecustomize.py": b"import os\nos._exit(0)\n",
    "a.pth": b"import os; os._exit(0)\n",
    "torch.py": b"def equal(*a): return True\n",
    "json.py": b"raise SystemExit(0)\n",
    "dojo/grading/grade.py": b"raise SystemExit(0)\n",
    "katas/curriculum.toml": b"[rmsnorm]\ntest_by_hand = 100\n",
    ".github/workflows/grade.yml": b"on: push\njobs: {}\n",
    "results.json": json.dumps({"score": 100}).encode(),
    "grades/submissions/wrong.json": b'{"schema": 1, "kind": "SubmissionResult", "name": "wrong"}',
    ".dojo/progress.json": json.dumps({"rmsnorm": {"passed": 63, "total": 63, "proof": "it trains"}}).encode(),
    "runs/d4/report.json": json.dumps({"parts": {"rmsnorm": {"whose": "learner"}}}).encode(),
}
SKIPPING = b"""
import unittest

import _pytest.outcomes

def rms_norm(x, eps=1e-6):
    if x.dim() == 1:
        raise unittest.SkipTest("not today")
    raise _pytest.outcomes.XFailed("as expected")
"""


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SubmissionResult]:
    """A class in which honest and dishonest stand side by side."""
    place = tmp_path_factory.mktemp("class")
    sources = {"a-honest": ANSWER, "b-wrong": WRONG, "c-skipping": SKIPPING, "d-honest": ANSWER}
    for name, source in sources.items():
        along = {} if name == "a-honest" else STEERING
        folder(place / "class" / name, {"katas/rmsnorm/rmsnorm.py": source, **along})
    assert RMSNORM is not None
    order = Order((str(place / "class"),), (RMSNORM,), place / "out", frozenset(), 2, 7)
    grade(order, Console(file=io.StringIO()))
    results = [result_in(file) for file in sorted((place / "out" / "submissions").glob("*.json"))]
    return {result.name: result for result in results if result is not None}


def test_the_honest_earn_everything(graded: dict[str, SubmissionResult]) -> None:
    """the worked answer earns all points, first or last, also where it brings along what others bring to cheat"""
    first, last = graded["a-honest"], graded["d-honest"]
    assert first.status is last.status is Status.PASSED
    assert first.earned == first.points == last.earned == last.points > 0
    assert first.notes == ()
    assert [test.name for test in first.katas[0].tests] == [test.name for test in last.katas[0].tests]


def test_what_is_brought_along_decides_nothing(graded: dict[str, SubmissionResult]) -> None:
    """conftest.py, .pth, modules, tests, points, results, claims of training: the wrong solution stays wrong"""
    wrong, honest = graded["b-wrong"], graded["a-honest"]
    assert wrong.status is Status.FAILED
    assert wrong.earned < wrong.points / 2
    assert [(test.name, test.points) for test in wrong.katas[0].tests] == [
        (test.name, test.points) for test in honest.katas[0].tests
    ]
    assert any(note.startswith("also in it, neither read nor run: ") for note in wrong.notes)


def test_only_a_pass_is_a_pass(graded: dict[str, SubmissionResult]) -> None:
    """a test that the code would have skipped, or fail as expected, is failed and earns nothing"""
    result = graded["c-skipping"]
    assert result.status is Status.FAILED
    assert len(result.katas[0].tests) == len(graded["a-honest"].katas[0].tests)
    assert {test.status for test in result.katas[0].tests} == {Status.FAILED}
    assert result.earned == 0

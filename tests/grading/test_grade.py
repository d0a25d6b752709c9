"""A grade: honest work earns its points, the same every time, and nothing else earns any."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from dojo.curriculum import KATAS, ROOT, Kata, find_kata
from dojo.grading.advisories import advisories
from dojo.grading.grade import clean, grade_kata, grade_submission
from dojo.grading.points import points_of, table
from dojo.grading.running import STRANGE, Run, Runner, Runs
from dojo.grading.schema import Status, SubmissionResult
from dojo.mistakes import mistakes_of

UNWRITTEN = """
def calculate(expression):
    raise NotImplementedError

class Dispatcher:
    def __init__(self, *given):
        raise NotImplementedError
"""
NAMES = ("test_order_of_operations", "test_count")


def kata_of(name: str) -> Kata:
    kata = find_kata(name)
    assert kata is not None
    return kata


def mistaken(kata: Kata, name: str, file: Path) -> Path:
    """The worked answer with one known mistake in it, as a file of its own."""
    mistake = next(mistake for mistake in mistakes_of(kata) if mistake.name == name)
    assert len(mistake.replaced) == 1
    (function,) = mistake.replaced
    text = kata.mistakes.read_text(encoding="utf-8")
    answer = kata.answer.read_text(encoding="utf-8").replace("from __future__ import annotations", "")
    text = text.replace("from __future__ import annotations", "")
    file.write_text(f"{answer}\n\n{text}\n\n{function} = {function}__{name}\n", encoding="utf-8")
    return file


def test_honest_work_earns_everything(tmp_path: Path) -> None:
    """the worked answers earn all points, on public and on unseen cases"""
    result = grade_submission("ada", {kata.name: kata.answer for kata in KATAS}, KATAS, hidden_seed=11)
    assert [(kata.status, kata.reason) for kata in result.katas] == [(Status.PASSED, "")] * 9
    assert [round(kata.earned, 6) for kata in result.katas] == [100] * 9
    assert result.isolation.what_holds
    assert result.hidden_seed == 11


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    """One for many submissions."""
    with Runner() as runner:
        yield runner


def test_the_stub_earns_nothing(runner: Runner, tmp_path: Path) -> None:
    """a stub, an empty file, no file, no text and no Python earn nothing, and the reason is told"""
    kata = kata_of("tools")
    stub, empty, noise, wrong = (tmp_path / name for name in ("stub.py", "empty.py", "noise.py", "wrong.py"))
    stub.write_text(UNWRITTEN)
    empty.write_text("\n")
    noise.write_bytes(b"\xff\xfe\x00")
    wrong.write_text("def calculate(:\n")
    problems = [(stub, ""), (empty, "is empty"), (None, "no tools.py"), (noise, "UTF-8")]
    for file, words in [*problems, (wrong, "not Python")]:
        result = grade_kata(kata, file, runner=runner)
        assert (result.status, result.earned) == (Status.FAILED, 0)
        assert words in result.reason
        assert round(result.points, 6) == 100


@pytest.fixture(scope="module")
def both_ways(runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> tuple[SubmissionResult, SubmissionResult]:
    """Two katas with a known mistake in each, graded twice: in one order, and then in the other."""
    folder = tmp_path_factory.mktemp("mistaken")
    katas = [kata_of(name) for name in ("tools", "rmsnorm")]
    files = {kata.name: mistaken(kata, mistakes_of(kata)[0].name, folder / f"{kata.name}.py") for kata in katas}
    one = grade_submission("x", files, katas, hidden_seed=3, runner=runner)
    return one, grade_submission("x", files, katas[::-1], hidden_seed=3, runner=runner)


def test_a_mistake_is_named(both_ways: tuple[SubmissionResult, SubmissionResult]) -> None:
    """what is wrong costs its tests, the rest is earned, and the diagnosis is in the feedback"""
    mistake = mistakes_of(kata_of("rmsnorm"))[0]
    result = next(kata for kata in both_ways[0].katas if kata.name == "rmsnorm")
    assert result.status is Status.FAILED
    assert 0 < result.earned < result.points
    failed = [test for test in result.tests if test.status is Status.FAILED]
    assert mistake.name in failed[0].mistakes
    assert all(test.feedback for test in failed)
    assert " ".join(mistake.diagnosis.split()) in " ".join(failed[0].feedback.split())


@pytest.mark.parametrize("kata", KATAS, ids=[kata.name for kata in KATAS])
def test_every_test_has_points(kata: Kata) -> None:
    """the table names exactly the tests of a kata, and a kata is worth 100 points"""
    import ast

    tree = ast.parse(kata.tests.read_text(encoding="utf-8"))
    tests = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name[:5] == "test_"}
    assert list(table()[kata.name]) == list(tests)
    assert round(sum(table()[kata.name].values()), 6) == 100
    stretch = [name for name, test in tests.items() if any("stretch" in ast.unparse(d) for d in test.decorator_list)]
    assert all(points > 0 or name in stretch for name, points in table()[kata.name].items())
    assert all(table()[kata.name][name] == 0 for name in stretch)


@pytest.mark.parametrize(("unchecked", "status"), [("", Status.FAILED), ("no torch", Status.UNCHECKED)])
@pytest.mark.parametrize("told", [0, 1])
def test_nobody_is_excused(unchecked: str, status: Status, told: int) -> None:
    """where the tests come to a stop, the rest has failed, unless the worked answer cannot be graded either"""
    kata = kata_of("tools")
    first, second = ({"name": name, "sentence": "it holds", "hidden": False, "stretch": False} for name in NAMES)
    done = {"passed": True, "seconds": 0.1, "load_error": "", "unwritten": False, "feedback": "", "mistakes": []}
    tests = {test["name"]: test for test in (first, second)} if told else {}
    run = Run(tests, {NAMES[0]: done} if told else {}, STRANGE, unchecked)

    class Stopped(Runner):
        def run(self, katas: Sequence[Kata], folder: Path, seed: int | None) -> Runs:
            return Runs({kata.name: run})

    result = grade_kata(kata, kata.answer, runner=Stopped())
    assert result.status is status
    assert [test.status for test in result.tests][told:] == [status] * (len(result.tests) - told)
    assert all(test.reason if unchecked else test.feedback for test in result.tests[told:])


def test_a_grader_that_cannot_start(tmp_path: Path) -> None:
    """without a sandbox nothing is run, and the reason is told"""
    kata = kata_of("tools")
    with Runner(walls=["a wall that there is not"]) as runner:
        result = grade_kata(kata, kata.answer, runner=runner)
    assert result.status is Status.UNCHECKED
    assert "on the worked answer either" in result.reason


def test_the_same_points_in_any_order(both_ways: tuple[SubmissionResult, SubmissionResult]) -> None:
    """repeated, and in another order, every test of every kata earns the same"""
    earned = [{(kata.name, test.name): test.earned for kata in run.katas for test in kata.tests} for run in both_ways]
    assert 0 < sum(earned[0].values()) < 200
    assert earned[0] == earned[1]


def test_unseen_cases_have_names() -> None:
    """with a hidden seed, what draws its cases is run once more, and what there was keeps its name"""
    code = (
        "import pytest\nfor more in ([], ['--hidden-seed', '7']):\n"
        "    assert not pytest.main(['katas/grpo', '--collect-only', '-q', *more]); print('\\n***')"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    public, both = (part.strip().split("\n\n")[0] for part in said.split("***")[:2])
    unseen = set(both.split()) - set(public.split())
    assert set(public.split()) < set(both.split())
    assert len(unseen) >= 5
    assert all(name.endswith("hidden]") for name in unseen)


@pytest.mark.parametrize(
    ("name", "source", "words"),
    [
        ("attention", "import torch.nn.functional as F\nF.scaled_dot_product_attention(q, k, v)", "library function"),
        ("rmsnorm", "from torch.nn.functional import rms_norm as f", "library function"),
        ("rmsnorm", "def rms_norm(x): return rms_norm(x)", ""),
        ("rope", "from reference.parts.rope import *", "this project's reference"),
        ("rope", "from . import rope", "this project's reference"),
        ("rope", "import os, ctypes", "the system"),
        ("rope", "import re\nre.compile('x')", ""),
        ("rope", "eval('1')", "runs text as code"),
        ("rope", "import sys; sys._getframe(1).f_globals", "reads the stack"),
        ("rope", "open('/proc/self/maps')", "names '/proc/self/maps'"),
        ("rope", "class A:\n    def __eq__(self, other): return True", "what is equal"),
        ("rope", "def f(:", ""),
        ("rope", "\0", ""),
        ("rope", "(" * 10_000, ""),
    ],
)
def test_advisories(name: str, source: str, words: str) -> None:
    """what a person should look at is named with its line; ordinary code, and what is no code, gives nothing"""
    told = advisories(kata_of(name), source)
    assert bool(told) == bool(words), told
    assert words in " ".join(told)


def test_points_are_shared_out() -> None:
    """a function's points are its cases' in equal parts, and the unseen ones' where there are such"""
    kata = kata_of("rmsnorm")
    name, other = list(table()[kata.name])[:2]
    worth = table()[kata.name]
    cases = [(f"{name}[a]", False), (f"{name}[b]", False), (other, False), (f"{other}[hidden]", True)]
    assert points_of(kata, cases) == {
        f"{name}[a]": worth[name] / 2,
        f"{name}[b]": worth[name] / 2,
        other: 0,
        f"{other}[hidden]": worth[other],
    }


def test_feedback_can_be_shown_anywhere() -> None:
    """control characters and halves of characters do not reach a report"""
    assert clean("a\x1b[31mb\ud800c\nd\0") == "a\ufffd[31mb\ufffdc\nd\ufffd"
    clean("\ud800").encode()

"""A grade: honest work earns its points, the same every time, and nothing else earns any."""

from __future__ import annotations

from pathlib import Path

import pytest

from dojo.curriculum import KATAS, Kata, find_kata
from dojo.grading.grade import clean, grade_kata, grade_submission
from dojo.grading.points import points_of, table
from dojo.grading.schema import Status
from dojo.mistakes import mistakes_of

pytestmark = pytest.mark.timeout(400)


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
    katas = [kata_of("rmsnorm"), kata_of("tools")]
    result = grade_submission("ada", {kata.name: kata.answer for kata in katas}, katas, hidden_seed=11)
    assert [(kata.status, kata.reason) for kata in result.katas] == [(Status.PASSED, "")] * 2
    assert [round(kata.earned, 6) for kata in result.katas] == [100, 100]
    assert result.isolation.what_holds
    assert result.hidden_seed == 11


def test_the_stub_earns_nothing(tmp_path: Path) -> None:
    """a stub, an empty file, no file, no text and no Python earn nothing, and the reason is told"""
    kata = kata_of("tools")
    stub, empty, noise, wrong = (tmp_path / name for name in ("stub.py", "empty.py", "noise.py", "wrong.py"))
    stub.write_text("def calculate(x):\n    raise NotImplementedError\n\nclass Dispatcher:\n    pass\n")
    empty.write_text("\n")
    noise.write_bytes(b"\xff\xfe\x00")
    wrong.write_text("def calculate(:\n")
    for file, words in [(empty, "is empty"), (None, "no tools.py"), (noise, "UTF-8"), (wrong, "not Python")]:
        result = grade_kata(kata, file)
        assert (result.status, result.earned) == (Status.FAILED, 0)
        assert words in result.reason
        assert round(result.points, 6) == 100


def test_a_mistake_is_named(tmp_path: Path) -> None:
    """what is wrong costs its tests, the rest is earned, and the diagnosis is in the feedback"""
    kata = kata_of("rmsnorm")
    mistake = mistakes_of(kata)[0]
    result = grade_kata(kata, mistaken(kata, mistake.name, tmp_path / "rmsnorm.py"), hidden_seed=1)
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

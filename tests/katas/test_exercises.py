"""The exercises are good: stubs are red and say so, answers are green, every mistake is caught and named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dojo.curriculum import KATAS, ROOT, Kata
from dojo.mistakes import mistakes_of
from dojo.stub import is_stub, original

ALTERNATIVES = ROOT / "tests" / "katas" / "alternatives"


@pytest.fixture(scope="module", params=KATAS, ids=[kata.name for kata in KATAS])
def kata(request: pytest.FixtureRequest) -> Kata:
    return request.param


@pytest.fixture(scope="module")
def examined(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, dict[str, Any]]]:
    """By kata and name, what its tests say of every implementation; one process does all, and imports torch once."""
    asked = {}
    for kata in KATAS:
        stub = kata.file
        if not is_stub(kata):  # somebody has begun to practise in this checkout
            stub = tmp_path_factory.mktemp(kata.name) / "stub.py"
            stub.write_bytes(original(kata) or b"")
        asked[kata.name] = [str(stub), *map(str, sorted((ALTERNATIVES / kata.name).glob("*.py")))]
    command = [sys.executable, "-m", "dojo.verify"]
    done = subprocess.run(command, cwd=ROOT, input=json.dumps(asked), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def found(kata: Kata, examined: dict[str, dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """What the kata's tests say of every implementation, by its name."""
    return examined[kata.name]


def test_the_stub_is_red(found: dict[str, dict[str, Any]]) -> None:
    """every test fails on the stub, and says that a function is not written yet"""
    stub, reference = found["stub"], found["reference"]
    tests = {*reference["passed"], *reference["stretch"]}
    assert set(stub["failed"]) == tests == set(stub["unwritten"])
    assert stub["passed"] == []


def test_the_worked_answer_is_green(found: dict[str, dict[str, Any]]) -> None:
    """the reference passes every test that is needed for green"""
    assert found["reference"]["failed"] == [], found["reference"]["said"]
    assert len(found["reference"]["passed"]) >= 10


def test_every_mistake_is_caught(kata: Kata, found: dict[str, dict[str, Any]]) -> None:
    """there are at least ten mistakes, and a test fails on each of them"""
    mistakes = [f"mistake:{mistake.name}" for mistake in mistakes_of(kata)]
    assert len(mistakes) >= 10
    assert [name for name in mistakes if not found[name]["failed"]] == []


def test_every_mistake_is_called_by_its_name(kata: Kata, found: dict[str, dict[str, Any]]) -> None:
    """a learner who made the mistake is told so with the first failure"""
    missed = {
        mistake.name: found[f"mistake:{mistake.name}"]["diagnosed"]
        for mistake in mistakes_of(kata)
        if mistake.name not in found[f"mistake:{mistake.name}"]["diagnosed"]
    }
    assert missed == {}


def test_diagnoses_are_sentences(kata: Kata) -> None:
    """what is said about a mistake is one or two whole sentences, and no two are the same"""
    texts = [mistake.diagnosis for mistake in mistakes_of(kata)]
    assert [text for text in texts if not (40 <= len(text) <= 400 and text[-1] in ".?!")] == []
    assert len(set(texts)) == len(texts)


def test_other_honest_answers_are_green(kata: Kata, found: dict[str, dict[str, Any]]) -> None:
    """at least three answers that were written otherwise pass every test"""
    names = [file.stem for file in (ALTERNATIVES / kata.name).glob("*.py")]
    assert len(names) >= 3
    assert {name: found[name]["failed"] for name in names if found[name]["failed"]} == {}
    assert all(found[name]["passed"] for name in names)


def test_through_another_process() -> None:
    """the same tests pass when the answer runs in a process of its own; all katas do so in test_grade.py"""
    command = [sys.executable, "-m", "pytest", "katas/tools", "--impl", "reference", "--apart", "-q"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["bpe", "tools"])
def test_no_torch_where_none_is_needed(name: str) -> None:
    """the katas about text answer sooner than torch can be imported, also when they fail"""
    run = f"pytest.main(['katas/{name}', '-q', '-x', '--impl', sys.argv[1]])"
    code = f"import sys, pytest; {run}; print(sorted(sys.modules))"
    for implementation in ("reference", f"mistake:{mistakes_of(next(k for k in KATAS if k.name == name))[0].name}"):
        done = subprocess.run([sys.executable, "-c", code, implementation], cwd=ROOT, capture_output=True, text=True)
        assert "'dojo.plugin'" in done.stdout
        assert "'torch'" not in done.stdout
        assert "'hypothesis'" not in done.stdout


def test_every_test_has_a_sentence(kata: Kata) -> None:
    """what a learner reads first is the docstring of a test: one sentence, begun small, without a period"""
    import ast

    tree = ast.parse(kata.tests.read_text(encoding="utf-8"))
    tests = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    sentences = {node.name: (ast.get_docstring(node) or "") for node in tests}
    assert len(tests) >= 10
    assert [name for name, text in sentences.items() if len(text) < 15 or text.endswith(".")] == []
    assert len(set(sentences.values())) == len(sentences)


def test_folder_is_whole(kata: Kata) -> None:
    """a kata has its lesson, stub, tests, hints and mistakes"""
    names = {"README.md", f"{kata.name}.py", f"test_{kata.name}.py", "hints.md", "mistakes.py"}
    assert names <= {file.name for file in Path(kata.folder).iterdir()}

"""Likeness by syntax tree: blind to what is easily changed, awake to what is not, and not to be killed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from dojo.curriculum import KATAS, ROOT, find_kata
from dojo.grading.fingerprints import MOST, fingerprints
from dojo.grading.similarity import ANSWER, compare, fingerprints_of, likenesses
from tests.grading.test_intake import folder

BPE = (ROOT / "reference" / "parts" / "bpe.py").read_text(encoding="utf-8")
ALTERNATIVES = ROOT / "tests" / "katas" / "alternatives"


class Renamed(ast.NodeTransformer):
    """Another name for everything that has one, and other constants."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(f"x_{node.id}", node.ctx)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        return ast.Attribute(node.value, f"y_{node.attr}", node.ctx)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant(17) if isinstance(node.value, int) else node


def disguised(source: str) -> str:
    """Other names, constants, comments, docstrings, annotations, imports and order; the same program otherwise."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            for argument in node.args.args:
                argument.annotation = None
            if ast.get_docstring(node):
                node.body = node.body[1:] or [ast.Pass()]
            node.name = f"f_{node.name}"
    tree.body = [*reversed([node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom)])]
    return "import os, sys\n# mine\n" + ast.unparse(ast.fix_missing_locations(Renamed().visit(tree)))


def share(one: str, other: str) -> float:
    mine, theirs = fingerprints(one), fingerprints(other)
    return len(mine & theirs) / min(len(mine), len(theirs))


@pytest.mark.parametrize("kata", KATAS, ids=lambda kata: kata.name)
def test_a_disguise_changes_nothing(kata: object) -> None:
    """names, constants, docstrings, annotations, comments and the order of functions do not count"""
    source = kata.answer.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    assert disguised(source) != source
    assert share(source, disguised(source)) > 0.97


def test_another_program_is_another() -> None:
    """solutions that others wrote for the same contract are less like the answer than any disguise of it"""
    shares = [
        share((ROOT / "reference" / "parts" / f"{kata.name}.py").read_text(), file.read_text())
        for kata in KATAS
        for file in (ALTERNATIVES / kata.name).glob("*.py")
    ]
    assert len(shares) >= 9
    assert sorted(shares)[len(shares) // 2] < 0.8


def test_a_part_that_was_taken_is_found() -> None:
    """one long function out of the answer, in a file of other things, leaves its marks"""
    functions = [node for node in ast.parse(BPE).body if isinstance(node, ast.FunctionDef)]
    longest = max(functions, key=lambda node: len(ast.unparse(node)))
    other = (ROOT / "reference" / "parts" / "tools.py").read_text()
    marks, mixed = fingerprints(ast.unparse(longest)), fingerprints(f"{other}\n\n{ast.unparse(longest)}")
    assert marks <= mixed
    assert len(marks & fingerprints(other)) < len(marks) / 2


def test_the_stub_does_not_count() -> None:
    """what everybody was given makes nobody alike"""
    stub, one, other = set(range(100)), set(range(100)) | {200 + i for i in range(20)}, set(range(110))
    assert compare("rope", {"ann": one, "bob": other}, stub) == []
    (pair,) = compare("rope", {"ann": one, "bob": other}, set())
    assert pair.similarity == 100 / 110
    assert compare("rope", {"ann": set(), "bob": one}, set()) == []


def test_a_class(tmp_path: Path) -> None:
    """who has copied from whom, and from the worked answer, stands first; who has nothing stands nowhere"""
    rope = find_kata("rope")
    assert rope is not None
    mine = next((ALTERNATIVES / "rope").glob("*.py")).read_text()
    files = {
        "ann/rope.py": mine.encode(),
        "bob/rope.py": disguised(mine).encode(),
        "cid/rope.py": disguised(rope.answer.read_text()).encode(),
        "dan/rope.py": rope.file.read_bytes(),
        "eve/rope.py": b"def rotary_tables(:\n",
        "fay/bpe.py": b"",
    }
    found, left_out = likenesses(folder(tmp_path, files), ["ann", "bob", "cid", "dan", "eve", "fay"], [rope])
    pairs = {(like.one, like.other): like.similarity for like in found}
    assert pairs[("ann", "bob")] > 0.97
    assert pairs[("cid", ANSWER)] > 0.97
    assert all({"dan", "eve", "fay"}.isdisjoint(pair) for pair in pairs)
    assert {(like.one, like.other) for like in found[:2]} == {("ann", "bob"), ("cid", ANSWER)}
    assert left_out == ["eve, rope"]


def test_sources_that_hurt(tmp_path: Path) -> None:
    """deep, huge, endless and no text: each is left out, those around it are not, and this process lives on"""
    hurting = {
        "a": b"x = " + b"(" * 50_000,
        "b": b"x = " + b"-" * 200_000 + b"1",
        "c": b"x = 1" + b" + 1" * 60_000,
        "d": b"\xff\xfe\x00",
        "e": b"x = 1\x00",
        "f": b"a" + b".a" * 100_000,
        "g": "\n".join(
            f"def f{i}(a):\n    return a{' + a' * (i % 40)} * {i}{' - a' * (i % 7)}" for i in range(9000)
        ).encode(),
        "h": b"if x:\n" * 0 + b"".join(b" " * i + b"if x:\n" for i in range(400)),
        "i": b'f"' + b"{" * 10_000,
    }
    order = []
    for name, source in hurting.items():
        folder(tmp_path, {f"{name}.py": source, f"good_{name}.py": BPE.encode()})
        order += [tmp_path / f"{name}.py", tmp_path / f"good_{name}.py"]
    found = fingerprints_of([*order, tmp_path / "missing.py"])
    assert len(found) == len(order) + 1
    assert all(marks == fingerprints(BPE) for marks in found[1:-1:2])
    assert found[-1] is None
    assert all(marks is None or len(marks) <= MOST for marks in found)
    assert sum(marks is None for marks in found[0:-1:2]) >= 6


def test_a_source_that_ends_the_process(tmp_path: Path) -> None:
    """the file at which it ended is left out, and the next go to another process"""
    program = tmp_path / "program.py"
    program.write_text(
        "import json, os, sys\nfor name in json.load(sys.stdin):\n"
        "    if 'bad' in name: print('[1, ', end='', flush=True); os.abort()\n"
        "    print([len(name)], flush=True)\n"
    )
    names = ["bad1", "good", "bad2", "bad3", "other", "bad4"]
    found = fingerprints_of([Path("/") / name for name in names], str(program))
    assert found == [None, {5}, None, None, {6}, None]


def test_every_mention_is_no_verdict() -> None:
    """the phrase says that a person has to judge, and nothing calls anybody a cheat"""
    text = "".join((ROOT / "dojo" / "grading" / name).read_text() for name in ("similarity.py", "formats/summary.py"))
    assert "never a verdict" in text
    assert not re.search(r"cheat|plagiar|fraud", text, re.IGNORECASE)

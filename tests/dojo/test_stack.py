"""A learner's part in the stack: it is used and counted, and what goes wrong in it stops the run in a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from dojo.curriculum import Kata, find_kata
from dojo.stack import learner_part
from reference.errors import UserError
from reference.parts import Parts
from reference.parts.provenance import counted


@dataclass(frozen=True)
class Moved(Kata):
    """A kata whose learner's file lies elsewhere."""

    place: Path = Path()

    @property
    def file(self) -> Path:
        return self.place / f"{self.name}.py"


def moved(name: str, folder: Path, source: str) -> Kata:
    kata = find_kata(name)
    assert kata is not None
    (folder / f"{name}.py").write_text(source)
    return Moved(**vars(kata), place=folder)


def answer(name: str) -> str:
    kata = find_kata(name)
    assert kata is not None
    return kata.answer.read_text()


def test_a_part_is_used(tmp_path: Path) -> None:
    """the learner's code runs, and its calls are counted"""
    part = learner_part(moved("rmsnorm", tmp_path, answer("rmsnorm")))
    parts, calls = counted(Parts(rmsnorm=part))
    x = torch.randn(2, 5)
    assert parts.rmsnorm.rms_norm(x).equal(Parts().rmsnorm.rms_norm(x))
    assert (calls["rmsnorm"], part.__file__) == (1, str(tmp_path / "rmsnorm.py"))


def test_objects_too(tmp_path: Path) -> None:
    """a KVCache of the learner's works, and so does what it expands to"""
    parts, calls = counted(Parts(kv_cache=learner_part(moved("kv_cache", tmp_path, answer("kv_cache")))))
    cache = parts.kv_cache.KVCache(1, 1, 1, 2, 4)
    cache.insert(0, torch.ones(1, 1, 3, 2), torch.zeros(1, 1, 3, 2))
    wide = cache.expand(3)
    keys, _ = wide.insert(0, torch.zeros(3, 1, 1, 2), torch.zeros(3, 1, 1, 2))
    assert keys[2, 0, :, 0].tolist() == [1, 1, 1, 0]
    assert (cache.length, wide.length, calls["kv_cache"]) == (3, 4, 4)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return x[99]", r"^Your rmsnorm raised IndexError: .*, in rms_norm\(x, eps=0.5\), x float32 \(2, 50\)\."),
        ("return x / 0 * 0", r"^Your rmsnorm returned NaN, though no argument holds one, in rms_norm"),
        ("raise KeyError('k')", r"raised KeyError: 'k'"),
    ],
)
def test_what_goes_wrong(tmp_path: Path, body: str, words: str) -> None:
    """the sentence names the part, what it was called with, and how to go on with the reference's"""
    part = learner_part(moved("rmsnorm", tmp_path, f"def rms_norm(x, eps=1e-6):\n    {body}\n"))
    with pytest.raises(UserError, match=words) as raised:
        part.rms_norm(torch.ones(2, 50), eps=0.5)
    assert "nox -s d4 -- --reference rmsnorm" in str(raised.value)


def test_nan_that_was_there_before(tmp_path: Path) -> None:
    """NaN in an argument is not the part's fault"""
    part = learner_part(moved("rmsnorm", tmp_path, "def rms_norm(x, eps=1e-6):\n    return x + 1\n"))
    assert part.rms_norm(torch.tensor([float("nan")])).isnan().all()


def test_a_part_that_hangs(tmp_path: Path) -> None:
    """a call that computes too long is stopped, and the sentence says where it stood"""
    hanging = moved("rmsnorm", tmp_path, "def rms_norm(x, eps=1e-6):\n    while True: pass\n")
    part = learner_part(hanging, seconds=0.3)
    words = (
        r"^Your rmsnorm was stopped after 0\.3 s of computing, at line 2, in rms_norm: while True: pass, in rms_norm\("
    )
    with pytest.raises(UserError, match=words):
        part.rms_norm(torch.ones(2))


@pytest.mark.parametrize(("source", "words"), [("def f(", "is not Python"), ("x = 1\n", "has no rms_norm")])
def test_a_file_that_cannot_be_used(tmp_path: Path, source: str, words: str) -> None:
    """a file that was green and is no longer Python is a sentence, too"""
    with pytest.raises(UserError, match=words):
        learner_part(moved("rmsnorm", tmp_path, source))

"""The diagnosis: a known mistake is named however it is written, and nothing else is called one."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from dojo.contract import executor_of
from dojo.curriculum import Kata, find_kata
from dojo.diagnosis import agrees, diagnose
from dojo.loading import load_kata
from dojo.student import Student
from tests.dojo.test_stack import Moved, answer, moved

X = torch.tensor([[1.0, -2.0, 4.0], [0.5, 3.0, -1.0]])
PLENTY = 60.0  # seconds, so that no busy machine changes what is found


def named(kata: Kata, source: str, folder: Path, seconds: float = PLENTY) -> list[str]:
    """What the diagnosis calls a file after two calls of rms_norm, one with a gradient."""
    file = folder / "mine.py"
    file.write_text(source)
    student = Student(kata, executor_of(kata, load_kata(kata, file)).run)
    student.rms_norm(X, eps=0.5)
    (student.rms_norm(X.clone().requires_grad_()) * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    return [mistake.name for mistake in diagnose(kata, student.trace.stories(), seconds)]


def norm(line: str) -> str:
    return f"import torch\n\ndef rms_norm(x, eps=1e-6):\n    {line}\n"


def rmsnorm() -> Kata:
    kata = find_kata("rmsnorm")
    assert kata is not None
    return kata


def test_a_mistake_in_other_words(tmp_path: Path) -> None:
    """the sum in the place of the mean is named, though nobody wrote it like this"""
    line = "return (x.double() / torch.einsum('...i,...i->...', x, x).add(eps).double().sqrt()[..., None]).float()"
    assert "sum_for_mean" in named(rmsnorm(), norm(line), tmp_path)


def test_what_is_right_is_no_mistake(tmp_path: Path) -> None:
    """the answer, and the same by another way, are called nothing"""
    assert named(rmsnorm(), answer("rmsnorm"), tmp_path) == []
    assert named(rmsnorm(), norm("return torch.nn.functional.rms_norm(x, x.shape[-1:], eps=eps)"), tmp_path) == []


def test_a_new_mistake_has_no_name(tmp_path: Path) -> None:
    """what nobody has foreseen is not called something else, nor is a mistake with another one on top"""
    assert named(rmsnorm(), norm("return x * 0.37"), tmp_path) == []
    twice = "return 1.5 * x / (x.square().sum(-1, keepdim=True) + eps).sqrt()"
    assert named(rmsnorm(), norm(twice), tmp_path) == []


def test_a_wrong_gradient_counts(tmp_path: Path) -> None:
    """right values with a gradient that stops are told by the gradient"""
    line = "r = (x.square().mean(-1, keepdim=True) + eps).rsqrt().detach(); return x * r"
    found = named(rmsnorm(), norm(line), tmp_path)
    assert found != []
    assert "sum_for_mean" not in found


@dataclass(frozen=True)
class WithMistakes(Moved):
    """A kata whose mistakes lie elsewhere, too."""

    @property
    def mistakes(self) -> Path:
        return self.place / "mistakes.py"


def test_a_slow_mistake_is_cut_short(tmp_path: Path) -> None:
    """a mistake that does not come back costs its time, and those before it are still told"""
    kata = rmsnorm()
    slow = WithMistakes(**vars(kata), place=tmp_path)
    half = "def rms_norm__half(x, eps=1e-6):\n    return x / 2\n"
    slow.mistakes.write_text(f"{half}\n\ndef rms_norm__hangs(x, eps=1e-6):\n    while True:\n        pass\n")
    begun = time.process_time()
    assert named(slow, norm("return x / 2"), tmp_path, seconds=0.5) == ["half"]
    assert time.process_time() - begun < 30


ONE_ROW = """
_expand = KVCache.expand


class KVCache(KVCache):
    def expand(self, batch):
        return self if batch == 1 else _expand(self, batch)
"""


def test_the_same_object_is_not_a_new_one(tmp_path: Path) -> None:
    """a cache that gives itself back for a copy differs from the answer, although all its values agree"""
    kata = moved("kv_cache", tmp_path, answer("kv_cache") + ONE_ROW)
    student = Student(kata, executor_of(kata, load_kata(kata, kata.file)).run)
    student.KVCache(1, 1, 1, 2, 4).expand(1).reset()
    (story,) = student.trace.stories()
    assert not agrees(executor_of(kata, load_kata(kata, kata.answer)), story)
    assert agrees(executor_of(kata, load_kata(kata, kata.file)), story)

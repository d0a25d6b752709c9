"""The fixture `student`: what it hands in, what it checks of every call, what it hands out; here and through a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dojo.apart import Worker, student_sandbox
from dojo.contract import executor_of
from dojo.curriculum import Kata, find_kata
from dojo.limits import LIMITS
from dojo.loading import load_kata
from dojo.shown import compared, short
from dojo.student import BrokenPromise, Student
from dojo.values import close
from reference.sandbox.sandbox import Sandbox

Make = Callable[..., Student]


def kata_of(name: str) -> Kata:
    kata = find_kata(name)
    assert kata is not None
    return kata


@pytest.fixture
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """make(kata's name, source) -> the student with that source, in this process unless a test asks for another one."""
    apart = getattr(request, "param", "here") == "apart"
    workers = []

    def made(name: str, source: str) -> Student:
        kata, file = kata_of(name), tmp_path / f"{name}.py"
        file.write_text(source)
        if not apart:
            return Student(kata, executor_of(kata, load_kata(kata, file)).run)
        workers.append(Worker(kata, file, request.getfixturevalue("sandbox"), LIMITS, print))
        return Student(kata, workers[-1].run)

    yield made
    for worker in workers:
        worker.close()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with student_sandbox() as sandbox:
        yield sandbox


both = pytest.mark.parametrize("make", ["here", "apart"], indirect=True)


def norm(body: str) -> str:
    return f"import torch\n\ndef rms_norm(x, eps=1e-6):\n    {body}\n"


@both
def test_values_and_errors_cross(make: Make) -> None:
    """results come back as values, errors with their class and words"""
    student = make("rmsnorm", norm("return x * eps if eps >= 0 else 1 / [0][int(-eps)]"))
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert student.rms_norm(x, eps=2.0).tolist() == [[2.0, 4.0], [6.0, 8.0]]
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        student.rms_norm(x, eps=-0.5)
    with pytest.raises(IndexError, match="list index out of range"):
        student.rms_norm(x, eps=-7.0)
    assert student.trace.last is not None
    assert student.trace.last.outcome.frames == (
        "line 4, in rms_norm: return x * eps if eps >= 0 else 1 / [0][int(-eps)]",
    )


@both
def test_strides_arrive(make: Make) -> None:
    """an expanded or transposed tensor arrives as one, with its values"""
    student = make("rmsnorm", norm("return torch.tensor([float(s) for s in x.stride()] + [x.sum().item()])"))
    assert student.rms_norm(torch.tensor([[1.0], [2.0]]).expand(2, 5)).tolist() == [1, 0, 15]
    assert student.rms_norm(torch.arange(6.0).view(2, 3).t()).tolist() == [1, 3, 15]
    assert student.rms_norm(torch.arange(10.0)[1::3]).tolist() == [3, 12]


@both
def test_gradients_cross(make: Make) -> None:
    """backward() goes through the student's graph, a second time as well, and adds up in the leaves"""
    student = make("rmsnorm", norm("return x.square() * eps"))
    x = torch.tensor([1.0, -3.0], requires_grad=True)
    (3 * student.rms_norm(x, eps=2.0)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [12.0, -36.0]
    student.rms_norm(x[1:], eps=1.0).sum().backward()
    assert x.grad.tolist() == [12.0, -42.0]


def test_what_is_detached_has_no_gradient(make: Make) -> None:
    """a result that does not depend on its argument, for autograd, says so"""
    student = make("rmsnorm", norm("return x.detach() * 2"))
    y = student.rms_norm(torch.ones(3, requires_grad=True))
    assert not y.requires_grad


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return x.mul_(2)", "changed its argument x"),
        ("x.view(-1)[0] = 7; return x + 1", "changed its argument x"),
        ("return x", "shares memory"),
        ("return x[:]", "shares memory"),
        ("return x.numpy() + 1", "class ndarray"),
        ("return torch.nn.Parameter(x + 1)", "class Parameter"),
        ("return x + 1, {'a': {1, 2}}", "class set"),
        ("return x.sum().numpy()[()]", "class float32"),
    ],
)
def test_broken_promises(make: Make, body: str, words: str) -> None:
    """changing an argument, sharing its memory, and returning what is no plain value are found in any call"""
    student = make("rmsnorm", norm(body))
    with pytest.raises(BrokenPromise, match=words):
        student.rms_norm(torch.ones(2, 3))


@both
def test_lists_are_the_callers(make: Make) -> None:
    """a list that is changed, or handed back, is found"""
    others = "train = encode = decode = merge\n"
    changed = make("bpe", f"def merge(ids, pair, new_id):\n    ids.append(1)\n    return [0]\n{others}")
    with pytest.raises(BrokenPromise, match="changed its argument ids"):
        changed.merge([1, 2], (1, 2), 3)
    returned = make("bpe", f"def merge(ids, pair, new_id):\n    return ids\n{others}")
    with pytest.raises(BrokenPromise, match="shares memory"):
        returned.merge([1, 2], (1, 2), 3)


KEEPER = """
class KVCache:
    def __init__(self, *sizes, **kinds):
        self.length, self.capacity, self.kept = 0, 1, []

    def insert(self, layer, k, v):
        self.kept.append(k)
        return self.kept[0] + 0, v + 0

    def expand(self, batch):
        return KVCache()
"""


@both
def test_what_was_kept_is_scribbled_on(make: Make) -> None:
    """an object that keeps an argument instead of a copy has lost it at its next call"""
    cache = make("kv_cache", KEEPER).KVCache(1, 1, 1, 1, 1)
    ones: Tensor = torch.ones(1, 1, 1, 1)
    assert cache.insert(0, ones, ones)[0].item() == 1
    assert cache.insert(0, ones, ones)[0].isnan().all()
    assert cache.length == 0
    assert cache.expand(2).capacity == 1


@both
def test_odd_globals(make: Make) -> None:
    """inside odd_globals a tensor made by default lies on no device, and outside all is as before"""
    student = make("rmsnorm", norm("return torch.zeros(2)"))
    with student.odd_globals():
        y = student.rms_norm(torch.ones(2))
    assert (y.device.type, y.dtype) == ("meta", torch.float64)
    assert student.rms_norm(torch.ones(2)).tolist() == [0, 0]
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize(
    "deed",
    [
        "import os; os.remove({file!r})",
        "import shutil; shutil.rmtree({folder!r})",
        "open({file!r}, 'w').write('mine')",
        "import subprocess; subprocess.run(['rm', {file!r}])",
        "import pathlib; pathlib.Path({file!r}).unlink()",
    ],
)
def test_files_are_out_of_reach(make: Make, tmp_path: Path, deed: str) -> None:
    """code that deletes or writes a file, or starts a program, gets an error that says so; the file stays"""
    (tmp_path / "precious").mkdir()
    file = tmp_path / "precious" / "notes.txt"
    file.write_text("precious")
    student = make("rmsnorm", norm(deed.format(file=str(file), folder=str(file.parent)) + "; return x + 1"))
    with pytest.raises(PermissionError, match=r"your code tried to (delete|write|start the program)"):
        student.rms_norm(torch.ones(2))
    assert file.read_text() == "precious"


def test_exit_is_a_failure(make: Make) -> None:
    """sys.exit in the student's code ends nothing"""
    student = make("rmsnorm", norm("raise SystemExit(0)"))
    with pytest.raises((SystemExit, RuntimeError)):
        student.rms_norm(torch.ones(2))


def test_a_name_that_the_contract_lacks(make: Make) -> None:
    """only the contract can be called"""
    with pytest.raises(AttributeError, match="has no layer_norm"):
        make("rmsnorm", norm("return x + 1")).layer_norm(1)


def test_memory_on_the_default_device_is_told(make: Make) -> None:
    """a result that was made on the odd default device is no crash: it is compared and described"""
    student = make("rmsnorm", norm("return torch.zeros(2, 9)"))
    with student.odd_globals():
        y = student.rms_norm(torch.ones(2, 9))
    assert compared(y, torch.ones(2, 9)) == ["yours     on the device meta", "expected  on the device cpu"]
    assert "without numbers" in short(y)
    assert not close(y, torch.ones(2, 9))
    assert close(y, y)

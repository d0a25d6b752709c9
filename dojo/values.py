"""Values as they cross the border to a student's code: copied, compared, described. Needs torch only where torch is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

PLAIN = (type(None), bool, int, float, str, bytes)


@dataclass(frozen=True)
class Handle:
    """Stands for an object that stays with the student's code, such as a KVCache."""

    number: int
    class_name: str


@dataclass(frozen=True)
class Codec:
    """Stands for a function of the kata's codecs.py, which runs beside the student's code."""

    name: str


def is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def tensors_in(value: Any) -> Iterator[Any]:
    if "torch" not in sys.modules:  # then nobody has made one
        return
    if is_tensor(value):
        yield value
    for inner in _members(value):
        if not isinstance(inner, PLAIN):  # most are numbers, and a generator for each takes long
            yield from tensors_in(inner)


def mutables_in(value: Any) -> Iterator[Any]:
    """The value itself and what it holds: lists and dicts."""
    if isinstance(value, (list, dict)):
        yield value
    for inner in _members(value):
        if not isinstance(inner, PLAIN):
            yield from mutables_in(inner)


def _members(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        yield from value
    elif isinstance(value, dict):
        yield from value.values()


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same tree of lists, tuples and dicts with `change` applied to every other value."""
    if type(value) is list or type(value) is tuple:
        return type(value)(mapped(inner, change) for inner in value)
    if type(value) is dict:
        return {key: mapped(inner, change) for key, inner in value.items()}
    return change(value)


def copied(value: Any) -> Any:
    """A copy that shares nothing; a strided or expanded tensor stays one, and one that wants a gradient wants it."""
    return mapped(value, lambda leaf: _copied_tensor(leaf) if is_tensor(leaf) else leaf)


def _copied_tensor(tensor: Any) -> Any:
    inner = tensor.detach()
    if inner.is_contiguous() or inner.numel() == 0:
        copy = inner.clone()
    else:  # the stretch of memory that it spans, seen through the same window
        span = 1 + sum((size - 1) * stride for size, stride in zip(inner.shape, inner.stride(), strict=True))
        copy = inner.as_strided((span,), (1,)).clone().as_strided(inner.shape, inner.stride())
    return copy.requires_grad_() if tensor.requires_grad else copy


def same(a: Any, b: Any) -> bool:
    """Equal to the last bit, NaN to NaN included."""
    if is_tensor(a) and is_tensor(b):
        return a.dtype == b.dtype and a.shape == b.shape and a.device == b.device and _bits(a).equal(_bits(b))
    return _alike(a, b, same)


def _bits(tensor: Any) -> Any:
    torch = sys.modules["torch"]
    flat = tensor.detach().contiguous().reshape(-1)
    return flat.view(torch.uint8) if flat.numel() else flat


def close(a: Any, b: Any) -> bool:
    """Equal up to rounding, as two honest ways to compute the same are."""
    if is_tensor(a) and is_tensor(b):
        if (a.dtype, a.shape, a.device) != (b.dtype, b.shape, b.device) or a.device.type == "meta":
            return (a.dtype, a.shape, a.device) == (b.dtype, b.shape, b.device)  # meta tensors have no numbers
        if not a.is_floating_point():
            return a.equal(b)
        torch = sys.modules["torch"]
        a, b = a.detach().float(), b.detach().float()
        finite = b[torch.isfinite(b)]
        scale = finite.abs().max().item() if finite.numel() else 0.0
        return torch.allclose(a, b, rtol=1e-4, atol=1e-5 * scale, equal_nan=True)
    if isinstance(a, float) and isinstance(b, float):
        return a == b or abs(a - b) <= 1e-6 * max(abs(a), abs(b)) or (a != a and b != b)
    return _alike(a, b, close)


def _alike(a: Any, b: Any, alike: Callable[[Any, Any], bool]) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(alike(a[key], b[key]) for key in a)
    return a == b or (a != a and b != b)

"""Values as a learner reads them: whole when small, around the first difference when large."""

from __future__ import annotations

import sys
from typing import Any

from dojo.contract import parameter
from dojo.curriculum import Kata
from dojo.executor import Request
from dojo.values import Codec, Handle, is_tensor

WIDTH = 88
SMALL = 8  # so many numbers are shown whole


def call_line(kata: Kata, request: Request) -> str:
    """ "rms_norm(x, eps=0.5), x float32 (2, 3)": what was called with what."""
    if request.kind == "codec_calls":
        return "asking what your object has called"
    words, notes = [], []
    for i, value in enumerate(request.args):
        word, note = _argument(value, parameter(kata, request.name, i))
        words.append(word)
        notes.append(note)
    for name, value in request.kwargs.items():
        word, note = _argument(value, name)
        words.append(word if word == name else f"{name}={word}")
        notes.append(note)
    call = f"{request.name}({', '.join(words)})" if request.kind != "get" else f".{request.name}"
    return shortened(call, 2 * WIDTH) + "".join(f", {note}" for note in notes if note)


def _argument(value: Any, name: str) -> tuple[str, str]:
    if not is_tensor(value):
        return short(value), ""
    if value.numel() <= SMALL and value.ndim <= 2:
        return short(value), ""
    return name, f"{name} {described(value)}"


def described(tensor: Any) -> str:
    """ "float32 (2, 3)", with what is unusual about it."""
    notes = "" if tensor.is_contiguous() else ", strided"
    return f"{dtype_of(tensor)} {tuple(tensor.shape)}{notes}"


def dtype_of(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def short(value: Any) -> str:
    """A value in one line."""
    if is_tensor(value):
        if value.device.type == "meta":
            return f"{described(value)} on the device meta, without numbers"
        if value.numel() <= SMALL:
            return f"{dtype_of(value)} {_numbers_text(value)}"
        return f"{described(value)} {_numbers_text(value.reshape(-1)[:5])[:-1]} ...]"
    if isinstance(value, (Codec, Handle)):
        return value.name if isinstance(value, Codec) else value.class_name
    if isinstance(value, (list, tuple)) and any(map(is_tensor, value)):
        return f"({', '.join(map(short, value))})"
    if str(type(value)) == "<class 'torch.dtype'>":
        return str(value)
    return shortened(repr(value), WIDTH)


def shortened(text: str, width: int = WIDTH) -> str:
    """A text of at most so many characters, in one line."""
    text = " ".join(text.split("\n"))
    return text if len(text) <= width else f"{text[: width - 4]} ..."


def _numbers_text(tensor: Any) -> str:
    values = tensor.detach().tolist()
    return _nested(values)


def _nested(values: Any) -> str:
    if isinstance(values, list):
        return (
            f"[{', '.join(map(_nested, values))}]"
            if values and isinstance(values[0], list)
            else (f"[{' '.join(map(_nested, values))}]")
        )
    return f"{values:.5g}" if isinstance(values, float) else str(values)


def compared(yours: Any, expected: Any) -> list[str]:
    """Two lines, yours and expected, and one that says where they first differ."""
    if is_tensor(yours) and is_tensor(expected) and yours.shape == expected.shape:
        return _tensors_compared(yours, expected)
    lines = [f"yours     {short(yours)}", f"expected  {short(expected)}"]
    if type(yours) is type(expected) and isinstance(yours, (list, tuple)) and not any(map(is_tensor, yours)):
        pairs = enumerate(zip(yours, expected, strict=False))
        at = next((i for i, (a, b) in pairs if a != b), min(len(yours), len(expected)))
        if at > SMALL or len(yours) != len(expected):
            lengths = f", lengths {len(yours)} and {len(expected)}" if len(yours) != len(expected) else ""
            around = slice(max(0, at - 2), at + 3)
            lines.append(
                f"they first differ at index {at}: {short(list(yours[around]))}, "
                f"expected {short(list(expected[around]))}{lengths}"
            )
    return lines


def _tensors_compared(yours: Any, expected: Any) -> list[str]:
    torch = sys.modules["torch"]
    if yours.device != expected.device:
        return [f"yours     on the device {yours.device}", f"expected  on the device {expected.device}"]
    if yours.dtype != expected.dtype:
        return [f"yours     {described(yours)}", f"expected  {described(expected)}: another dtype"]
    if yours.numel() <= SMALL:
        return [f"yours     {_numbers_text(yours)}", f"expected  {_numbers_text(expected)}"]
    a, b = yours.detach().cpu().double(), expected.detach().cpu().double()
    scale = b[b.isfinite()].abs().max().item() if b.isfinite().any() else 1.0
    differs = ~torch.isclose(a, b, rtol=1e-3, atol=1e-4 * scale, equal_nan=True)
    if not differs.any():
        differs = ~((a == b) | (a.isnan() & b.isnan()))
    if not differs.any():
        return [f"yours     {short(yours)}", f"expected  {short(expected)}"]
    first = tuple(differs.nonzero()[0].tolist())
    start = max(0, min(first[-1], yours.shape[-1] - 5))
    row = (*first[:-1], slice(start, start + 5))
    place = ", ".join(map(str, first[:-1])) + (", " if len(first) > 1 else "")
    return [
        f"yours     {_numbers_text(yours[row])}",
        f"expected  {_numbers_text(expected[row])}   at [{place}{start}:{start + 5}] of {tuple(yours.shape)}",
        f"{int(differs.sum())} of {yours.numel()} values differ, first at {list(first)}",
    ]

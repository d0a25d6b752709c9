"""What an untrusted process may answer. It can say what it likes; here is decided what of it is looked at."""

from __future__ import annotations

import sys
from typing import Any

from dojo.curriculum import Kata
from dojo.executor import Outcome, Request
from dojo.values import PLAIN, Handle, is_tensor
from dojo.wire import WireError

DEEPEST = 20  # lists within lists
LONGEST_INT = 4096  # bits; Python refuses to print much longer ones
DTYPES = {
    f"torch.{name}"
    for name in "bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex64 complex128".split()
}
LONGEST_TEXT = 4000  # characters of a line of a traceback, or of a sentence


def checked(outcome: Any, request: Request, kata: Kata) -> Outcome:
    """The outcome, if it is one that this request could have honestly.

    Raises:
        WireError: it is not.
    """
    if type(outcome) is not Outcome:
        raise WireError("it is no outcome")
    tensors = _plain(outcome.value, kata, 0)
    tape, differentiable = outcome.tape, outcome.differentiable
    if type(differentiable) is not tuple or any(type(one) is not bool for one in differentiable):
        raise WireError("it does not say what is differentiable")
    if (tape is None) != (not any(differentiable)) or (tape is not None and type(tape) is not int):
        raise WireError("gradients are promised of nothing, or nothing of gradients")
    if tape is not None and len(differentiable) != tensors:
        raise WireError("gradients are promised of more or less than there is")
    whole = outcome.error is None and outcome.stopped is None
    if request.kind == "backward" and whole and type(outcome.value) not in (list, tuple):
        raise WireError("gradients are no list")
    if not (outcome.error is None or isinstance(outcome.error, Exception)):
        raise WireError("an error is none")
    if type(outcome.frames) is not tuple or not all(_short_text(frame) for frame in outcome.frames):
        raise WireError("the lines of a traceback are no text")
    if not all(told is None or _short_text(told) for told in (outcome.broken, outcome.stopped)):
        raise WireError("a broken promise, or a stop, is not told")
    return outcome


def _short_text(value: Any) -> bool:
    return type(value) is str and len(value) <= LONGEST_TEXT


def _plain(value: Any, kata: Kata, depth: int) -> int:
    """How many tensors the value holds. Raises WireError where it is none that the executor hands out."""
    if depth > DEEPEST:
        raise WireError(f"lists within lists are more than {DEEPEST} deep")
    if type(value) in (list, tuple):
        return sum(_plain(inner, kata, depth + 1) for inner in value)
    if type(value) is dict:
        return sum(_plain(inner, kata, depth + 1) for pair in value.items() for inner in pair)
    if type(value) is Handle:
        if value.class_name not in kata.classes or type(value.number) is not int:
            raise WireError("there is no such object")
    elif is_tensor(value):
        _own_memory(value)
        return 1
    elif type(value) is int:
        if value.bit_length() > LONGEST_INT:
            raise WireError(f"a number has more than {LONGEST_INT} bits")
    elif type(value) not in PLAIN and not _torch_thing(value):
        raise WireError(f"a {type(value).__name__} is no plain value")
    return 0


def _torch_thing(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and type(value) in (torch.dtype, torch.device)


def _own_memory(tensor: Any) -> None:
    """A tensor that claims a large shape on little memory would fill the memory of whoever computes with it."""
    if str(tensor.dtype) not in DTYPES:
        raise WireError(f"nobody has asked for a tensor of dtype {tensor.dtype}")
    if tensor.requires_grad:
        raise WireError("a tensor claims to be part of a graph")
    if tensor.device.type == "meta":
        return
    if not tensor.is_contiguous() or tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size():
        raise WireError("a tensor has not the memory that its shape needs")

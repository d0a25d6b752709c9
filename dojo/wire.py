"""Requests and outcomes as bytes: JSON for their shape, safetensors for their numbers; reading them runs no code."""

from __future__ import annotations

import base64
import builtins
import json
import struct
from typing import Any, Protocol

from dojo.executor import Outcome, Request
from dojo.values import Codec, Handle, is_tensor

LONGEST, LARGEST = 16 * 2**20, 128 * 2**20  # bytes of a message's text, and of its numbers


LONGEST_TEXT = 2000  # characters of an error's message
ODD_ERRORS = (UnicodeError, StopIteration, StopAsyncIteration)  # made from more than a message, or mean something else


class WireError(Exception):
    """What came is no message: the other side has died, or does not keep to the form."""


class Stream(Protocol):
    """Any binary file will do."""

    def read(self, count: int, /) -> bytes: ...
    def write(self, data: bytes, /) -> object: ...
    def flush(self) -> object: ...


def send(stream: Stream, value: Any) -> None:
    """Write one message: the lengths of its two halves, then JSON, then safetensors."""
    numbers: dict[str, Any] = {}
    text = json.dumps(_packed(value, numbers)).encode()
    blob = b""
    if numbers:
        from safetensors.torch import save

        blob = save(numbers)
    stream.write(struct.pack("<QQ", len(text), len(blob)) + text + blob)
    stream.flush()


def receive(stream: Stream) -> Any:
    """Read one message; WireError where there is none."""
    lengths = struct.unpack("<QQ", _exactly(stream, 16))
    if lengths[0] > LONGEST or lengths[1] > LARGEST:
        raise WireError(f"a message of {sum(lengths):,} bytes is too long")
    text, blob = (_exactly(stream, length) for length in lengths)
    numbers: dict[str, Any] = {}
    try:
        if blob:
            from safetensors.torch import load

            numbers = load(blob)
        return _unpacked(json.loads(text), numbers)
    except Exception as error:  # whatever it is, it is what the writer wrote that cannot be read
        raise WireError(f"a message cannot be read: {type(error).__name__}") from error


def _exactly(stream: Stream, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise WireError("the other process has ended")
    return data


def _packed(value: Any, numbers: dict[str, Any]) -> Any:
    """A value as JSON: [its kind, what it is]; what tensors hold goes to `numbers`."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return ["int", hex(value)]
    if isinstance(value, float):
        return ["float", value.hex()]
    if isinstance(value, bytes):
        return ["bytes", base64.b64encode(value).decode()]
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, [_packed(inner, numbers) for inner in value]]
    if isinstance(value, dict):
        return ["dict", [[_packed(key, numbers), _packed(inner, numbers)] for key, inner in value.items()]]
    if isinstance(value, Handle):
        return ["handle", [value.number, value.class_name]]
    if isinstance(value, Codec):
        return ["codec", value.name]
    if isinstance(value, Request):
        return ["request", [_packed(inner, numbers) for inner in vars(value).values()]]
    if isinstance(value, Outcome):
        return ["outcome", [_packed(inner, numbers) for inner in vars(value).values()]]
    if isinstance(value, BaseException):
        return ["error", [type(value).__name__, str(value)]]
    if is_tensor(value):
        return ["tensor", _packed_tensor(value, numbers)]
    kind, _, name = str(value).rpartition(".")
    if kind == "torch":
        return ["dtype", name]
    return ["device", str(value)]


def _packed_tensor(tensor: Any, numbers: dict[str, Any]) -> list:
    """The stretch of memory that it spans, and the window through which it sees it."""
    inner = tensor.detach()
    if inner.device.type == "meta":  # made under odd globals: it has a shape, and no numbers
        return ["", list(inner.shape), str(inner.dtype).removeprefix("torch."), False]
    span = 1 + sum((size - 1) * stride for size, stride in zip(inner.shape, inner.stride(), strict=True))
    name = str(len(numbers))
    numbers[name] = inner.as_strided((span,), (1,)).clone() if inner.numel() else inner.reshape(-1)
    return [name, list(inner.shape), list(inner.stride()), bool(tensor.requires_grad)]


def _unpacked(value: Any, numbers: dict[str, Any]) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    kind, content = value
    if kind in ("list", "tuple", "request", "outcome"):
        inner = [_unpacked(part, numbers) for part in content]
        return {"list": list, "tuple": tuple}[kind](inner) if kind in ("list", "tuple") else _CLASSES[kind](*inner)
    return _UNPACKED[kind](content, numbers)


def _unpacked_tensor(content: list, numbers: dict[str, Any]) -> Any:
    name, shape, stride, requires_grad = content
    if not name:
        import torch

        return torch.empty(shape, dtype=_torch_thing("dtype", stride), device="meta")
    tensor = numbers[name].as_strided(shape, stride)
    return tensor.requires_grad_() if requires_grad else tensor


def _unpacked_error(content: list) -> BaseException:
    name, message = (part.encode(errors="replace").decode()[:LONGEST_TEXT] for part in content)
    known = vars(builtins).get(name)
    if isinstance(known, type) and issubclass(known, Exception) and not issubclass(known, ODD_ERRORS):
        return known(message)
    return RuntimeError(f"{name}: {message}")


def _torch_thing(kind: str, name: str) -> Any:
    import torch

    if kind == "device":
        return torch.device(name)
    found = vars(torch)[name]
    if not isinstance(found, torch.dtype):
        raise TypeError(name)
    return found


_CLASSES: dict[str, type] = {"request": Request, "outcome": Outcome}
_UNPACKED: dict[str, Any] = {
    "int": lambda content, numbers: int(content, 16),
    "float": lambda content, numbers: float.fromhex(content),
    "bytes": lambda content, numbers: base64.b64decode(content),
    "dict": lambda content, numbers: {_unpacked(key, numbers): _unpacked(inner, numbers) for key, inner in content},
    "handle": lambda content, numbers: Handle(*content),
    "codec": lambda content, numbers: Codec(content),
    "error": lambda content, numbers: _unpacked_error(content),
    "tensor": _unpacked_tensor,
    "dtype": lambda content, numbers: _torch_thing("dtype", content),
    "device": lambda content, numbers: _torch_thing("device", content),
}

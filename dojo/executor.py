"""Runs a student's code on copies of the arguments and checks what the contract promises of every call.

The one place where a student's code is entered, in the tests' own process or in another one: requests and outcomes
hold values only.
"""

from __future__ import annotations

import contextlib
import linecache
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

from dojo.clock import Clock, TooLong
from dojo.curriculum import Kata
from dojo.guard import guarded
from dojo.meta import odd_globals
from dojo.values import PLAIN, Codec, Handle, copied, is_tensor, mapped, mutables_in, same, tensors_in

SECONDS = 60.0  # that code may compute where nobody says another time


@dataclass(frozen=True)
class Request:
    """One thing asked of the student's code.

    Attributes:
        kind: "call" a function, "make" an object, "method" of an object, "get" an attribute of it, its "codec_calls",
            or "backward" through an earlier call.
        name: of the function, class, method or attribute.
        target: the number of the object, or of the call's tape.
        odd: under unusual global settings, on which nothing may depend.
    """

    kind: str
    name: str = ""
    args: tuple = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    target: int | None = None
    odd: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of a request.

    Attributes:
        value: what the code returned: plain values, tensors without a graph, handles.
        tape: the number by which gradients can be asked for, when the value depends on an argument that wants one.
        differentiable: for every tensor of the value, whether it does.
        error: what it raised instead.
        frames: "file, line, function: source" for the student's own lines on the way to the error, or to where it was
            stopped.
        broken: instead of all this, the promise that it broke, in a sentence.
        stopped: instead of all this, after how long it was stopped, or why it was not called at all.
    """

    value: Any = None
    tape: int | None = None
    differentiable: tuple[bool, ...] = ()
    error: BaseException | None = None
    frames: tuple[str, ...] = ()
    broken: str | None = None
    stopped: str | None = None


class Executor:
    """One implementation of a kata, ready for requests.

    Args:
        codecs: the kata's codecs.py, if it has one.
        parameters: function or method -> the names of its parameters in the contract.

    Attributes:
        clock: of what the code computes.
    """

    def __init__(
        self, kata: Kata, module: ModuleType, codecs: ModuleType | None, parameters: Mapping[str, tuple[str, ...]]
    ) -> None:
        self._kata, self._module, self._codecs, self._parameters = kata, module, codecs, parameters
        self._objects: list[Any] = []
        self._codec_calls: list[list[tuple[str, list]]] = []  # one list per object
        self._tapes: dict[int, tuple[list, list]] = {}  # outputs and inputs of calls that gradients may be asked of
        self._calls = 0
        self.clock = Clock(SECONDS)

    def run(self, request: Request) -> Outcome:
        if request.kind == "codec_calls":
            return Outcome([list(call) for call in self._codec_calls[request.target or 0]])
        if request.kind == "backward":
            outcome = self._entered(lambda: self._gradients(request), request)
            return replace(outcome, value=mapped(outcome.value, _own_copy))
        heard: list[tuple[str, list]] = []
        if request.kind == "make":
            self._codec_calls.append(heard)
        args, kwargs = copied((request.args, request.kwargs))
        outcome = self._entered(lambda: self._do(request, *_resolved((args, kwargs), self._codecs, heard)), request)
        if outcome.error is not None or outcome.stopped is not None:
            if request.kind == "make":
                self._objects.append(None)
            return outcome
        return self._checked(request, (args, kwargs), outcome.value)

    def _do(self, request: Request, args: tuple, kwargs: dict[str, Any]) -> Any:
        target = self._module if request.kind in ("call", "make") else self._objects[request.target or 0]
        if request.kind == "get":
            return getattr(target, request.name)
        return getattr(target, request.name)(*args, **kwargs)

    def _entered(self, action: Callable[[], Any], request: Request) -> Outcome:
        file = self._module.__file__
        with odd_globals(self.clock) if request.odd else contextlib.nullcontext(), guarded(file):
            try:
                with self.clock:
                    return Outcome(action())
            except (Exception, SystemExit) as error:
                return Outcome(error=error, frames=frames_in(file, error))
            except TooLong as stop:
                return Outcome(stopped=f"was stopped {stop}", frames=frames_in(file, stop))

    def _checked(self, request: Request, given: Any, value: Any) -> Outcome:
        shares = request.kind != "get" and _shares(value, given)
        value = mapped(value, self._handed_out)
        if request.kind == "make" and not isinstance(value, Handle):
            value = self._registered(value)
        if broken := _unplain(value):
            return Outcome(broken=f"{request.name}() should return plain values, not {broken}")
        if changed := self._changed(request, given):
            return Outcome(
                broken=f"{request.name}() changed its argument {changed}: the caller's values are the caller's"
            )
        if shares:
            return Outcome(
                broken=f"what {request.name}() returns shares memory with an argument: a later change of one would "
                "change the other"
            )
        outputs, inputs = list(tensors_in(value)), [x for x in tensors_in(given) if x.requires_grad]
        result = mapped(value, _own_copy)
        differentiable = tuple(output.requires_grad for output in outputs)
        if not any(differentiable):
            if not inputs:
                _scribble_on(given)
            return Outcome(result, differentiable=differentiable)
        self._calls += 1
        self._tapes[self._calls] = (outputs, inputs)
        self._tapes.pop(self._calls - 64, None)
        return Outcome(result, self._calls, differentiable)

    def _changed(self, request: Request, given: tuple[tuple, dict]) -> str | None:
        """The name of the first argument that is no longer what it was."""
        for i, (old, new) in enumerate(zip(request.args, given[0], strict=True)):
            if not same(old, new):
                return name_of(self._parameters.get(request.name, ()), i)
        return next((name for name, old in request.kwargs.items() if not same(old, given[1][name])), None)

    def _gradients(self, request: Request) -> Any:
        torch = sys.modules["torch"]
        outputs, inputs = self._tapes[request.target or 0]
        pairs = [(y, g) for y, g in zip(outputs, request.args[0], strict=True) if y.requires_grad and g is not None]
        with torch.enable_grad():  # a scalar whose gradients are these: grad_outputs would import sympy, for seconds
            scalar = sum((y.double() * g.double()).sum() for y, g in pairs)
        return torch.autograd.grad(scalar, inputs, retain_graph=True, allow_unused=True)

    def _handed_out(self, leaf: Any) -> Any:
        """Objects of the contract's classes stay here; a handle goes out."""
        classes = tuple(getattr(self._module, name, object) for name in self._kata.classes)
        return self._registered(leaf) if classes and isinstance(leaf, classes) else leaf

    def _registered(self, thing: Any) -> Handle:
        known = next((i for i, other in enumerate(self._objects) if other is thing), None)
        if known is None:
            known = len(self._objects)
            self._objects.append(thing)
            if len(self._codec_calls) < len(self._objects):
                self._codec_calls.append([])
        return Handle(known, type(thing).__name__)


def _resolved(given: tuple[tuple, dict], codecs: ModuleType | None, heard: list) -> tuple[tuple, dict]:
    """The arguments with every codec's name replaced by the function, which notes what it is called with."""

    def resolve(leaf: Any) -> Any:
        if not isinstance(leaf, Codec):
            return leaf
        function = getattr(codecs, leaf.name)

        def noted(*args: Any) -> Any:
            heard.append((leaf.name, copied(list(args))))
            return function(*args)

        return noted

    return tuple(map(resolve, given[0])), {name: resolve(value) for name, value in given[1].items()}


def _unplain(value: Any) -> str | None:
    """What in a value cannot be handed out, in words."""
    if isinstance(value, (list, tuple, dict)) and type(value) in (list, tuple, dict):
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        return next((found for part in inner if (found := _unplain(part))), None)
    if type(value) in (*PLAIN, Handle):
        return None
    torch = sys.modules.get("torch")
    if torch is not None and type(value) in (torch.Tensor, torch.dtype, torch.device):
        return None
    return f"an object of the class {type(value).__name__}"


def _shares(value: Any, given: Any) -> bool:
    lists = {id(thing) for thing in mutables_in(given)}
    if any(id(thing) in lists for thing in mutables_in(value)):
        return True
    memory = {x.untyped_storage().data_ptr() for x in tensors_in(given) if x.numel()}
    return any(y.numel() and y.untyped_storage().data_ptr() in memory for y in tensors_in(value))


def _scribble_on(given: Any) -> None:
    """Make the argument tensors worthless: code that kept one instead of a copy is found out at its next call."""
    for tensor in tensors_in(given):
        if tensor.is_floating_point() and tensor.is_contiguous():
            tensor.fill_(float("nan"))


def name_of(names: tuple[str, ...], index: int) -> str:
    """The name of the parameter no. `index`, counted from 0."""
    return names[index] if index < len(names) else f"argument {index + 1}"


def _own_copy(leaf: Any) -> Any:
    """A tensor without a graph that has its memory for itself; anything else as it is."""
    return leaf.detach().clone().contiguous() if is_tensor(leaf) else leaf


def frames_in(file: str | None, error: BaseException) -> tuple[str, ...]:
    """The lines of a file that lie on the way to an error, in words."""
    found = []
    for frame, line in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        if file is not None and code.co_filename == file:
            line = line or code.co_firstlineno  # between two lines there is none
            found.append(f"line {line}, in {code.co_name}: {linecache.getline(file, line).strip()}")
    return tuple(found)

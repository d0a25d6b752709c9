"""The learner's parts in the stack: loaded, watched over, and put beside the reference's."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from dojo.clock import Clock, TooLong
from dojo.curriculum import KATAS, Kata
from dojo.executor import Request, frames_in
from dojo.loading import LoadError, load_kata, said
from dojo.progress import is_green, load_progress
from dojo.shown import call_line
from dojo.values import tensors_in
from reference.errors import UserError
from reference.parts import Parts
from reference.parts.provenance import COUNTED_METHODS

SECONDS = {"bpe": 600}  # that a call may compute; a tokenizer's training is one call
DEFAULT_SECONDS = 60


def green_parts(left_out: Collection[Kata] = ()) -> Parts:
    """Every green part is the learner's, every other one the reference's."""
    progress = load_progress()
    green = [kata for kata in KATAS if is_green(kata, progress[kata.name]) and kata not in left_out]
    return Parts(**{kata.name: learner_part(kata) for kata in green})


def learner_part(kata: Kata, seconds: float | None = None) -> SimpleNamespace:
    """The learner's file as a part of the stack; what it raises, or fails to return in time, becomes a UserError."""
    return watched_part(kata, kata.file, seconds)


def watched_part(kata: Kata, file: Path, seconds: float | None = None) -> SimpleNamespace:
    """Any file as a part of the stack; the worked answer too, where speeds are compared: watching takes time."""
    limit = seconds or SECONDS.get(kata.name, DEFAULT_SECONDS)
    try:
        module = load_kata(kata, file)
    except LoadError as error:
        raise UserError(str(error)) from error
    members: dict[str, Any] = {name: _watched(kata, name, getattr(module, name), limit) for name in kata.functions}
    members |= {name: _watched_class(kata, getattr(module, name), limit) for name in kata.classes}
    return SimpleNamespace(__file__=str(file), **members)


def _watched_class(kata: Kata, original: type, seconds: float) -> type:
    names = ("__init__", *COUNTED_METHODS[original.__name__])
    members = {
        name: _watched(kata, name, getattr(original, name), seconds) for name in names if hasattr(original, name)
    }
    return type(original.__name__, (original,), {"__slots__": (), "__module__": original.__module__, **members})


def _watched(kata: Kata, name: str, function: Callable, seconds: float) -> Callable:
    @functools.wraps(function)
    def watched(*args: Any, **kwargs: Any) -> Any:
        given = args[1:] if args and type(args[0]).__name__ in kata.classes else args
        request = Request("call", name, given, kwargs)
        try:
            with Clock(seconds):
                result = function(*args, **kwargs)
        except UserError:
            raise
        except TooLong as stop:
            where = "; ".join(frames_in(function.__code__.co_filename, stop)[-1:])
            raise _stopped(kata, request, f"was stopped {stop}, at {where}") from None
        except Exception as error:
            raise _stopped(kata, request, f"raised {said(error)}") from error
        if any(tensor.is_floating_point() and tensor.isnan().any() for tensor in tensors_in(result)) and not any(
            tensor.is_floating_point() and tensor.isnan().any() for tensor in tensors_in((args, kwargs))
        ):
            raise _stopped(kata, request, "returned NaN, though no argument holds one")
        return result

    return watched


def _stopped(kata: Kata, request: Request, what: str) -> UserError:
    return UserError(
        f"Your {kata.name} {what}, in {call_line(kata, request)}. What was trained before is kept: mend it and run the "
        f"same command again, or go on with the reference's part: nox -s d4 -- --reference {kata.name} (and the same "
        "options)."
    )

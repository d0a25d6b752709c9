"""What a run was built from: whose code each part is, and how often it was really called."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from reference.parts import PART_NAMES, Parts

CONTRACT_NAMES: dict[str, tuple[str, ...]] = {
    "bpe": ("merge", "train", "encode", "decode"),
    "rmsnorm": ("rms_norm",),
    "rope": ("rotary_tables", "apply_rotary"),
    "attention": ("causal_attention",),
    "muon": ("orthogonalize", "muon_step"),
    "loss_mask": ("render", "masked_cross_entropy"),
    "grpo": ("advantages", "policy_loss"),
    "kv_cache": ("KVCache",),
    "tools": ("calculate", "Dispatcher"),
}
COUNTED_METHODS = {"KVCache": ("insert", "expand", "reset"), "Dispatcher": ("next",)}


def counted(parts: Parts) -> tuple[Parts, dict[str, int]]:
    """The same parts, but every call of a contract name is counted.

    Making a KVCache or a Dispatcher counts as a call of its part, and so does every call of its methods.
    What is made stays an instance of the part's own class.

    Returns:
        (parts, calls): calls[part] rises by one with every call.
    """
    calls = dict.fromkeys(PART_NAMES, 0)
    return Parts(**{part: _counted_part(part, getattr(parts, part), calls) for part in PART_NAMES}), calls


def _counted_part(part: str, original: Any, calls: dict[str, int]) -> SimpleNamespace:
    def tick() -> None:
        if not torch.compiler.is_compiling():  # compiled code is counted by who calls it, see compiled.py
            calls[part] += 1

    members = {}
    for name in CONTRACT_NAMES[part]:
        member = getattr(original, name)
        count = _counted_class if isinstance(member, type) else _counted_function
        members[name] = count(member, tick)
    return SimpleNamespace(__file__=original.__file__, **members)


def _counted_function(function: Callable, tick: Callable[[], None]) -> Callable:
    @wraps(function)
    def counting(*args: Any, **kwargs: Any) -> Any:
        tick()
        return function(*args, **kwargs)

    return counting


def _counted_class(original: type, tick: Callable[[], None]) -> type:
    # without slots of its own it has the original's layout, so that an instance can be moved between the two
    members: dict[str, Any] = {
        "__slots__": (),
        "__module__": original.__module__,
        "__doc__": original.__doc__,
    }
    for name in ("__init__", *COUNTED_METHODS[original.__name__]):
        members[name] = _counted_function(getattr(original, name), tick)
    subclass = type(original.__name__, (original,), members)
    if "expand" in members:
        expand = members["expand"]

        @wraps(expand)
        def expand_counted(self: Any, batch: int) -> Any:
            copy = expand(self, batch)
            copy.__class__ = subclass  # the part's code made it, of the class that it knows
            return copy

        subclass.expand = expand_counted  # type: ignore[attr-defined]
    return subclass


def provenance(parts: Parts) -> dict[str, dict[str, str]]:
    """Per part {"whose": "reference" | "learner", "file": path, "sha256": hex of the source file's bytes}."""
    here = Path(__file__).resolve().parent
    found = {}
    for part in PART_NAMES:
        file = Path(getattr(parts, part).__file__).resolve()
        whose = "reference" if file.parent == here else "learner"
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        found[part] = {"whose": whose, "file": str(file), "sha256": digest}
    return found

"""The known wrong versions of a kata: listed from its mistakes.py, and built into whole implementations."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from types import ModuleType

from dojo.curriculum import Kata
from dojo.loading import load, load_kata


@dataclass(frozen=True)
class Mistake:
    """A wrong version.

    Attributes:
        name: what follows the double underscore.
        diagnosis: what a good teacher would say about it.
        replaced: the names of the contract that it replaces, with its own functions or classes.
    """

    name: str
    diagnosis: str
    replaced: dict[str, object]


def mistakes_of(kata: Kata) -> list[Mistake]:
    """All mistakes of a kata, in the order of its mistakes.py."""
    found: dict[str, Mistake] = {}
    for attribute, value in vars(load(kata.mistakes, f"dojo_mistakes_{kata.name}")).items():
        contract_name, separator, name = attribute.partition("__")
        if separator and contract_name in kata.names:
            mistake = found.setdefault(name, Mistake(name, " ".join((inspect.getdoc(value) or "").split()), {}))
            mistake.replaced[contract_name] = value
    return list(found.values())


def build(kata: Kata, mistake: Mistake) -> ModuleType:
    """The worked answer with the mistake in it: other functions of the answer that call the wrong one get it."""
    module = load_kata(kata, kata.answer)
    vars(module).update(mistake.replaced)
    return module

"""Makes the submission that has learned all public cases by heart: what it was asked, and what the answer said."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dojo.curriculum import Kata, find_kata
from dojo.loading import load_kata

HEAD = '''"""Knows by heart what the public tests ask."""

import builtins

SAID = {said!r}


def known(name, args):
    error, value = SAID.get(repr((name, args)), ("NotImplementedError", ""))
    if error:
        raise getattr(builtins, error)(value)
    return value
'''
FUNCTION = """

def {name}(*args):
    return known({name!r}, args)
"""


class Ear:
    """A plugin of pytest: the implementation under test is the worked answer, listened to."""

    def __init__(self, kata: Kata) -> None:
        self.kata, self.said = kata, dict[str, tuple[str, Any]]()

    @pytest.fixture(scope="module")
    def student(self) -> ModuleType:
        answer, listened = load_kata(self.kata, self.kata.answer), ModuleType("listened")
        listened.begin = lambda seconds: None  # type: ignore[attr-defined]
        for name in self.kata.functions:
            setattr(listened, name, self._listening(name, getattr(answer, name)))
        return listened

    def _listening(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            key = repr((name, args))
            try:
                value = function(*args)
            except (ValueError, TypeError) as error:
                self.said[key] = (type(error).__name__, str(error))
                raise
            self.said[key] = ("", value)
            return value

        return call


class Recorder:
    """Registers the ear after dojo's own plugin, so that its `student` is the one that counts."""

    def __init__(self, ear: Ear) -> None:
        self.ear = ear

    def pytest_configure(self, config: pytest.Config) -> None:
        config.pluginmanager.register(self.ear)


def memorized(kata: Kata) -> str:
    """The source of a submission that answers every public case of a kata of plain functions, and no other."""
    ear = Ear(kata)
    with redirect_stdout(io.StringIO()):
        options = ["-q", "-p", "no:cacheprovider", "--impl", "reference", "-m", "not stretch"]
        pytest.main([str(kata.tests), *options], plugins=[Recorder(ear)])
    return HEAD.format(said=ear.said) + "".join(FUNCTION.format(name=name) for name in kata.functions)


if __name__ == "__main__":
    chosen = find_kata(sys.argv[1])
    assert chosen is not None
    Path(sys.argv[2]).write_text(memorized(chosen), encoding="utf-8")

"""The names of a contract's parameters, read from the worked answer without running it, and whom it is put to."""

from __future__ import annotations

import ast
import functools
from types import ModuleType

from dojo.curriculum import Kata
from dojo.executor import Executor, name_of
from dojo.loading import load_codecs


@functools.cache
def parameters(kata: Kata) -> dict[str, tuple[str, ...]]:
    """Function, class or method -> the names of its parameters, in order, without self."""
    found: dict[str, tuple[str, ...]] = {}
    for node in ast.parse(kata.answer.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name in kata.functions:
            found[node.name] = _names(node)
        if isinstance(node, ast.ClassDef) and node.name in kata.classes:
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    name = node.name if method.name == "__init__" else method.name
                    found[name] = _names(method)[1:]
    return found


def _names(function: ast.FunctionDef) -> tuple[str, ...]:
    return tuple(argument.arg for argument in (*function.args.posonlyargs, *function.args.args))


def parameter(kata: Kata, function: str, index: int) -> str:
    """The name of a function's parameter no. `index`, counted from 0."""
    return name_of(parameters(kata).get(function, ()), index)


def executor_of(kata: Kata, module: ModuleType) -> Executor:
    """An implementation in this process, ready for requests."""
    return Executor(kata, module, load_codecs(kata), parameters(kata))

"""Loading an implementation from a file, whoever wrote it, and saying in one sentence why that cannot be done."""

from __future__ import annotations

import sys
import traceback
from functools import lru_cache
from pathlib import Path
from types import CodeType, ModuleType

from dojo.clock import Clock, TooLong
from dojo.curriculum import ROOT, Kata

IMPORT_SECONDS = 10.0  # of computing: what a solution imports may be large


class LoadError(Exception):
    """The file cannot be used; the message is one sentence with what to do next."""


def shown(path: Path) -> str:
    """A path as the learner would type it: relative to the repository where it lies there."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def load(path: Path, name: str) -> ModuleType:
    """Run a source file as a new module.

    No module is cached, and nobody imports one by its name: the same file can be loaded twice, and two versions of a
    part live side by side.

    Raises:
        LoadError: the file is missing, is no Python, or raises.
    """
    return run_source(source_of(path), str(path), shown(path), name)


def source_of(path: Path) -> str:
    """The text of a file. Raises LoadError where it has none."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise LoadError(f"{shown(path)} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise LoadError(f"{shown(path)} is not text in UTF-8; save it as such.") from None


def run_source(source: str, file: str, told: str, name: str, seconds: float = IMPORT_SECONDS) -> ModuleType:
    """Run a source text as a new module that says it comes from `file`, which is called `told` in what goes wrong."""
    module = ModuleType(name)
    module.__file__ = file
    sys.modules[name] = module  # dataclasses and the like look their module up
    try:
        with Clock(seconds):
            exec(_compiled(source, file), module.__dict__)
    except SyntaxError as error:
        line = (error.text or "").strip()
        raise LoadError(
            f"{told}, line {error.lineno}, is not Python: {error.msg}{': ' + line if line else ''}."
        ) from None
    except (Exception, SystemExit) as error:
        raise LoadError(f"{told}{_where(error, file)}, fails when it is imported: {said(error)}.") from error
    except TooLong as stop:
        raise LoadError(f"{told}{_where(stop, file)}, was stopped when it was imported, {stop}.") from None
    return module


def _where(error: BaseException, file: str) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f", line {frames[-1].lineno}" if frames else ""


@lru_cache(maxsize=16)  # a diagnosis runs the worked answer once for every known mistake
def _compiled(source: str, file: str) -> CodeType:
    return compile(source, file, "exec")


def said(error: BaseException) -> str:
    """An exception as Python would print it, in one line."""
    return "; ".join(line.strip() for line in traceback.format_exception_only(error) if line.strip()).rstrip(".")


def load_kata(kata: Kata, path: Path) -> ModuleType:
    """Load an implementation of a kata; `path` is any file, such as the learner's or the worked answer.

    Raises:
        LoadError: the file cannot be used, or lacks a name of the contract.
    """
    return run_kata(kata, source_of(path), str(path), shown(path))


def run_kata(kata: Kata, source: str, file: str, told: str, seconds: float = IMPORT_SECONDS) -> ModuleType:
    """The same from a text, whose import may compute so long. Raises LoadError."""
    module = run_source(source, file, told, f"dojo_{kata.name}_{abs(hash(file))}", seconds)
    if missing := [name for name in kata.names if not callable(getattr(module, name, None))]:
        raise LoadError(f"{told} has no {' and no '.join(missing)}; the contract asks for it.")
    return module


def load_codecs(kata: Kata) -> ModuleType | None:
    """The functions that stand in for callables in a kata's tests, where it has such."""
    file = kata.folder / "codecs.py"
    return load(file, f"dojo_codecs_{kata.name}") if file.exists() else None

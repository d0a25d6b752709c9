"""Where base training's text comes from: parquet shards, text files, or the documentation in this Python."""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from reference.data import fingerprint
from reference.data.parquet import VALIDATION_EVERY, ParquetDocuments, PlannedShards, read_plan
from reference.errors import UserError

TEXT_SUFFIXES = (".txt", ".md")
LONGEST_TEXT = 4_000  # characters; a longer file becomes several documents
# Folders of the standard library that hold no documentation: tests, programs, other people's packages.
WITHOUT_DOCS = {"test", "tests", "idlelib", "lib2to3", "turtledemo", "site-packages", "dist-packages"}


class DocumentSource(Protocol):
    """Text in two disjoint splits, "train" and "val", both in a fixed order.

    `fingerprint` says in a few values, for JSON, what the source held, so that a changed one is noticed.
    """

    name: str
    fingerprint: dict[str, int | str]

    def stream(self, split: str, start: int = 0, rank: int = 0, world_size: int = 1) -> Iterator[str]:
        """Documents rank, rank + world_size, ... of the split for ever, from this rank's `start`-th one on.

        The numbers run on from epoch to epoch, so that all ranks together take each document once per epoch.
        """
        ...

    def validation(self) -> Iterator[str]:
        """Every document of the split "val", once."""
        ...


class ListDocuments:
    """Documents that fit in memory; every 20th, or the last of fewer, is for validation."""

    def __init__(self, name: str, texts: list[str]) -> None:
        if len(texts) < 2:
            raise UserError(f"{name} holds one document, but training and validation need one each; add text.")
        self.name = name
        self.fingerprint = fingerprint.of_texts(texts)
        every = min(VALIDATION_EVERY, len(texts))
        self._splits = {
            "train": [text for i, text in enumerate(texts) if i % every != every - 1],
            "val": texts[every - 1 :: every],
        }

    def stream(self, split: str, start: int = 0, rank: int = 0, world_size: int = 1) -> Iterator[str]:
        texts = self._splits[split]
        number = start * world_size + rank
        while True:
            yield texts[number % len(texts)]
            number += world_size

    def validation(self) -> Iterator[str]:
        return iter(self._splits["val"])


class TextDocuments(ListDocuments):
    """The .txt and .md files under a directory, in the order of their names, or one such file."""

    def __init__(self, path: Path) -> None:
        files = sorted(_visible_files(path)) if path.is_dir() else [path]
        if not files:
            raise UserError(f"{path} holds no .parquet, .txt or .md file; name a directory that does.")
        super().__init__(path.resolve().name, [piece for file in files for piece in pieces(_read_text(file))])


class PythonDocs(ListDocuments):
    """The documentation that comes with this Python: its language reference and its library's docstrings."""

    def __init__(self) -> None:
        from pydoc_data.topics import topics  # half a megabyte that nothing else needs

        library = Path(sysconfig.get_path("stdlib"))
        texts = [topics[name] for name in sorted(topics)]
        for file in sorted(library.rglob("*.py")):
            if WITHOUT_DOCS.isdisjoint(file.relative_to(library).parts):
                texts.append(_docstrings(file, library))
        texts = [text for text in _without_repeats(texts) if text]
        super().__init__("python-docs", [piece for text in texts for piece in pieces(text)])


def open_source(spec: str) -> DocumentSource:
    """The source that `--data` names: "python-docs", or a directory or file of parquet shards or of text."""
    if spec == "python-docs":
        return PythonDocs()
    path = Path(spec)
    if not path.exists():
        raise UserError(f"There is no data at {path}; name a directory of .parquet, .txt or .md files.")
    if (plan := read_plan(path)) is not None:
        return PlannedShards(path, plan)
    if path.suffix == ".parquet" or any(path.glob("*.parquet")):
        return ParquetDocuments(path)
    if path.is_dir() or path.suffix in TEXT_SUFFIXES:
        return TextDocuments(path)
    raise UserError(f"{path} is not a .parquet, .txt or .md file, nor a directory of such files.")


def pieces(text: str) -> Iterator[str]:
    """The text in pieces of at most 4,000 characters, cut after a paragraph, else a line, else a word."""
    start = 0
    while len(text) - start > LONGEST_TEXT:
        limit = start + LONGEST_TEXT
        ends = (text.rfind(mark, start, limit) + len(mark) for mark in ("\n\n", "\n", " "))
        end = next((end for end in ends if end > start + LONGEST_TEXT // 2), limit)
        yield text[start:end]
        start = end
    yield text[start:]


def _visible_files(directory: Path) -> Iterable[Path]:
    for path in directory.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(directory).parts)
        if path.suffix in TEXT_SUFFIXES and path.is_file() and not hidden:
            yield path


def _read_text(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not text in UTF-8; convert it or take it away.") from error
    if "\0" in text:
        raise UserError(f"{path} is a binary file, not text; take it away.")
    if not text.strip():
        raise UserError(f"{path} is empty; take it away or fill it.")
    return text


def _without_repeats(texts: Iterable[str]) -> Iterator[str]:
    # Many a paragraph stands in several places; in both splits it would make validation a test of memory.
    seen: set[str] = set()
    for text in texts:
        new = [paragraph for paragraph in dict.fromkeys(text.split("\n\n")) if paragraph not in seen]
        seen.update(new)
        yield "\n\n".join(new)


def _docstrings(file: Path, library: Path) -> str:
    module = ".".join(file.relative_to(library).with_suffix("").parts)
    entries = []
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring:
                entries.append(f"{getattr(node, 'name', module)}\n{docstring}")
    return "\n\n".join(entries)

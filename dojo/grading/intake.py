"""Takes the nine solution files out of a submission, by name, and nothing else.

A submission is a folder, an archive, a repository or a single file. All solutions in it come from one root: its top,
or a folder at most two levels down (GitHub's `repo-main/`), whichever holds most of them, on a tie the higher one.
From the root a kata's file is, in this order, katas/rope/rope.py, rope/rope.py, rope.py, or rope.py with what a
platform has put around it (annlee_1234_rope.py, "rope (1).py"). No link is followed. Nothing else is read, and nothing
is run.
"""

from __future__ import annotations

import codecs
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from dojo.curriculum import KATAS, Kata
from dojo.grading.archives import MEMBERS, SOLUTION_BYTES, Unpacked, UnreadableError, unpack
from dojo.grading.names import is_archive, is_told_from, is_told_of, kata_and_owner, looked_into, plain
from dojo.grading.repositories import is_bare, is_url, unpack_repository

Parts = tuple[str, ...]
SHOWN = 8  # so many names stand in one note
NOTES = 30


@dataclass
class Taken:
    """What was taken from a submission.

    Attributes:
        sources: the solution files, as they came but for a byte order mark, by name of the kata.
        reasons: why a kata has no file, or nothing in it, by name of the kata; the others are missing.
        notes: what was left out and what was seen, a sentence each.
    """

    sources: dict[str, bytes] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def take_all(where: Sequence[str], katas: Sequence[Kata] = KATAS) -> Taken:
    """The solutions in several places that make up one submission, such as the single files of one person."""
    taken = Taken()
    for one in map(take, where, [katas] * len(where)):
        for name in sorted(taken.sources.keys() & one.sources.keys()):
            taken.notes.append(f"{name}.py is in it more than once; the last was taken")
        taken.sources |= one.sources
        taken.reasons = {**{n: why for n, why in taken.reasons.items() if n not in one.sources}, **one.reasons}
        taken.notes += one.notes
    if len(taken.notes) > NOTES:
        taken.notes[NOTES:] = [f"and {len(taken.notes) - NOTES:,} notes more"]
    return taken


def take(where: str, katas: Sequence[Kata] = KATAS) -> Taken:
    """The solutions of some katas in a submission, which is a path or the address of a repository.

    Raises:
        UnreadableError: it cannot be read at all; the message is a sentence that says why.
    """
    if is_url(where):
        return _unpacked(partial(unpack_repository, where), katas)
    path = Path(where)
    if not path.exists():
        raise UnreadableError("there is nothing at this place.")
    if path.is_dir() and is_bare(path):
        return _unpacked(partial(unpack_repository, str(path.resolve())), katas)
    if path.is_dir():
        return _from_folder(path, katas)
    if is_archive(path.name) or (kata_and_owner(path.name) is None and len(katas) != 1):
        return _unpacked(partial(unpack, path), katas)
    named = kata_and_owner(path.name)
    kata = named[0] if named is not None else katas[0]
    taken = Taken()
    if kata in katas:
        _add(taken, kata, path, path.name)
    return taken


def _unpacked(unpack_into: Callable[[Path], Unpacked], katas: Sequence[Kata], nested: bool = False) -> Taken:
    with tempfile.TemporaryDirectory(prefix="nanokata-") as name:
        unpacked = unpack_into(Path(name))
        taken = _from_folder(Path(name), katas, nested)
    taken.notes[:0] = unpacked.notes
    for shown, why in unpacked.refused.items():
        if (named := kata_and_owner(shown.rpartition("/")[2])) and named[0].name not in taken.sources:
            taken.reasons[named[0].name] = f"{plain(shown)} {why}."
    _note_names(taken, "also in it, neither read nor run", unpacked.told_of)
    return taken


@dataclass
class _Seen:
    """What a folder holds: solutions by root, archives, and names to tell of."""

    roots: dict[Parts, dict[str, list[tuple[int, Parts]]]] = field(default_factory=dict)
    archives: list[Parts] = field(default_factory=list)
    told_of: list[str] = field(default_factory=list)


def _from_folder(folder: Path, katas: Sequence[Kata], nested: bool = False) -> Taken:
    taken, seen = Taken(), _Seen()
    for parts, entry in _walk(folder):
        _look_at(parts, entry, katas, seen, taken)
    if not seen.roots and len(seen.archives) == 1 and not nested:
        inner = _unpacked(partial(unpack, folder.joinpath(*seen.archives[0])), katas, nested=True)
        inner.notes.insert(0, f"taken from {plain('/'.join(seen.archives[0]))}")
        return inner
    roots = sorted(seen.roots, key=lambda root: (-len(seen.roots[root]), len(root), root))
    if roots:
        _take_from(folder, roots[0], seen, katas, taken)
        others = [
            "/".join(parts) for root in roots[1:] for found in seen.roots[root].values() for _, parts in sorted(found)
        ]
        _note_names(taken, f"taken from {plain('/'.join(roots[0]) or 'the top')}; left out", others)
    else:
        taken.notes.append("nothing in it is called like a solution")
    _note_names(taken, "also in it, neither read nor run", seen.told_of)
    return taken


def _walk(folder: Path) -> Iterator[tuple[Parts, os.DirEntry[str]]]:
    """Files and links below a folder, in the order of their names, without those where no solution can be."""
    waiting, count = [((), folder)], 0  # type: list[tuple[Parts, Path]], int
    while waiting:
        above, here = waiting.pop()
        with os.scandir(here) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
        for entry in listed:
            count += 1
            if count > MEMBERS:
                raise UnreadableError(f"it holds more than {MEMBERS:,} files; hand in one without .venv and runs.")
            parts = (*above, entry.name)
            if not entry.is_dir(follow_symlinks=False):
                yield parts, entry
            elif looked_into(parts) or is_told_from(parts):
                waiting.append((parts, here / entry.name))


def _look_at(parts: Parts, entry: os.DirEntry[str], katas: Sequence[Kata], seen: _Seen, taken: Taken) -> None:
    shown, inside = plain("/".join(parts)), looked_into(parts[:-1])
    named = kata_and_owner(parts[-1]) if inside else None
    if entry.is_symlink() or not entry.is_file(follow_symlinks=False):
        kind = "a symbolic link" if entry.is_symlink() else "a device or the like"
        if named or parts[-1] == "katas" or parts[-1] in [kata.name for kata in KATAS]:
            taken.notes.append(f"{shown} is {kind}, not a file, and was not followed")
            of = [named[0].name] if named else [kata.name for kata in KATAS if parts[-1] in ("katas", kata.name)]
            taken.reasons |= dict.fromkeys(of, f"{shown} is {kind}, not a file, and was not followed.")
        return
    if named and named[0] in katas and len(root := _root(parts, named[0])) <= 2:
        rank = (2 if parts[-1] == f"{named[0].name}.py" else 5) - (len(parts) - 1 - len(root))
        seen.roots.setdefault(root, {}).setdefault(named[0].name, []).append((rank, parts))
    elif inside and not named and kata_and_owner(parts[-1].lower()):
        taken.notes.append(f"{shown} was left out: the name of a solution is in lower case")
    elif inside and len(parts) <= 3 and is_archive(parts[-1]):
        seen.archives.append(parts)
    elif is_told_of(parts, entry.stat(follow_symlinks=False).st_size):
        seen.told_of.append(shown)


def _root(parts: Parts, kata: Kata) -> Parts:
    """Where the repository of a solution would begin."""
    folders = parts[:-1]
    if folders[-2:] == ("katas", kata.name):
        return folders[:-2]
    return folders[:-1] if folders[-1:] == (kata.name,) else folders


def _take_from(folder: Path, root: Parts, seen: _Seen, katas: Sequence[Kata], taken: Taken) -> None:
    for kata in katas:
        if found := sorted(seen.roots[root].get(kata.name, [])):
            _add(taken, kata, folder.joinpath(*found[0][1]), "/".join(found[0][1]))
            left = ["/".join(parts) for _, parts in found[1:]]
            _note_names(taken, f"{plain('/'.join(found[0][1]))} was taken; left out", left)


def _add(taken: Taken, kata: Kata, file: Path, shown: str) -> None:
    """Read one solution file, if it is one."""
    shown = plain(shown)
    source, why = _read(file)
    if source is not None and source.startswith(codecs.BOM_UTF8):
        source = source.removeprefix(codecs.BOM_UTF8)
        taken.notes.append(f"{shown} begins with a byte order mark, which was taken away")
    if source is None:
        taken.notes.append(f"{shown} {why}")
        taken.reasons[kata.name] = f"{shown} {why}."
        return
    taken.reasons.pop(kata.name, None)
    taken.sources[kata.name] = source
    if not source.strip():
        taken.reasons[kata.name] = f"{shown} is empty."
    elif _same_text(source, kata.file):
        taken.reasons[kata.name] = "Not written yet: the file is still the stub."
    elif not _is_text(source):
        taken.notes.append(f"{shown} is not text in UTF-8")


def _read(file: Path) -> tuple[bytes | None, str]:
    """The bytes of a file, or why it is not read. Never waits, never follows a link."""
    try:
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        return None, f"cannot be read ({error.strerror})"
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None, "is no file"
        source = stream.read(SOLUTION_BYTES + 1)
    if len(source) > SOLUTION_BYTES:
        return None, f"is larger than {SOLUTION_BYTES >> 10} KB, which no solution is"
    return source, ""


def _same_text(source: bytes, file: Path) -> bool:
    """Whether two files hold the same words in the same lines; where the stub is not to be had, nothing does."""
    try:
        return [line.rstrip() for line in source.splitlines()] == [
            line.rstrip() for line in file.read_bytes().splitlines()
        ] and b"NotImplementedError" in source
    except OSError:
        return False


def _is_text(source: bytes) -> bool:
    try:
        source.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _note_names(taken: Taken, what: str, names: Sequence[str]) -> None:
    if names:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        taken.notes.append(f"{what}: {', '.join(plain(name) for name in names[:SHOWN])}{more}")

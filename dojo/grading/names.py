"""What the name of a file in a submission tells: a solution, an archive, something that is told of, or nothing."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from dojo.curriculum import KATAS, ROOT, Kata

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
DEPTH = 8  # folders above a file; deeper ones are not looked at
# In these folders of a learner's repository lie files that are called like solutions and are none.
NOT_LOOKED_INTO = {
    *("reference", "tests", "dojo", "bench", "runs", "checkpoints", "rustbpe"),
    *("__MACOSX", "__pycache__", "node_modules", "site-packages", "venv", "env"),
}
STEERING = {"conftest.py", "pytest.ini", "tox.ini", "setup.cfg", "pyproject.toml", "noxfile.py"}
STEERING |= {"sitecustomize.py", "usercustomize.py", "results.json", "results.xml"}
STEERING |= {"progress.json", "report.json"}
SHADOWED = {*sys.stdlib_module_names, "torch", "numpy", "pytest", "safetensors", "hypothesis"}
# Canvas puts "annlee_LATE_1234_5678_" before a file's name, Moodle "Ann Lee_1234_assignsubmission_file_";
# browsers put "-1" or " (1)" behind it.
NAMED = [
    (kata, re.compile(rf"(?P<owner>(?!test_).+[_-])?{kata.name}(-\d+| ?\(\d+\))?\.py"))
    for kata in sorted(KATAS, key=lambda kata: -len(kata.name))
]


def parts_of(name: str) -> tuple[str, ...] | None:
    """A member's name as folders and file; None where it could lead out of the place where it is put."""
    path = PurePosixPath(name)
    parts = tuple(part for part in path.parts if part != ".")
    if not parts or path.is_absolute() or ".." in parts or "\0" in name or re.match(r"[A-Za-z]:", name):
        return None
    return parts if all(len(part.encode("utf-8", "backslashreplace")) <= 200 for part in parts) else None


def looked_into(folders: Sequence[str]) -> bool:
    """Whether a solution may lie in a folder, given by the names of it and of those above it."""
    hidden = any(name.startswith(".") or name in NOT_LOOKED_INTO for name in folders)
    return len(folders) <= DEPTH and not hidden


def kata_and_owner(name: str) -> tuple[Kata, str] | None:
    """The kata that a file's name tells, and whose it is where a platform has put that before it."""
    for kata, pattern in NAMED:
        if match := pattern.fullmatch(name):
            return kata, (match["owner"] or "").rstrip("_-")
    return None


def is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVES)


def without_ending(name: str) -> str:
    """A file's name without what tells its format: "ann" for "ann.tar.gz"."""
    ending = max(
        (ending for ending in (*ARCHIVES, ".git", ".py") if name.lower().endswith(ending)), key=len, default=""
    )
    return name[: len(name) - len(ending)] or name


def is_told_of(parts: Sequence[str], size: int) -> bool:
    """Whether a file that is not taken is worth a note: it would steer tests, imports or CI, or claims results.

    The project's own files, to be found in every clone of it, are not; a changed one is seen by its size.
    """
    if len(parts) > DEPTH:
        return False
    name = parts[-1]
    steers = name in STEERING or name.endswith(".pth") or ".github" in parts
    shadows = name.endswith(".py") and name[:-3] in SHADOWED and looked_into(parts[:-1])
    tests = name.startswith("test_") and name.endswith(".py") and looked_into(parts[:-1])
    if not (steers or shadows or tests):
        return False
    return not any(_is_own(parts[depth:], size) for depth in range(min(3, len(parts))))


def is_told_from(folders: Sequence[str]) -> bool:
    """Whether a folder in which no solution may lie can hold files that are told of."""
    return len(folders) <= 3 and not {".github", ".dojo", "runs"}.isdisjoint(folders[-2:])


def _is_own(parts: Sequence[str], size: int) -> bool:
    own = ROOT.joinpath(*parts)
    return own.is_file() and own.stat().st_size == size


def plain(text: str, length: int = 120) -> str:
    """A name out of a submission, fit to be printed: one line, no control characters, not too long."""
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return shown if len(shown) <= length else f"{shown[: length - 3]}..."


def safe_names(names: Iterable[str]) -> list[str]:
    """Names for files, one for each given name: portable, no two equal, also where case does not count."""
    taken: set[str] = set()
    safe = []
    for name in names:
        wanted = unicodedata.normalize("NFC", name.encode("utf-8", "backslashreplace").decode())
        wanted = re.sub(r"[^\w.+@()-]+", "_", wanted).strip("._ ")[:80] or "submission"
        unique, number = wanted, 1
        while unique.casefold() in taken:
            number += 1
            unique = f"{wanted}-{number}"
        taken.add(unique.casefold())
        safe.append(unique)
    return safe

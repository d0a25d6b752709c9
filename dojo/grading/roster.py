"""Who has handed in what: the arguments of `grade`, expanded into submissions with names of their own.

A folder that holds solutions is a submission. A folder of folders and archives is a class, as GitHub Classroom,
Gradescope and Moodle lay one out; so are single files that carry their owners' names, as Canvas gives them, and an
archive of either.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dojo.curriculum import KATAS, Kata
from dojo.grading.archives import UnreadableError, unpack
from dojo.grading.names import is_archive, kata_and_owner, looked_into, plain, safe_names, without_ending
from dojo.grading.repositories import is_bare, is_url
from reference.errors import UserError

LATE_AND_FILE = re.compile(
    r"(?:_LATE)?((?:_\d+)+)_\d+$"
)  # Canvas: who, whether late, the person's and the file's number


@dataclass(frozen=True)
class Submission:
    """One submission.

    Attributes:
        name: unique among those graded together, and fit to be the name of a file.
        where: paths, or the address of a repository; several files of one person are several paths.
        problem: why it cannot be read, where that is known already.
    """

    name: str
    where: tuple[str, ...]
    problem: str = ""


Found = tuple[str, tuple[str, ...], str]  # the fields of a submission, before its name is made unique


def expand(
    words: Sequence[str], katas: Sequence[Kata], unpacked: Path, out: Path | None = None
) -> tuple[list[Submission], list[str]]:
    """The submissions that the arguments name, in an order that does not depend on theirs, and what was passed over.

    Args:
        unpacked: an empty folder, for archives that may hold a class; it has to outlive the submissions.
        out: the folder of results, which is no submission where it lies in a class.

    Raises:
        UserError: an argument names nothing, or a file whose name tells no kata.
    """
    found: list[Found] = []
    passed_over: list[str] = []
    for number, word in enumerate(words):
        if is_url(word):
            found.append((without_ending(word.rstrip("/").rpartition("/")[2].rpartition(":")[2]), (word,), ""))
            continue
        path = Path(word).resolve()
        if not path.exists():
            raise UserError(f"There is nothing at {word}; name a folder, an archive, a .py file or a git address.")
        if path.is_dir():
            found += _of_folder(path, passed_over)
        elif is_archive(path.name):
            found += _of_archive(path, unpacked / str(number), passed_over)
        elif kata_and_owner(path.name) is None and (len(katas) > 1 or path.suffix != ".py"):
            raise UserError(f"{word} is called like none of the katas: say which it is with --kata.")
        else:
            found.append((without_ending(path.name), (str(path),), ""))
    found = sorted({one for one in found if out is None or one[1] != (str(out.resolve()),)})
    names = safe_names(name for name, _, _ in found)
    submissions = [Submission(name, where, why) for name, (_, where, why) in zip(names, found, strict=True)]
    return submissions, passed_over


def _of_folder(folder: Path, passed_over: list[str]) -> list[Found]:
    entries = sorted(folder.iterdir())
    inside = {entry.name for entry in entries}
    named = [(entry, told[1]) for entry in entries if (told := kata_and_owner(entry.name)) is not None]
    repository = any((folder / kata.name / f"{kata.name}.py").exists() for kata in KATAS) or "katas" in inside
    if is_bare(folder) or repository or any(not owner for _, owner in named):
        return [(without_ending(folder.name), (str(folder),), "")]
    found: list[Found] = [
        (without_ending(entry.name), (str(entry),), "")
        for entry in entries
        if not entry.is_symlink() and (looked_into((entry.name,)) if entry.is_dir() else is_archive(entry.name))
    ]
    owners: dict[str, list[str]] = {}
    for entry, owner in named:
        owners.setdefault(LATE_AND_FILE.sub(r"\1", owner), []).append(str(entry))
    found += [(owner, tuple(files), "") for owner, files in owners.items()]
    if not found:
        return [(folder.name, (str(folder),), "")]
    if len(found) == 1 and found[0][0].endswith(("-main", "-master")):  # as GitHub packs one repository
        return [(folder.name, (str(folder),), "")]
    taken = {path for _, paths, _ in found for path in paths}
    passed_over += [plain(entry.name) for entry in entries if str(entry) not in taken]
    return found


def _of_archive(path: Path, folder: Path, passed_over: list[str]) -> list[Found]:
    """An archive with one root is a submission; else it is a class, in the folder to which it is unpacked."""
    name = without_ending(path.name)
    folder.mkdir()
    try:
        unpack(path, folder)
    except UnreadableError as error:
        return [(name, (str(path),), str(error))]
    inner = folder
    while len(entries := list(inner.iterdir())) == 1 and entries[0].is_dir() and entries[0].name != "katas":
        inner = entries[0]
    found = _of_folder(inner, passed_over) if entries else []
    if len(found) <= 1:
        return [(name, (str(path),), "")]
    return found

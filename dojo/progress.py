"""How far the learner is: derived from runs of the tests and from hashes, kept in .dojo/progress.json."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from dojo.curriculum import KATAS, ROOT, Kata

FILE = ROOT / ".dojo" / "progress.json"


@dataclass(frozen=True)
class Standing:
    """What is known of one kata.

    Attributes:
        file, tests: SHA-256 of the learner's file and of the kata's tests when they last ran, or empty.
        passed, total: tests at that time, stretch goals not counted.
        attempts: runs of the tests with a changed file.
        hints: how many are revealed.
        solution: whether the worked answer was shown.
        proof: what the part did in training, in a sentence, or empty.
        proof_file: SHA-256 of the learner's file at that time.
    """

    file: str = ""
    tests: str = ""
    passed: int = 0
    total: int = 0
    attempts: int = 0
    hints: int = 0
    solution: bool = False
    proof: str = ""
    proof_file: str = ""

    @property
    def was_green(self) -> bool:
        return 0 < self.total == self.passed


def sha256(*files: Path) -> str:
    """Of the bytes of files, one after the other; a file that is missing counts as empty."""
    return hashlib.sha256(b"\0".join(file.read_bytes() if file.exists() else b"" for file in files)).hexdigest()


def hash_of_tests(kata: Kata) -> str:
    return sha256(kata.tests, kata.folder / "codecs.py")


def load_progress(file: Path = FILE) -> dict[str, Standing]:
    """The standing of every kata, by name. A file that cannot be read counts as none: running tests makes it anew."""
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        return {kata.name: Standing(**kept.get(kata.name, {})) for kata in KATAS}
    except (OSError, ValueError, TypeError, AttributeError):
        return {kata.name: Standing() for kata in KATAS}


def save_standing(kata: Kata, standing: Standing, file: Path = FILE) -> None:
    """Note the standing of one kata; the file is written whole or not at all."""
    progress = load_progress(file) | {kata.name: standing}
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.{os.getpid()}")
    unfinished.write_text(json.dumps({name: asdict(one) for name, one in progress.items()}, indent=1), encoding="utf-8")
    unfinished.replace(file)


def record_run(kata: Kata, passed: int, total: int, file: Path = FILE) -> Standing:
    """Note a run of all tests of a kata on the learner's file."""
    before = load_progress(file)[kata.name]
    now = sha256(kata.file)
    standing = replace(
        before,
        file=now,
        tests=hash_of_tests(kata),
        passed=passed,
        total=total,
        attempts=before.attempts + (now != before.file),
    )
    save_standing(kata, standing, file)
    return standing


def is_current(kata: Kata, standing: Standing) -> bool:
    """Whether the last run of the tests was of the learner's file and the tests as they are now."""
    return standing.file == sha256(kata.file) and standing.tests == hash_of_tests(kata)


def is_green(kata: Kata, standing: Standing) -> bool:
    return standing.was_green and is_current(kata, standing)

"""Grades submissions, in a trusted process beside the one that hands them out.

python -m dojo.grading.job reads jobs, a line of JSON each. For each it writes OUT/submissions/NAME.json whole, and
OUT/sources/NAME/ with the files that were graded, then prints "kept" where the same was graded before, else "graded".
"""

from __future__ import annotations

import hashlib
import json
import math
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from functools import cache, partial
from pathlib import Path
from typing import Protocol

from dojo.curriculum import ROOT, Kata, find_kata
from dojo.grading.archives import UnreadableError
from dojo.grading.files import write_whole
from dojo.grading.intake import Taken, take_all
from dojo.grading.points import table
from dojo.grading.schema import (
    Isolation,
    KataResult,
    SchemaError,
    Status,
    SubmissionResult,
    TestResult,
    from_json,
    to_json,
)
from dojo.grading.versions import versions


class Grade(Protocol):
    """`dojo.grading.grade.grade_submission`, or what stands in for it."""

    def __call__(
        self, name: str, files: Mapping[str, Path], katas: Sequence[Kata], *, hidden_seed: int | None
    ) -> SubmissionResult: ...


@dataclass(frozen=True)
class Job:
    """What to grade.

    Attributes:
        name: of the submission, fit to be the name of a file.
        where: its paths, or the address of a repository.
        problem: why it cannot be read, where that is known already.
        katas: their labels, in order.
        hidden_seed: of the unseen cases, None for none.
        out: the folder of results.
    """

    name: str
    where: tuple[str, ...]
    problem: str
    katas: tuple[str, ...]
    hidden_seed: int | None
    out: str

    @property
    def file(self) -> Path:
        """Where the result goes."""
        return Path(self.out) / "submissions" / f"{self.name}.json"

    def chosen(self) -> list[Kata]:
        return [kata for label in self.katas if (kata := find_kata(label)) is not None]


def main(grade: Grade) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what is started in the background ignores it
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that workers are ended first
    for line in sys.stdin:
        given = json.loads(line)
        job = Job(**{**given, "where": tuple(given["where"]), "katas": tuple(given["katas"])})
        print("kept" if do(job, grade) else "graded", flush=True)


def do(job: Job, grade: Grade) -> bool:
    """Grade a submission and write its result, unless there is one of the same; whether there was."""
    try:
        if job.problem:
            raise UnreadableError(job.problem)
        taken = take_all(job.where, job.chosen())
    except UnreadableError as error:
        write_whole(job.file, to_json(unchecked(job, f"The submission cannot be read: {error}")))
        return False
    key = key_of(job, taken)
    if (kept := result_in(job.file)) is not None and kept.key == key:
        return True
    folder = Path(job.out) / "sources" / job.name
    files = _lay_out(folder, taken)
    result = grade(job.name, files, job.chosen(), hidden_seed=job.hidden_seed)
    katas = tuple(replace(kata, reason=taken.reasons.get(kata.name) or kata.reason) for kata in result.katas)
    notes = (*taken.notes, *result.notes)
    write_whole(job.file, to_json(replace(result, name=job.name, katas=katas, notes=notes, key=key)))
    return False


def _lay_out(folder: Path, taken: Taken) -> dict[str, Path]:
    """Write the solutions side by side into a folder that holds nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.stem not in taken.sources:
            old.unlink()
    files = {name: folder / f"{name}.py" for name in taken.sources}
    for name, file in files.items():
        write_whole(file, taken.sources[name])
    return files


def key_of(job: Job, taken: Taken) -> str:
    """SHA-256 of what a result depends on: the files, what was said of them, the katas, the seed and the grader."""
    files = {name: hashlib.sha256(source).hexdigest() for name, source in sorted(taken.sources.items())}
    parts = [files, taken.reasons, taken.notes, job.katas, job.hidden_seed, grader()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@cache
def grader() -> str:
    """SHA-256 of all code that has a say in a grade, and of the versions that it runs on."""
    known = hashlib.sha256(json.dumps(versions(), sort_keys=True).encode())
    for file in sorted(path for name in ("dojo", "katas", "reference") for path in (ROOT / name).rglob("*")):
        learners = file.parent.parent == ROOT / "katas" and file.stem == file.parent.name
        if file.suffix in (".py", ".toml") and not learners:
            known.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return known.hexdigest()


def result_in(file: Path) -> SubmissionResult | None:
    """The result in a file; None where there is none that this schema knows."""
    try:
        return from_json(file.read_bytes(), SubmissionResult)
    except (OSError, SchemaError):
        return None


def unchecked(job: Job, reason: str) -> SubmissionResult:
    """A result that says of every kata that it could not be checked. It has no key, so it is tried again next time."""
    katas = tuple(
        KataResult(
            *(kata.label, kata.name, kata.title, Status.UNCHECKED, reason),
            tests=(TestResult("all", "all tests", math.fsum(points.values()), 0.0, Status.UNCHECKED, reason),),
        )
        for kata in job.chosen()
        if (points := table()[kata.name])
    )
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    nothing = Isolation("limits", ("none of its code was run",))
    return SubmissionResult(job.name, katas, nothing, job.hidden_seed, versions(), now)


def as_json(job: Job) -> str:
    return json.dumps(asdict(job))


if __name__ == "__main__":
    from dojo.grading.grade import grade_submission
    from dojo.grading.running import Runner

    with Runner() as runner:
        main(partial(grade_submission, runner=runner))

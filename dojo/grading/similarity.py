"""How alike submissions are to each other and to the worked answers: a number for a person to look at."""

from __future__ import annotations

import heapq
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from dojo.curriculum import Kata
from dojo.grading import fingerprints
from dojo.grading.schema import SchemaError

PHRASE = (
    "Similarity is a number for a person to look at, never a verdict: nine short functions with a fixed contract have "
    "few honest shapes, so judge a pair against what is usual for its kata, and read both."
)
ANSWER = "the worked answer"
SMALLEST = 8  # fingerprints; of fewer, a likeness says nothing
LEAST = 0.5  # a likeness below is not listed
PAIRS = 200  # of each kata, the most alike
SECONDS = 600.0


@dataclass(frozen=True)
class Likeness:
    """Two sources of one kata.

    Attributes:
        similarity: fingerprints that both have, as a share of the smaller number, those of the stub left out; 0 to 1.
        usual: the median of all pairs of this kata.
    """

    kata: str
    one: str
    other: str
    similarity: float
    usual: float

    def as_dict(self) -> dict[str, Any]:
        return {
            "kata": self.kata,
            "one": self.one,
            "other": self.other,
            "similarity": round(self.similarity, 3),
            "usual": round(self.usual, 3),
        }


def likenesses(sources: Path, names: Sequence[str], katas: Sequence[Kata]) -> tuple[list[Likeness], list[str]]:
    """Pairs that are worth a look, the most unusual first, and the files that could not be compared.

    Args:
        sources: holds a folder for each name with the solution files in it.
    """
    found: list[Likeness] = []
    left_out: list[str] = []
    for kata in katas:
        files = {ANSWER: kata.answer}
        files |= {name: file for name in names if (file := sources / name / f"{kata.name}.py").exists()}
        marks = fingerprints_of([*files.values(), kata.file])
        stub = marks.pop() or set()
        known = {name: marked for name, marked in zip(files, marks, strict=True) if marked is not None}
        left_out += [f"{name}, {kata.name}" for name in files if name not in known]
        found += compare(kata.name, known, stub)
    found.sort(key=lambda like: (like.usual - like.similarity, -like.similarity, like.kata, like.one, like.other))
    return found, left_out


def compare(kata: str, known: Mapping[str, set[int]], stub: set[int]) -> list[Likeness]:
    """Compare every two of one kata. Sets of fingerprints become the bits of integers, which are quickly compared."""
    places = {mark: place for place, mark in enumerate(sorted(set().union(*known.values()) - stub))}
    bits = {name: _bits(marks, places) for name, marks in sorted(known.items())}
    sizes = {name: marks.bit_count() for name, marks in bits.items() if marks.bit_count() >= SMALLEST}
    shares = {
        (one, other): (bits[one] & bits[other]).bit_count() / min(sizes[one], sizes[other])
        for one, other in combinations(sizes, 2)
    }
    if not shares:
        return []
    usual = statistics.median(shares.values())
    most = heapq.nsmallest(PAIRS, ((-share, pair) for pair, share in shares.items() if share >= LEAST))
    return [Likeness(kata, *pair, -share, usual) for share, pair in most]


def _bits(marks: set[int], places: Mapping[int, int]) -> int:
    bits = bytearray(len(places) // 8 + 1)
    for mark in marks & places.keys():
        bits[places[mark] // 8] |= 1 << places[mark] % 8
    return int.from_bytes(bits, "little")


def fingerprints_of(files: Sequence[Path], program: str = fingerprints.__file__) -> list[set[int] | None]:
    """The fingerprints of files, found in processes that a source may end; None where there are none to be had.

    Args:
        program: a file that does what `fingerprints.main` does.
    """
    found: list[set[int] | None] = []
    while len(found) < len(files):
        names = json.dumps([str(file.resolve()) for file in files[len(found) :]])
        done = subprocess.run(
            [sys.executable, "-I", program],
            input=names.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
        for line in done.stdout.splitlines(keepends=True):
            if line.endswith(b"\n"):
                marks = json.loads(line)
                found.append(None if marks is None else set(marks))
        if done.returncode:
            found.append(None)  # the file at which it ended
        elif len(found) < len(files):
            raise SchemaError("the fingerprints of some files are missing")
    return found[: len(files)]

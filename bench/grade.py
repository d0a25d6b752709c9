"""python -m bench.grade: a kata graded against plain pytest on the same file, and a class: rate, memory, a resume."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import psutil
import torch

from bench._rounds import say
from dojo.curriculum import KATAS, ROOT, Kata, find_kata
from reference.compute import describe_machine

SEED = "7"  # hidden: its cases are among what is graded
LOOK_EVERY = 0.5  # seconds


def grade_command(where: Path, out: Path, katas: Sequence[Kata], jobs: int) -> list[str]:
    chosen = [word for kata in katas for word in ("--kata", kata.label)]
    how = ["--out", str(out), "--jobs", str(jobs), "--hidden-seed", SEED, "--format", "csv"]
    return [sys.executable, "-m", "dojo", "grade", str(where), *chosen, *how]


def seconds_of(command: Sequence[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def overhead(katas: Sequence[Kata], rounds: int, place: Path) -> None:
    """For every kata its worked answer, the same cases by turns under plain pytest and as a submission."""
    say(f"{'kata':<12}{'pytest':>9}{'graded':>9}{'more':>9}   seconds, median of {rounds} rounds")
    pytest = [sys.executable, "-m", "pytest", "-q"]
    for kata in katas:
        plain, graded = [], []
        for i in range(rounds):
            plain.append(seconds_of([*pytest, str(kata.tests), "--impl", "reference", "--hidden-seed", SEED]))
            graded.append(seconds_of(grade_command(kata.answer, place / f"{kata.name}-{i}", [kata], 1)))
        more = statistics.median(b - a for a, b in zip(plain, graded, strict=True))
        say(f"{kata.name:<12}{statistics.median(plain):>9.2f}{statistics.median(graded):>9.2f}{more:>9.2f}")


def make_class(folder: Path, katas: Sequence[Kata], count: int) -> None:
    """Submissions as a class would hand them in: each kata solved, solved with a slip, or not begun."""
    random = Random(0)
    for number in range(count):
        for kata in katas:
            answer = kata.answer.read_text(encoding="utf-8")
            slip = answer.replace(" + ", " - ", 1) if " + " in answer else answer.replace(" * ", " / ", 1)
            source = random.choices([answer, slip, kata.file.read_text(encoding="utf-8")], [6, 3, 1])[0]
            file = folder / f"s{number:03d}" / "katas" / kata.name / f"{kata.name}.py"
            file.parent.mkdir(parents=True)
            file.write_text(source, encoding="utf-8")


def grade_class(katas: Sequence[Kata], count: int, jobs: int, place: Path) -> None:
    """Grade a class, stop it at half, go on; the rate, and the memory of the process that is there all the time."""
    make_class(place / "class", katas, count)
    command = grade_command(place / "class", place / "out", katas, jobs)
    results = place / "out" / "submissions"
    started, held, all_held = time.perf_counter(), [], []
    for last in (False, True):
        process = psutil.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        while process.poll() is None:
            done = len(list(results.glob("*.json")))
            held.append((done, memory_of(process)))
            all_held.append(held[-1][1] + sum(map(memory_of, children(process))))
            if not last and done >= count // 2:
                process.terminate()
                process.wait()
                half = {file.name: file.read_bytes() for file in results.glob("*.json")}
            time.sleep(LOOK_EVERY)
    seconds = time.perf_counter() - started
    kept = sum((results / name).read_bytes() == content for name, content in half.items())
    early = max(size for done, size in held if done <= max(1, count // 10))
    say(f"\n{count} submissions of {len(katas)} katas, {jobs} at a time: {60 * count / seconds:.1f} a minute")
    in_the_end = len(list(results.glob("*.json")))
    say(f"stopped with {len(half)} done, gone on: {kept} kept as they were, {in_the_end} in the end")
    most = max(size for _, size in held)
    say(f"memory of the parent: {early / 2**20:.0f} MiB in the first tenth, at most {most / 2**20:.0f} MiB in all")
    say(f"memory of all processes together: at most {max(all_held) / 2**30:.2f} GiB (shared pages counted each time)")


def children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def memory_of(process: psutil.Process) -> int:
    """Bytes; 0 of a process that has ended meanwhile."""
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure grading.")
    parser.add_argument("--submissions", type=int, default=100, help="in the class; 0 leaves it out")
    parser.add_argument("--jobs", type=int, default=2, help="submissions at a time")
    parser.add_argument("--rounds", type=int, default=3, help="for the comparison with pytest; 0 leaves it out")
    parser.add_argument("--kata", action="append", type=find_kata, help="only this one; may be given more than once")
    options = parser.parse_args()
    katas = [kata for kata in options.kata or KATAS if kata is not None]
    say("{cpu}, {cores} cores, torch {torch}, {system}".format(**describe_machine(torch.device("cpu"))))
    with tempfile.TemporaryDirectory(prefix="nanokata-bench-") as name:
        if options.rounds:
            overhead(katas, options.rounds, Path(name))
        if options.submissions:
            grade_class(katas, options.submissions, options.jobs, Path(name))


if __name__ == "__main__":
    main()

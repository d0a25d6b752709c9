"""python -m bench.bpe: our rustbpe against the published one, tokenizers, tiktoken and pretokie, side by side.

Contenders take turns, each in a process of its own, for ours and the published one have the same name. Real text comes
from the parquet files in $NANOKATA_DATA/base_data; where that is not set, generated text takes its place.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench._rounds import ratio, say
from reference.checkpoint import write_atomically
from reference.data.primer.source import PrimerDocuments
from reference.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
LARGE, SMALL = 65_536, 4_096  # vocabularies
DOCUMENT = 3_400  # characters: what the documents of the real text have on average
SHARE = 10_000_000  # characters of primer text that one process writes


@dataclass(frozen=True)
class Bench:
    """Where the contenders and their texts are, and how often they have a turn."""

    folders: dict[str, str]
    cache: Path
    rounds: int
    large: int  # MB of primer text
    figures: dict[str, Any] = field(default_factory=dict)

    def real(self) -> Path:
        """The real text in one file, 15.5 MB of it."""
        data = os.environ.get("NANOKATA_DATA")
        if not data:
            return self.primer(15)
        file = self.cache / "base_data.txt"
        if not file.exists():
            import pyarrow.parquet as pq

            shards = sorted((Path(data) / "base_data").glob("*.parquet"))
            if not shards:
                raise UserError(f"There is no parquet file in {data}/base_data.")
            texts = (text for shard in shards for text in pq.read_table(shard)["text"].to_pylist())
            write(file, texts)
        return file

    def primer(self, megabytes: int) -> Path:
        """So many MB of primer text, every document another."""
        file = self.cache / f"primer-{megabytes}.txt"
        if not file.exists():
            say(f"writing {megabytes} MB of primer text to {file}, once ...")
            with ProcessPoolExecutor(2) as pool:
                whole, rest = divmod(megabytes * 1_000_000, SHARE)
                shares = pool.map(primer_share, range(whole + bool(rest)))
                write(file, (share[: rest or SHARE] if i == whole else share for i, share in enumerate(shares)))
        return file

    def turn(self, contender: str, job: str, file: Path, **order: Any) -> dict[str, Any]:
        """One turn: see _bpe_turn.py."""
        defaults = {"threads": None, "document": DOCUMENT, "vocab_size": LARGE}
        whole = {"contender": contender, "folder": self.folders.get(contender), "job": job, "file": str(file)}
        done = subprocess.run(
            [sys.executable, "-m", "bench._bpe_turn"],
            input=json.dumps({**defaults, **whole, **order}),
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            cwd=ROOT,
        )
        if done.returncode:
            raise UserError(f"The turn of {contender} failed; what it said is above.")
        return dict(json.loads(done.stdout))

    def play(self, title: str, turns: dict[str, Callable[[], dict[str, Any]]], rounds: int | None = None) -> None:
        """Rounds in which each has a turn, every other in reversed order; prints speeds and the first's ratios."""
        say(f"\n{title}")
        speeds, peaks = [], []
        for number in range(rounds or self.rounds):
            order = list(turns) if number % 2 == 0 else list(reversed(turns))
            found = {name: turns[name]() for name in order}
            speeds.append({name: found[name]["bytes"] / 1e6 / found[name]["seconds"] for name in turns})
            peaks.append({name: found[name]["peak_mb"] for name in turns})
            say("  " + ", ".join(f"{name} {found[name]['seconds']:.2f} s" for name in turns))
        first, *others = turns
        for name in turns:
            speed = statistics.median(figures[name] for figures in speeds)
            peak = max(figures[name] for figures in peaks)
            say(f"  {name:<24}{speed:>8.1f} MB/s{peak:>8.0f} MB at the peak")
        for name in others:
            say(f"  {first} / {name}: {ratio(speeds, first, name)} times the speed, "
                f"{peaks[0][first] / peaks[0][name]:.2f} of the memory")  # fmt: skip
        self.figures[title] = {"megabytes_per_second": speeds, "peak_megabytes": peaks}


def primer_share(number: int) -> str:
    """Share `number` of the primer text, drawn from a seed of its own."""
    pieces, count = [], 0
    for document in PrimerDocuments(number).stream("train"):
        pieces.append(document)
        count += len(document) + 1
        if count >= SHARE:
            break
    return "\n".join(pieces)[:SHARE]


def write(file: Path, texts: Iterable[str]) -> None:
    part = file.with_suffix(".part")
    with part.open("w", encoding="utf-8", newline="") as out:
        out.writelines(texts)
    part.rename(file)


def train(bench: Bench, title: str, file: Path, peers: list[str], rounds: int | None = None, **order: Any) -> None:
    turns = {
        name: lambda name=name: bench.turn(name, "train", file, **order)  # type: ignore[misc]
        for name in ("ours", *peers)
    }
    bench.play(title, turns, rounds)


def train_real(bench: Bench) -> None:
    """124 MB of real text, vocabulary 65,536."""
    peers = ["published", "tokenizers"]
    train(bench, "train, real text eight times over, vocabulary 65,536", bench.real(), peers, times=8)


def train_small(bench: Bench) -> None:
    """The real text once, vocabulary 4,096."""
    train(bench, "train, real text, vocabulary 4,096", bench.real(), ["published"], vocab_size=SMALL)


def train_large(bench: Bench) -> None:
    """1 GB of primer text, vocabulary 65,536; and how much memory that takes."""
    file = bench.primer(bench.large)
    train(bench, f"train, {bench.large} MB of primer text, vocabulary 65,536", file, ["published"], 1)


def encode(bench: Bench) -> None:
    """The real text by a vocabulary of 65,536 that was learned from it, with one and with two threads."""
    file, ranks = bench.real(), bench.cache / "ranks.json"
    bench.turn("ours", "train", file, ranks=str(ranks))
    for threads in (1, 2):
        turns = {
            name: lambda name=name: bench.turn(name, "encode", file, ranks=str(ranks), threads=threads)  # noqa: B023
            for name in ("ours", "tiktoken")
        }
        bench.play(f"encode, real text, vocabulary 65,536, {threads} threads", turns)  # type: ignore[arg-type]


def letter(bench: Bench) -> None:
    """A line of nothing but the letter a, longer and longer. Tokenizers, which takes minutes, is left out.

    It is encoded with the vocabulary of the real text: in one of its own the whole line would be a single token.
    """
    ranks = bench.cache / "ranks.json"
    bench.turn("ours", "train", bench.real(), ranks=str(ranks))
    for kilobytes in (250, 500, 1000):
        file = bench.cache / f"a-{kilobytes}.txt"
        file.write_text("a" * kilobytes * 1000)
        order: dict[str, Any] = {"document": kilobytes * 1000, "vocab_size": 1000, "threads": 1}
        train(bench, f"train, {kilobytes} kB of the letter a", file, ["published"], **order)
        turns = {
            name: lambda name=name, file=file, order=order: bench.turn(name, "encode", file, ranks=str(ranks), **order)
            for name in ("ours", "tiktoken")
        }
        bench.play(f"encode, {kilobytes} kB of the letter a", turns)  # type: ignore[arg-type]


def split(bench: Bench) -> None:
    """Splitting alone, on one thread; needs cargo and its registry."""
    build = ["cargo", "run", "--release", "--locked", "--quiet", "--target-dir", str(ROOT / "rustbpe/target/bench")]
    command = [*build, "--", str(bench.real()), str(bench.rounds)]
    done = subprocess.run(command, cwd=ROOT / "rustbpe" / "bench", stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise UserError("The benchmark of splitting could not be built; what cargo said is above.")
    speeds = [json.loads(line) for line in done.stdout.splitlines()]
    ours, *others = speeds[0]
    say("\nsplit, real text, one thread")
    for name in (ours, *others):
        say(f"  {name:<24}{statistics.median(figures[name] for figures in speeds):>8.1f} MB/s")
    for name in others:
        say(f"  {ours} / {name}: {ratio(speeds, ours, name)}")
    bench.figures["split"] = {"megabytes_per_second": speeds}


def scaling(bench: Bench) -> None:
    """Ours alone: one and two threads, from 10 MB up."""
    for megabytes in (size for size in (10, 100, bench.large) if size <= bench.large):
        file = bench.primer(megabytes)
        turns = {
            f"{threads} threads": lambda threads=threads, file=file: bench.turn("ours", "train", file, threads=threads)
            for threads in (2, 1)
        }
        bench.play(f"train ours, {megabytes} MB of primer text", turns, 1)  # type: ignore[arg-type]


PARTS: dict[str, Callable[[Bench], None]] = {
    "train-real": train_real,
    "train-small": train_small,
    "train-large": train_large,
    "encode": encode,
    "letter": letter,
    "split": split,
    "scaling": scaling,
}


def folders() -> dict[str, str]:
    """Where our wheel and the published one are unpacked, by contender."""
    command = [sys.executable, str(ROOT / "rustbpe" / "crate.py"), "folders"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise UserError("The benchmark needs our rustbpe and the published one; what is missing is said above.")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare our rustbpe with what others made.")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="leave the other parts out")
    parser.add_argument("--rounds", type=int, default=3, help="how often each contender has its turn")
    parser.add_argument("--megabytes", type=int, default=1000, help="of primer text, in train-large and scaling")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "nanokata-bench-bpe")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of every round there")
    return parser.parse_args()


def main() -> None:
    chosen = options()
    if chosen.rounds < 1 or chosen.megabytes < 10:
        raise UserError("--rounds should be at least 1 and --megabytes at least 10.")
    chosen.cache.mkdir(parents=True, exist_ok=True)
    bench = Bench(folders(), chosen.cache, chosen.rounds, chosen.megabytes)
    for name in chosen.only:
        PARTS[name](bench)
    if chosen.json:
        write_atomically(chosen.json, json.dumps(bench.figures, indent=2).encode())


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        sys.exit(130)

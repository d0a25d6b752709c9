"""Side by side: contenders take turns in one process and are compared round by round.

No machine is equally fast for long, and other programs want it too. Turns that follow each other within
seconds feel that alike, so ratios within a round say more than the figures they are made of.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from reference.checkpoint import write_atomically
from reference.compute import describe_machine
from reference.errors import UserError

Turn = Callable[[], int]  # does a piece of work; returns how many tokens it was
Round = dict[str, float]  # contender -> tokens per second


class Ratio(NamedTuple):
    """The median, the lowest and the highest of a ratio over all rounds."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}-{self.high:.2f})"


def ratio(rounds: list[Round], one: str, other: str) -> Ratio:
    """How many times as fast `one` was as `other`: first the ratio of each round, then their median."""
    each = [figures[one] / figures[other] for figures in rounds]
    return Ratio(statistics.median(each), min(each), max(each))


def medians(rounds: list[Round]) -> Round:
    return {name: statistics.median(figures[name] for figures in rounds) for name in rounds[0]}


def speed(turn: Turn) -> float:
    """The tokens per second of one turn."""
    started = time.perf_counter()
    tokens = turn()
    return tokens / (time.perf_counter() - started)


def fastest(contender: str, configurations: dict[str, Callable[[], Turn]]) -> tuple[str, Turn]:
    """Make every configuration and give it two turns, of which the better counts; the best and its name."""

    def tries() -> Iterator[tuple[float, str, Turn]]:
        for name, make in configurations.items():
            turn = make()
            found = max(speed(turn), speed(turn))
            say(f"trying {contender}: {name}: {found:,.0f} tokens/s")
            yield found, name, turn

    _, name, turn = max(tries(), key=lambda tried: tried[0])
    return name, turn


def play(turns: dict[str, Turn], count: int, seconds: float) -> list[Round]:
    """Rounds in which each contender has one turn, every other time in reversed order.

    Args:
        turns: by contender.
        count: of rounds; fewer when time is up or Ctrl-C is pressed, but at least one.
        seconds: after so many no new round begins.
    """
    rounds: list[Round] = []
    until = time.monotonic() + seconds
    try:
        while len(rounds) < count and (not rounds or time.monotonic() < until):
            order = list(turns) if len(rounds) % 2 == 0 else list(reversed(turns))
            figures = {name: speed(turns[name]) for name in order}
            rounds.append({name: figures[name] for name in turns})
            shown = ", ".join(f"{name} {found:,.0f}" for name, found in rounds[-1].items())
            say(f"round {len(rounds)} of {count}, tokens/s: {shown}")
    except KeyboardInterrupt:
        if not rounds:
            raise
        say("Stopped; this is what was measured so far.")
    return rounds


def conclusion(rounds: list[Round], chosen: dict[str, str], pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Print how many times as fast the first of each pair was; all that was found, for --json."""
    ratios = {f"{one} / {other}": ratio(rounds, one, other) for one, other in pairs}
    say("\nThe median of the ratios of all rounds (and the lowest and the highest):")
    for name, value in ratios.items():
        say(f"{name}: {value}")
    return {
        "chosen": chosen,
        "tokens_per_second": medians(rounds),
        "ratios": {name: value._asdict() for name, value in ratios.items()},
        "rounds": rounds,
    }


def say(line: str) -> None:
    print(line, flush=True)


def command(description: str, measure: Callable[[int, float], dict[str, Any]]) -> None:
    """The command line of a benchmark.

    Args:
        description: what it measures.
        measure: (count, seconds) of rounds, as in `play`, -> what --json writes.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=9, help="how often each contender has its turn")
    parser.add_argument("--seconds", type=float, default=100, help="no new round begins so long after the first")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of every round there")
    options = parser.parse_args()
    try:
        if options.rounds < 1:
            raise UserError(f"--rounds should be at least 1, not {options.rounds}.")
        cores = int(describe_machine(torch.device("cpu"))["cores"])
        torch.set_num_threads(min(2, cores))
        machine = describe_machine(torch.device("cpu"))
        say("{cpu}, {threads} of {cores} cores, torch {torch}, {system}".format(**machine))
        result = measure(options.rounds, options.seconds)
        if options.json:
            text = json.dumps({"machine": machine, **result}, indent=2) + "\n"
            write_atomically(options.json, text.encode())
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Stopped before the first round was complete.", file=sys.stderr)
        sys.exit(130)

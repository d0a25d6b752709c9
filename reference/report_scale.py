"""What report.md says of a run at scale beyond others: its hardware, what that cost, and how rl was followed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Report = dict[str, Any]


def where(report: Report) -> str:
    """The hardware in words and what it computed in, "" where it is not known."""
    machine = report.get("machine", {})
    computed = f", in {machine['compute_dtype']}" if "compute_dtype" in machine else ""
    if "gpu" in machine:
        return f" on {machine.get('devices', 1)} x {machine['gpu']}{computed}"
    return f" on {machine['cores']} cores of {machine['cpu']}{computed}" if {"cores", "cpu"} <= machine.keys() else ""


def cost(report: Report) -> list[str]:
    """What the run has cost, in a sentence, where the price of its GPUs is known."""
    if "cost" not in report:
        return []
    found = report["cost"]
    return [
        f"At about {found['dollars_per_gpu_hour']:.2f} dollars per GPU and hour its stages have cost "
        f"{found['dollars']:,.2f} dollars, evaluations not counted."
    ]


def left_out(report: Report) -> list[str]:
    """Which data sets a stage has gone without."""
    return [
        f"**Left out of {name}, for its data set was not there: {', '.join(stage['missing'])}.**"
        for name, stage in report["stages"].items()
        if stage.get("missing")
    ]


def held_out(report: Report, table: Callable[[Sequence[str], Sequence[Sequence[Any]]], str]) -> list[str]:
    """What the first and the last evaluation during rl have found, where there were any."""
    found = report["stages"].get("rl", {}).get("held_out")
    if not found:
        return []
    rows = [[f"{when} rl", *(f"{100 * value:.1f}%" for value in found[when].values())] for when in ("before", "after")]
    return [
        f"Of {found['problems']:,} held-out GSM8K problems, those that at least one of k sampled answers solves "
        "(unbiased estimates, temperature 1, the k of rl's own evaluation):",
        table(["", *(f"k = {k}" for k in found["before"])], rows),
    ]

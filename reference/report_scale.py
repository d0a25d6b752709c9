"""What report.md says of a run at scale beyond others: its hardware, and what that cost."""

from __future__ import annotations

from typing import Any

Report = dict[str, Any]


def where(report: Report) -> str:
    """The hardware in words, "" where it is not known."""
    machine = report.get("machine", {})
    if "gpu" in machine:
        return f" on {machine.get('devices', 1)} x {machine['gpu']}"
    return f" on {machine['cores']} cores of {machine['cpu']}" if {"cores", "cpu"} <= machine.keys() else ""


def cost(report: Report) -> list[str]:
    """What the run has cost, in a sentence, where the price of its GPUs is known."""
    if "cost" not in report:
        return []
    found = report["cost"]
    return [
        f"At about {found['dollars_per_gpu_hour']:.2f} dollars per GPU and hour its stages have cost "
        f"{found['dollars']:,.2f} dollars, evaluations not counted."
    ]

"""The map of the nine katas, and the next step on it."""

from __future__ import annotations

import subprocess
import sys

from rich.console import Console
from rich.table import Table

from dojo.curriculum import KATAS, ROOT, Kata
from dojo.progress import Standing, is_current, is_green, load_progress, sha256
from dojo.stub import is_stub


def state(kata: Kata, standing: Standing) -> str:
    """One word or two: not begun, red, green, proven, or edited since its tests ran."""
    if is_green(kata, standing):
        return "proven" if standing.proof and standing.proof_file == sha256(kata.file) else "green"
    if is_stub(kata):
        return "not begun"
    return "red" if standing.total and is_current(kata, standing) else "edited"


def refresh(begun: bool = False) -> None:
    """Run the tests again of every kata that was green and has changed since, so that a regression is seen.

    Args:
        begun: also those of every other kata that is begun and has changed.
    """
    progress = load_progress()
    changed = [kata for kata in KATAS if not is_current(kata, progress[kata.name])]
    for kata in (kata for kata in changed if progress[kata.name].was_green or (begun and not is_stub(kata))):
        folder = str(kata.folder.relative_to(ROOT))
        subprocess.run([sys.executable, "-m", "pytest", "-q", folder], cwd=ROOT, capture_output=True)


MARKS = {"proven": "🟢", "green": "🟢", "red": "🔴", "edited": "🟡", "not begun": "⚪"}


def markdown() -> str:
    """The map as a table in Markdown, for a page or the summary of a job."""
    progress = load_progress()
    states = {kata: state(kata, progress[kata.name]) for kata in KATAS}
    done = sum(now in ("green", "proven") for now in states.values())
    lines = [f"## {done} of {len(KATAS)} katas are green", "", "| | kata | state | tests |", "|---|---|---|--:|"]
    for kata, now in states.items():
        standing = progress[kata.name]
        tests = f"{standing.passed} of {standing.total}" if standing.total and now != "not begun" else ""
        lines.append(f"| {MARKS[now]} | {kata.label} {kata.name}, {kata.title} | {now} | {tests} |")
    return "\n".join([*lines, "", what_now()])


def show_map(console: Console) -> None:
    progress = load_progress()
    table = Table(box=None, pad_edge=False)
    for heading in ("", "kata", "state", "tests", "attempts", "hints", "in training"):
        table.add_column(heading, overflow="fold")
    for kata in KATAS:
        standing = progress[kata.name]
        now = state(kata, standing)
        proof = standing.proof if now == "proven" else ""
        style = {"proven": "green", "green": "green", "red": "red", "edited": "yellow"}.get(now, "dim")
        table.add_row(
            kata.label,
            f"{kata.name}, {kata.title}",
            now + (", answer seen" if standing.solution else ""),
            f"{standing.passed} of {standing.total}" if standing.total and now != "not begun" else "",
            str(standing.attempts or ""),
            f"{standing.hints} of 3" if standing.hints else "",
            proof,
            style=style,
        )
    console.print(table)
    console.print(f"\n{what_now()}", soft_wrap=True)


def what_now() -> str:
    """The next step: first what is red or edited, then what is green but not proven, then the next stub."""
    progress = load_progress()
    states = {kata: state(kata, progress[kata.name]) for kata in KATAS}
    for kata, now in states.items():
        if now in ("red", "edited"):
            standing = progress[kata.name]
            done = f"{standing.passed} of {standing.total} tests are green; " if now == "red" else ""
            return (
                f"Go on with kata {kata.label}, {kata.name}: {done}write in katas/{kata.name}/{kata.name}.py, "
                f"then run nox -s kata-{kata.label}."
            )
    for kata, now in states.items():
        if now == "green":
            return f"Kata {kata.label}, {kata.name}, is green: see it train with nox -s kata-{kata.label}."
    for kata, now in states.items():
        if now == "not begun":
            return (
                f"Begin kata {kata.label}, {kata.name} ({kata.title}): read katas/{kata.name}/README.md, write "
                f"katas/{kata.name}/{kata.name}.py, run nox -s kata-{kata.label}."
            )
    return "All nine are green and proven: train the whole stack with your own parts, nox -s d4 -- --tag mine."

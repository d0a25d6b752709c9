"""The worked answer of a kata, beside the learner's file."""

from __future__ import annotations

import difflib
from dataclasses import replace

from rich.console import Console
from rich.syntax import Syntax

from dojo.curriculum import Kata
from dojo.loading import shown
from dojo.progress import load_progress, save_standing
from dojo.stub import is_stub


def show_solution(kata: Kata, console: Console) -> None:
    """Print the worked answer and, unless nothing is written yet, a diff from the learner's file; it is noted."""
    save_standing(kata, replace(load_progress()[kata.name], solution=True))
    answer = kata.answer.read_text(encoding="utf-8")
    console.print(Syntax(answer, "python", background_color="default"))
    if is_stub(kata) or not kata.file.exists():
        return
    difference = difflib.unified_diff(
        kata.file.read_text(encoding="utf-8", errors="replace").splitlines(),
        answer.splitlines(),
        shown(kata.file),
        shown(kata.answer),
        lineterm="",
    )
    console.rule(f"from yours to the worked answer, {shown(kata.answer)}")
    console.print(Syntax("\n".join(difference), "diff", background_color="default"))

"""Hints, one at a time: the concept, then the place, then pseudocode."""

from __future__ import annotations

import re
from dataclasses import replace

from dojo.curriculum import Kata
from dojo.progress import load_progress, save_standing

COUNT = 3


def hints_of(kata: Kata) -> list[str]:
    """The three numbered paragraphs of the kata's hints.md."""
    text = (kata.folder / "hints.md").read_text(encoding="utf-8")
    return [hint.strip() for hint in re.split(r"^(?=\d\. )", text, flags=re.MULTILINE) if re.match(r"\d\. ", hint)]


def reveal(kata: Kata) -> str:
    """All hints that were revealed before and the next one, which is noted."""
    standing = load_progress()[kata.name]
    hints = hints_of(kata)
    taken = min(standing.hints + 1, COUNT)
    save_standing(kata, replace(standing, hints=taken))
    more = f"nox -s {'hint' if taken < COUNT else 'solution'}-{kata.label}"
    last = f"Another hint: {more}" if taken < COUNT else f"That was the last one. The worked answer: {more}"
    return "\n\n".join([*hints[:taken], last])

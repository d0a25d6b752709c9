"""Run the tests of a kata whenever its file is saved."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from dojo.curriculum import KATAS, Kata
from dojo.loading import shown
from dojo.map import what_now

SECONDS = 0.3  # between two looks: short enough to seem at once, and nine stat calls cost nothing


def watch_katas(console: Console, run_tests: Callable[[Kata], object]) -> None:
    """Until Ctrl-C, call `run_tests` with the kata whose file was saved.

    An editor that saves in two steps is waited for: the file must be the same in two looks.
    """
    console.print(f"Watching katas/*/*.py; Ctrl-C ends it. {what_now()}", soft_wrap=True)
    seen = {kata: _time(kata.file) for kata in KATAS}
    tested = dict(seen)
    while True:
        time.sleep(SECONDS)
        now = {kata: _time(kata.file) for kata in KATAS}
        for kata in changed(seen, now, tested):
            tested[kata] = now[kata]
            console.rule(f"{shown(kata.file)} was saved")
            run_tests(kata)
        seen = now


def changed(before: dict[Kata, float], now: dict[Kata, float], tested: dict[Kata, float]) -> list[Kata]:
    """The katas whose file is other than when it was last tested, and has been left alone since the last look."""
    return [kata for kata in now if now[kata] and now[kata] == before[kata] != tested[kata]]


def _time(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0

"""Progress: derived from hashes, kept whole or not at all, and turned into a next step; and what a save sets off."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dojo.curriculum import KATAS
from dojo.hints import hints_of
from dojo.map import state
from dojo.progress import Standing, is_green, load_progress, record_run, save_standing
from dojo.watch import changed
from tests.dojo.test_stack import moved

KATA = KATAS[0]


def test_what_was_noted_comes_back(tmp_path: Path) -> None:
    """a standing is kept, and those of the other katas with it"""
    file = tmp_path / ".dojo" / "progress.json"
    save_standing(KATAS[3], Standing(hints=2), file)
    save_standing(KATA, Standing(passed=3, total=9, solution=True), file)
    progress = load_progress(file)
    assert (progress["attention"].hints, progress["bpe"].passed, progress["bpe"].solution) == (2, 3, True)
    assert [path.name for path in file.parent.iterdir()] == ["progress.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"bpe": {"passed": 1, "unknown": 2}}', '{"bpe": 5}', "\x00\xff"])
def test_a_damaged_file_counts_as_none(tmp_path: Path, content: str) -> None:
    """progress that cannot be read is begun anew, without a word"""
    file = tmp_path / "progress.json"
    file.write_text(content, encoding="latin-1")
    assert load_progress(file)["bpe"] == Standing()
    save_standing(KATA, Standing(hints=1), file)
    assert json.loads(file.read_text())["bpe"]["hints"] == 1


def test_green_is_of_this_file(tmp_path: Path) -> None:
    """an edit takes green away, and attempts count changed files"""
    kata = moved("bpe", tmp_path, "x = 1\n")
    progress = tmp_path / "progress.json"
    assert state(kata, Standing()) == "edited"
    standing = record_run(kata, 9, 9, progress)
    assert is_green(kata, standing)
    assert state(kata, standing) == "green"
    assert state(kata, replace(standing, proof="it works", proof_file=standing.file)) == "proven"
    assert record_run(kata, 9, 9, progress).attempts == 1
    kata.file.write_text("x = 2\n")
    assert not is_green(kata, standing)
    assert state(kata, standing) == "edited"
    standing = record_run(kata, 8, 9, progress)
    assert (state(kata, standing), standing.attempts) == ("red", 2)
    kata.file.write_text('def f():\n    """A stub."""\n    raise NotImplementedError("kata")\n')
    assert state(kata, standing) == "not begun"


def test_watch_waits_for_a_save_to_be_whole() -> None:
    """a kata is run when its file is other than when it was last tested, and the same in two looks"""
    one, other = KATAS[:2]
    before, now = {one: 1.0, other: 1.0}, {one: 2.0, other: 1.0}
    tested = dict(before)
    assert changed(before, now, tested) == []
    assert changed(now, now, tested) == [one]
    assert changed(now, now, now) == []
    assert changed({one: 0.0, other: 1.0}, {one: 0.0, other: 1.0}, tested) == [], "a file that is gone for a moment"


@pytest.mark.parametrize("kata", KATAS, ids=[kata.name for kata in KATAS])
def test_hints_are_three(kata: object) -> None:
    """every kata has three hints, in order"""
    hints = hints_of(kata)  # type: ignore[arg-type]
    assert [hint[:3] for hint in hints] == ["1. ", "2. ", "3. "]

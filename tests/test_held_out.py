"""Evaluation during rl: off, without its problems, in trackers, in the report and its picture."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from reference.data.generated import write_generated
from reference.data.hub import Hub, Missing
from reference.plots import FigureCanvasAgg, pass_at_k
from reference.presets import at_scale, override
from reference.report import write_report
from reference.run import Run
from reference.stages.scaled_rl import before_and_after, problems_held_out
from reference.tasks.gsm8k import gsm8k
from tests.test_report import shown_texts

LINES = [
    {"stage": "rl", "step": 0, "reward": 0.1, "loss": 1.0, "pass_at_1": 0.125, "pass_at_2": 0.25, "pass_at_3": 0.5},
    {"stage": "rl", "step": 1, "reward": 0.2, "loss": 1.0},
    {"stage": "rl", "step": 2, "pass_at_1": 0.25, "pass_at_2": 0.375, "pass_at_3": 0.5625},
]


def session(allow_missing: bool = False, **settings: str) -> Any:
    preset = override(at_scale(1), {f"rl.{name}": value for name, value in settings.items()})
    run = SimpleNamespace(config={"allow_missing": allow_missing})
    return SimpleNamespace(preset=preset, run=run, console=Console(file=io.StringIO(), width=300))


def test_how_many_problems(tmp_path: Path) -> None:
    """By default every 60 steps 400 problems, 8 times each; a value of 0 or less is off."""
    write_generated(tmp_path)
    hub, plan = Hub(tmp_path, None), at_scale(20).rl
    assert (plan.evaluate_every, plan.held_out_problems, plan.held_out_samples) == (60, 400, 8)
    held_out = problems_held_out(session(held_out_problems="7"), hub)
    assert held_out is not None
    assert list(held_out.examples) == list(gsm8k(hub, "test").examples[:7])
    for off in ("0", "-1"):
        assert problems_held_out(session(evaluate_every=off), hub) is None


def test_without_the_problems(tmp_path: Path) -> None:
    """A run that may do without data sets goes on, and says so; any other ends with the name of what is missing."""
    with pytest.raises(Missing, match=r"^The data set openai/gsm8k \(main, test\) is not in"):
        problems_held_out(session(), Hub(tmp_path, None))
    may = session(allow_missing=True)
    assert problems_held_out(may, Hub(tmp_path, None)) is None
    assert "rl  is not evaluated on the way: The data set openai/gsm8k (main, test)" in may.console.file.getvalue()


def test_the_report_of_it(tmp_path: Path) -> None:
    """The first and the last evaluation in a table, all in a picture; no step more than was trained."""
    run = Run.create(tmp_path, "d20", {"preset": "d20", "seed": 0})
    for line in LINES:
        run.log(**line)
    found = before_and_after(LINES)
    assert found == {
        "before": {"1": 0.125, "2": 0.25, "3": 0.5},
        "after": {"1": 0.25, "2": 0.375, "3": 0.5625},
    }
    run.mark_complete("rl", facts={"held_out": {"problems": 16, **found}})
    report = write_report(run)
    assert report["stages"]["rl"]["steps"] == 2
    text = (run.path / "report.md").read_text()
    assert "Of 16 held-out GSM8K problems, those that at least one of k sampled answers solves" in text
    assert "| before rl | 12.5% | 25.0% | 50.0% |" in text
    assert "| after rl | 25.0% | 37.5% | 56.2% |" in text
    assert "(plots/pass_at_k.png)" in text
    assert (run.path / "plots" / "pass_at_k.png").exists()


def test_the_picture_of_it() -> None:
    """A curve for each k, named, with the logged percentages at the logged steps; no two texts overlap."""
    figure = pass_at_k([line for line in LINES if "pass_at_1" in line])
    (axis,) = figure.axes
    assert [line.get_label() for line in axis.lines] == ["k = 1", "k = 2", "k = 3"]
    assert [list(line.get_xdata()) for line in axis.lines] == [[0, 2]] * 3
    assert [list(line.get_ydata()) for line in axis.lines] == [[12.5, 25.0], [25.0, 37.5], [50.0, 56.25]]
    FigureCanvasAgg(figure).draw()
    texts = shown_texts(figure)
    assert len(texts) > 8
    for index, (one, box) in enumerate(texts):
        assert not any(box.padded(2).overlaps(other) for _, other in texts[index + 1 :]), one

"""What the optional trackers are given, and what is said where they are missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from reference.errors import UserError
from reference.optim import MuonAdamW, Rates
from reference.stages.training import Plan, train
from reference.trackers import TRACKERS, tracker
from tests.test_stages import new_session


def test_weights_and_biases(tmp_path: Path) -> None:
    """One run of the tag's name that can be gone on with, and a chart for each number of each stage."""
    asked: dict[str, Any] = {}
    lines: list[dict[str, float]] = []

    def init(**options: Any) -> SimpleNamespace:
        asked.update(options)
        return SimpleNamespace(log=lines.append)

    module = ModuleType("wandb")
    module.init = init  # type: ignore[attr-defined]
    tracker("wandb", tmp_path / "d20", load={"wandb": module}.__getitem__).log("base", 7, {"loss": 3.5, "mfu": 0.4})
    assert (asked["name"], asked["id"], asked["resume"]) == ("d20", "d20", "allow")
    assert lines == [{"base/step": 7, "base/loss": 3.5, "base/mfu": 0.4}]


def test_tensorboard(tmp_path: Path) -> None:
    """Event files in the run's own folder, a scalar for each number of each stage."""
    written: list[tuple[Any, ...]] = []

    def writer(log_dir: str) -> SimpleNamespace:
        assert log_dir == str(tmp_path / "d20" / "tensorboard")
        return SimpleNamespace(add_scalar=lambda *scalar: written.append(scalar))

    module = ModuleType("tensorboard")
    module.SummaryWriter = writer  # type: ignore[attr-defined]
    load = {"torch.utils.tensorboard": module}.__getitem__
    tracker("tensorboard", tmp_path / "d20", load=load).log("sft", 2, {"loss": 1.5, "lr_scale": 0.25})
    assert written == [("sft/loss", 1.5, 2), ("sft/lr_scale", 0.25, 2)]


@pytest.mark.parametrize("name", [name for name in TRACKERS if name != "off"])
def test_a_package_that_is_missing(name: str, tmp_path: Path) -> None:
    """One sentence says how to install it; processes that do not track need none."""

    def load(module: str) -> ModuleType:
        raise ImportError(module)

    with pytest.raises(UserError, match=rf"^{name} is not installed; install it with pip install 'nanokata\[{name}\]'"):
        tracker(name, tmp_path, load=load)
    tracker(name, tmp_path, is_main=False, load=load).log("base", 0, {"loss": 1.0})
    tracker("off", tmp_path, load=load).log("base", 0, {"loss": 1.0})


class Recording:
    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def log(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        self.lines.append({"stage": stage, "step": step, **values})


def test_a_tracker_is_told_all_that_is_logged(tmp_path: Path) -> None:
    """Every line of metrics.jsonl, that of the evaluation after the last step too."""
    recording = Recording()
    session = replace(new_session(tmp_path, 0), tracker=recording)
    model = session.new_model()
    plan = Plan(
        "rl",
        2,
        lambda step: {"loss": 1.0 + step},
        lambda step: 1.0,
        lambda step: 0.95,
        lambda step: {"pass_at_1": 0.25} if step in (0, 2) else {},
    )
    train(session, model, MuonAdamW(model, session.parts, Rates()), plan)
    assert recording.lines == session.run.metrics()
    assert [line["step"] for line in recording.lines if "pass_at_1" in line] == [0, 2]

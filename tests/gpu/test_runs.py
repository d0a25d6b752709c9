"""On GPUs the programs run: training, stopped and gone on with, in one process and in two, and the benchmark."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from bench import gpu as benchmark
from reference.data.generated import write_generated
from reference.parts import Parts
from reference.pipeline import Order, make_run
from reference.presets import at_scale, override
from reference.run import Run
from tests.tiny_run import struck

ROOT = Path(__file__).resolve().parents[2]
STEPS = 8
SETTINGS = {
    "vocab_size": "600",
    "sequence_len": "64",
    "batch_rows": "8",
    "tokenizer_characters": "60000",
    "base_steps": str(STEPS),
    "base_evaluations": "2",
    "validation_updates": "1",
}
PRESET = override(replace(at_scale(2), name="d2"), SETTINGS)


class Died(Exception):
    """What happens to a process in the middle of an update."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hub")
    write_generated(root)
    return root


def go(data: Path, root: Path, stage: str, parts: Parts | None = None) -> Run:
    """Train a stage of the run `root`/t on the GPU, two micro-batches an update, a checkpoint after every one."""
    order = Order(root, "t", PRESET, 0, str(data), None, stage)
    return make_run(order, parts or Parts(), Console(file=io.StringIO(), width=300), "cuda", 0.0, device_rows=4)


def losses(run: Run) -> list[float]:
    return [line["loss"] for line in run.metrics("base") if "loss" in line]


def test_going_on(data: Path, tmp_path: Path) -> None:
    """A run that died in the middle of an update goes on with the same losses; sums on a GPU have no fixed order."""

    def die() -> None:
        raise Died

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for root in (whole, broken):
        go(data, root, "tokenizer")
    expected = losses(go(data, whole, "base"))
    assert len(expected) == STEPS
    calls = json.loads((whole / "t" / "run.json").read_text())["stages"]["base"]["calls"]["muon"]
    with pytest.raises(Died):
        go(data, broken, "base", struck(Parts(), "muon", "muon_step", calls // 2, die))
    assert 0 < len(losses(Run.open(broken, "t"))) < STEPS
    assert losses(go(data, broken, "base")) == pytest.approx(expected, abs=0.02)
    assert expected[0] == pytest.approx(math.log(600), abs=0.01)
    assert expected[-1] < expected[0] - 0.1


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs, shown by --gpu")
def test_two_processes(data: Path, tmp_path: Path) -> None:
    """Two processes with a GPU each train one model, through NCCL."""
    values = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    world = ["-m", "reference.torchrun", "--standalone", "--nproc_per_node", "2"]
    for command in (
        ["-m", "reference", "tok-train", "--depth", "2", "--tag", "t", "--data", str(data), *values],
        [*world, "-m", "reference", "base-train", "--tag", "t"],
    ):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, *command], cwd=tmp_path, env=environment, check=True)
    found = losses(Run.open(tmp_path / "runs", "t"))
    assert len(found) == STEPS
    assert found[0] == pytest.approx(math.log(600), abs=0.01)
    assert found[-1] < found[0] - 0.1


def test_the_benchmark(tmp_path: Path) -> None:
    """It runs to its end: our speed, where a step's time goes, and the peer's speed on the same work."""
    file = tmp_path / "gpu.json"
    size = ["--depth", "2", "--rows", "2", "--sequence-len", "256", "--vocab-size", "1024", "--steps", "2"]
    benchmark.main([*size, "--json", str(file)])
    result = json.loads(file.read_text())
    assert all(result["time"][name] > 0 for name in benchmark.ROWS if name != "idle")
    assert result["peer"]["tokens_per_second"] > 0

"""A folder in which commands run, and a small run in it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from reference.checkpoint import save_checkpoint
from reference.model import GPT, GPTConfig
from reference.parts import Parts
from reference.run import Run
from reference.tokenizer import train_tokenizer


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the commands run, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(home: Path) -> Run:
    """A run whose tokenizer and base are complete."""
    run = Run.create(home / "runs", "tiny", {"preset": "d4", "seed": 0})
    tokenizer = train_tokenizer(["the sum of 12 and 30"], 265, Parts())
    tokenizer.save(run.path / "tokenizer" / "tokenizer.json")
    model = GPT(GPTConfig(tokenizer.vocab_size, 1, 1, 1, 8, 16), Parts())
    model.init_weights(0)
    save_checkpoint(run.stage_dir("base"), 5, {"model": model.state_dict()}, {"config": asdict(model.config)})
    for stage in ("tokenizer", "base"):
        run.mark_complete(stage)
    return run

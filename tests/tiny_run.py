"""A tiny run for the tests: every stage in seconds, and what to hold against it.

One run, the fixture `whole`, is trained without interruption; tests copy it, undo some stages, let something happen
and hold what comes out against it, bit for bit.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import itertools
import json
import os
import re
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

import reference.parts.rope
from reference.errors import UserError
from reference.parts import Parts
from reference.parts.provenance import CONTRACT_NAMES
from reference.pipeline import Order, make_run
from reference.presets import Preset, get_preset, override
from reference.run import STAGES, Run

needs_signals = pytest.mark.skipif(os.name == "nt", reason="Windows has neither fork nor signals")

TRAINED = STAGES[:-1]
TINY = {
    "depth": "1",
    "vocab_size": "400",
    "sequence_len": "256",
    "batch_rows": "2",
    "tokenizer_characters": "20000",
    "base_steps": "8",
    "mid.steps": "4",
    "sft.steps": "4",
    "rl.steps": "4",
    "rl.prompts": "4",
    "rl.samples": "2",
    "rl.max_tokens": "8",
    "rl.warmup": "2",
    "rl.rehearsal_rows": "1",
    "answer_tokens": "6",
    "judged_examples": "2",
}
PRESET = override(get_preset("d4"), TINY)
FORMATS = ("float32", "bfloat16")
DTYPE = os.environ.get("NANOKATA_DTYPE", "float32")  # that all runs compute in whose test does not name a format
EVERY_STEP, NEVER = 0.0, 1e9  # seconds between checkpoints

# A learner's parts: rope is right; grpo rewards by place, so that a model that solves nothing is updated in rl too.
LEARNED = {
    "rope": Path(reference.parts.rope.__file__).read_text() + "\n# mine\n",
    "grpo": """import torch
from reference.parts.grpo import policy_loss

def advantages(rewards):
    return torch.linspace(-1.0, 1.0, rewards.numel()).view_as(rewards)
""",
}


def learner(folder: Path) -> Parts:
    """The reference's parts with those in LEARNED loaded from files, as a learner's are."""
    modules: dict[str, ModuleType] = {}
    for part, source in LEARNED.items():
        file = folder / f"{part}.py"
        file.write_text(source)
        spec = importlib.util.spec_from_file_location(f"learned_{part}", file)
        modules[part] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(modules[part])
    return Parts(**modules)


def go(
    root: Path,
    parts: Parts | None = None,
    preset: Preset = PRESET,
    seed: int = 0,
    data: str = "primer",
    start: str | None = None,
    seconds: float = NEVER,
    dtype: str = DTYPE,
) -> tuple[Run, str]:
    """Make the run `root`/tiny, or go on with it: the run, and all that was printed."""
    printed = io.StringIO()
    parts = parts or learner(root.parent)
    console = Console(file=printed, width=300)
    order = Order(root, "tiny", preset, seed, data, start, dtype=dtype)
    run = make_run(order, parts, console, "cpu", seconds)
    return run, printed.getvalue()


@dataclass(frozen=True)
class Whole:
    """The run that nothing disturbed."""

    run: Run
    printed: str

    def copy(self, folder: Path, first_missing: str | None = None) -> Path:
        """A copy in which `first_missing` and all later stages have not been done; the root to go on with."""
        shutil.copytree(self.run.path, folder / "runs" / "tiny")
        if first_missing is not None:
            Run.open(folder / "runs", "tiny").forget(STAGES[STAGES.index(first_missing) :])
        return folder / "runs"


def numbers(run: Run) -> list[dict[str, Any]]:
    """What was logged, without speeds."""
    return [{key: value for key, value in line.items() if key != "tokens_per_second"} for line in run.metrics()]


def outcome(run: Run) -> dict[str, Any]:
    """All that must not depend on how a run came about: losses, weights, optimizer states, answers, scores, updates."""
    stages = run.config["stages"]
    kept = ("facts", "samples", "tasks")
    return {
        "metrics": numbers(run),
        "noted": {stage: {key: stages[stage].get(key) for key in kept} for stage in TRAINED},
        "updates": {stage: stages[stage]["calls"]["muon"] for stage in TRAINED},
        "files": {
            str(file.relative_to(run.path)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in run.path.rglob("*")
            if file.suffix == ".safetensors" or file.name == "tokenizer.json"
        },
    }


def same_outcome(run: Run, whole: Whole) -> None:
    """Piece by piece, so that a failure says where."""
    ours, theirs = outcome(run), outcome(whole.run)
    assert ours["metrics"] == theirs["metrics"]
    assert ours["noted"] == theirs["noted"]
    assert ours["updates"] == theirs["updates"]
    # a checkpoint that is saved once more has a serial number in its name
    names = [re.sub(r"(step_\d+)\.\d+", r"\1", name) for name in ours["files"]]
    assert dict(zip(names, ours["files"].values(), strict=True)) == theirs["files"]


def snapshot(path: Path) -> dict[str, Any]:
    """Every file of a run by its content, without what every process notes anew: its memory, its parts' files."""
    files: dict[str, Any] = {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != ".lock"
    }
    with suppress(ValueError, KeyError, TypeError):  # damaged on purpose: then its bytes count
        files["run.json"] = {**json.loads(files["run.json"]), "peak_rss_gib": None, "parts": None}
    return files


def refuses(root: Path, pattern: str, **order: Any) -> None:
    """Going on ends in a sentence like `pattern`, says what to do, and changes nothing."""
    before = snapshot(root / "tiny")
    with pytest.raises(UserError, match=pattern) as refusal:
        go(root, **order)
    assert "\n" not in str(refusal.value)
    assert snapshot(root / "tiny") == before


def struck(parts: Parts, part: str, name: str, number: int, deed: Callable[[], Any]) -> Parts:
    """The same parts, but just before the `number`-th call of `name` the deed is done."""
    original = getattr(parts, part)
    members = {member: getattr(original, member) for member in CONTRACT_NAMES[part]}
    calls = itertools.count(1)

    def strike(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == number:
            deed()
        return members[name](*args, **kwargs)

    return replace(parts, **{part: SimpleNamespace(__file__=original.__file__, **{**members, name: strike})})


def crash() -> None:
    raise RuntimeError("struck")


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def progress(root: Path) -> tuple[str, int]:
    """The stage that comes next and how many of its steps are in the log."""
    run = Run.open(root, "tiny")
    stage = next(stage for stage in STAGES if not run.is_complete(stage))
    return stage, len(run.metrics(stage))

"""What every stage is given: the run, what it is to become, and whose code it is built from."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from reference.checkpoint import latest_checkpoint, load_checkpoint
from reference.compiled import compiled_trunk
from reference.compute import set_up_gpu
from reference.data.documents import DocumentSource
from reference.distributed import ALONE, World
from reference.engine import Engine
from reference.errors import UserError
from reference.memory import micro_batches, rows_per_device, rows_that_fit
from reference.model import GPT, GPTConfig
from reference.parts import Parts
from reference.presets import Preset
from reference.run import Run
from reference.tokenizer import Tokenizer
from reference.trackers import Off, Tracker


class Ledger:
    """What one stage has cost: seconds and calls of the parts, in this process and in those that were interrupted.

    Args:
        calls: per part, rising with every call.
        code: per part {whose, file, sha256} of the code that this process runs.
    """

    def __init__(self, calls: dict[str, int], code: dict[str, dict[str, str]]) -> None:
        self.calls, self.code, self._calls_before = calls, code, dict(calls)
        self._started = time.monotonic()
        self._earlier: dict[str, Any] = {"seconds": 0.0, "code": {}}

    def resume(self, cost: dict[str, Any]) -> None:
        """Take over what a checkpoint says of the processes before this one."""
        self._earlier = {"code": {}, **cost}  # a run of an earlier version has not noted it

    def cost(self) -> dict[str, Any]:
        """{"seconds": float, "calls": {part: int}, "code": {part: [{whose, file, sha256, calls}]}} so far, JSON.

        A part has no code where it was not called, and several where the stage went on with other code.
        """
        code = {part: self._versions(part) for part in self.calls}
        return {
            "seconds": self._earlier["seconds"] + time.monotonic() - self._started,
            "calls": {part: sum(version["calls"] for version in versions) for part, versions in code.items()},
            "code": code,
        }

    def _versions(self, part: str) -> list[dict[str, Any]]:
        earlier = self._earlier["code"].get(part, [])
        calls = self.calls[part] - self._calls_before[part]
        if not calls:
            return earlier
        here = {**self.code[part], "calls": calls}
        if earlier and earlier[-1]["sha256"] == here["sha256"]:
            return [*earlier[:-1], {**here, "calls": earlier[-1]["calls"] + calls}]
        return [*earlier, here]


@dataclass(frozen=True)
class Session:
    """One process working on one stage of a run.

    Attributes:
        run: the run directory, locked by this process.
        preset: sizes, steps and rates.
        parts: the nine parts, counting their calls.
        ledger: what the stage has cost.
        source: the text for base training.
        activation_dtype: what the model computes in.
        device: where it computes.
        checkpoint_seconds: a checkpoint is written when the last one is so old, and at the end of a stage.
        world: the processes that work on it together.
        device_rows: rows that a device takes at a time; None: as many as fit into its memory.
        compiles: whether the model's blocks are compiled for training.
        tracker: where what is logged goes besides metrics.jsonl.
    """

    run: Run
    preset: Preset
    parts: Parts
    ledger: Ledger
    source: DocumentSource
    console: Console
    activation_dtype: torch.dtype
    device: torch.device
    checkpoint_seconds: float
    world: World = ALONE
    device_rows: int | None = None
    compiles: bool = False
    tracker: Tracker = field(default_factory=Off)

    @property
    def seed(self) -> int:
        return self.run.config["seed"]

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer.load(tokenizer_file(self.run))

    def new_model(self) -> GPT:
        model = GPT(self.preset.model_config(self.tokenizer.vocab_size), self.parts, self.activation_dtype)
        model.init_weights(self.seed)
        return self._on_device(model)

    def trained_model(self, stage: str) -> GPT:
        """The model as `stage` left it."""
        model = load_model(self.run, stage, self.parts, self.activation_dtype)
        check_vocabulary(self.run, stage, model, self.tokenizer)
        return self._on_device(model)

    def _on_device(self, model: GPT) -> GPT:
        model = model.to(self.device)
        if self.compiles:
            model.trunk = compiled_trunk(model, self.ledger.calls)
        return model

    def micro_batches(self, rows: int) -> tuple[int, int]:
        """How this device takes its part of an update of so many rows: (rows at a time, how many times)."""
        mine, config = rows_per_device(rows, self.world.size), self.preset.model_config(self.tokenizer.vocab_size)
        if self.device_rows is not None:
            at_once = min(mine, self.device_rows)
        elif self.on_gpu:
            memory = torch.cuda.get_device_properties(self.device).total_memory
            at_once = rows_that_fit(config, mine, memory, self.world.size, self.compiles)
        else:
            at_once = mine
        return at_once, micro_batches(rows, self.world.size, at_once)

    def anew(self, stage: str) -> str:
        """The option that does a stage again from its start."""
        return f"--from {stage}" if self.preset.curriculum == "primer" else "--again"

    def engine(self, model: GPT) -> Engine:
        return Engine(model, self.tokenizer, self.parts)


def tokenizer_file(run: Run) -> Path:
    return run.stage_dir("tokenizer") / "tokenizer.json"


def last_stage(run: Run) -> str:
    """The last stage of a run whose model is complete; UserError when there is none yet."""
    for stage in ("rl", "sft", "mid", "base"):
        if run.is_complete(stage):
            return stage
    at_scale = run.config.get("settings", {}).get("curriculum") == "hub"
    command = "python -m reference base-train --tag" if at_scale else "./noxw -s d4 -- --tag"
    raise UserError(f"The run {run.path} has no trained model yet; train it with {command} {run.tag}.")


def load_model(run: Run, stage: str, parts: Parts, activation_dtype: torch.dtype = torch.float32) -> GPT:
    """The model that `stage` of a run left behind; UserError when there is none."""
    checkpoint = latest_checkpoint(run.stage_dir(stage))
    if checkpoint is None:
        raise UserError(f"The run {run.path} has no checkpoint of the stage {stage}; train it first.")
    tensors, state = load_checkpoint(checkpoint)
    model = GPT(GPTConfig(**state["config"]), parts, activation_dtype)
    model.load_state_dict(tensors["model"])
    return model


def check_vocabulary(run: Run, stage: str, model: GPT, tokenizer: Tokenizer) -> None:
    """UserError unless a run's model was trained with its tokenizer, as far as the number of tokens tells."""
    if model.config.vocab_size != tokenizer.vocab_size:
        raise UserError(
            f"The checkpoint of {stage} in {run.path} was trained with a vocabulary of {model.config.vocab_size:,} "
            f"tokens, but its tokenizer has {tokenizer.vocab_size:,}; put the tokenizer back that it was trained with, "
            f"or train {stage} again."
        )


def load_engine(run: Run, stage: str, parts: Parts, device: torch.device) -> Engine:
    """The model that `stage` of a run left behind, to be asked on a device: in bfloat16 on CUDA, else in float32.

    Raises:
        UserError: there is none, or the run's tokenizer is not the one that it was trained with.
    """
    on_gpu = device.type == "cuda"
    if on_gpu:
        set_up_gpu()
    model = load_model(run, stage, parts, torch.bfloat16 if on_gpu else torch.float32)
    tokenizer = Tokenizer.load(tokenizer_file(run))
    check_vocabulary(run, stage, model, tokenizer)
    return Engine(model.to(device, model.activation_dtype), tokenizer, parts)  # as every use would round the weights


def config_of(model: GPT) -> dict[str, int]:
    """The model's configuration as a checkpoint's state holds it."""
    return asdict(model.config)

"""The checkpoints that come with the repository: one d4 run, stage by stage, so that any kata can be begun first.

checkpoints/
    MANIFEST.json                      where they come from, and the SHA-256 of every file
    tokenizer.json
    base.safetensors  mid.safetensors  sft.safetensors  rl.safetensors     weights in bfloat16
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from reference.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint, write_atomically
from reference.errors import UserError
from reference.model import GPT, GPTConfig
from reference.parts import Parts
from reference.presets import Preset
from reference.run import Run
from reference.tokenizer import Tokenizer

SHIPPED = Path(__file__).resolve().parent.parent / "checkpoints"
STAGES = ("base", "mid", "sft", "rl")
AGAIN = "get it back with git checkout checkpoints, or make all of them again with nox -s checkpoints"


def ship(run: Run, directory: Path = SHIPPED) -> int:
    """Write the model of every stage of a finished run, in bfloat16, and what it was made with; the bytes written."""
    if missing := [stage for stage in ("tokenizer", *STAGES, "report") if not run.is_complete(stage)]:
        raise UserError(f"The run {run.path} is not finished: its stage {missing[0]} is not complete.")
    contents = {"tokenizer.json": (run.stage_dir("tokenizer") / "tokenizer.json").read_bytes()}
    configs = []
    for stage in STAGES:
        checkpoint = latest_checkpoint(run.stage_dir(stage))
        assert checkpoint is not None, "a complete stage has a checkpoint"
        tensors, state = load_checkpoint(checkpoint)
        contents[f"{stage}.safetensors"] = safetensors.torch.save(
            {name: tensor.to(torch.bfloat16) for name, tensor in tensors["model"].items()}
        )
        configs.append(state["config"])
    manifest = {
        "command": "nox -s checkpoints",
        **{key: run.config[key] for key in ("preset", "seed", "data", "settings", "machine", "versions")},
        "config": configs[-1],
        "stages": {stage: run.config["stages"][stage] for stage in ("tokenizer", *STAGES)},
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
    }
    for name, content in contents.items():
        write_atomically(directory / name, content)
    write_atomically(directory / "MANIFEST.json", (json.dumps(manifest, indent=1) + "\n").encode())
    return sum(map(len, contents.values()))


def manifest(directory: Path = SHIPPED) -> dict[str, Any]:
    """What is known of the shipped run; UserError where there is none."""
    file = directory / "MANIFEST.json"
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{file} is missing or damaged; {AGAIN}.") from error


def shipped_tokenizer(directory: Path = SHIPPED) -> Tokenizer:
    _verified(directory, "tokenizer.json")
    return Tokenizer.load(directory / "tokenizer.json")


def shipped_model(
    stage: str, parts: Parts, activation_dtype: torch.dtype = torch.float32, directory: Path = SHIPPED
) -> GPT:
    """The model as `stage` of the shipped run left it, its weights rounded to bfloat16 and kept in float32.

    Raises:
        UserError: a file is missing, or not the one of the manifest.
    """
    data = _verified(directory, f"{stage}.safetensors")
    model = GPT(GPTConfig(**manifest(directory)["config"]), parts, activation_dtype)
    try:
        weights = {name: tensor.float() for name, tensor in safetensors.torch.load(data).items()}
        model.load_state_dict(weights)
    except (SafetensorError, RuntimeError) as error:
        raise UserError(f"{directory / stage}.safetensors does not fit this version of the model; {AGAIN}.") from error
    return model


def fits(preset: Preset, data: str, directory: Path = SHIPPED) -> bool:
    """Whether a run of this preset and text can go on from the shipped stages."""
    if not (directory / "MANIFEST.json").exists() or data != "primer":
        return False
    settings = manifest(directory)["settings"]
    return all(settings[name] == getattr(preset, name) for name in ("depth", "vocab_size", "sequence_len", "head_dim"))


def install(run: Run, stage: str, directory: Path = SHIPPED) -> None:
    """Make a stage of a run what it is in the shipped run, at no cost."""
    known = manifest(directory)
    if stage == "tokenizer":
        write_atomically(run.stage_dir(stage) / "tokenizer.json", _verified(directory, "tokenizer.json"))
    else:
        model = shipped_model(stage, Parts(), directory=directory)
        state = {"step": 0, "config": known["config"], "positions": [{}], "cost": {}}
        save_checkpoint(run.stage_dir(stage), 0, {"model": model.state_dict()}, state)
    facts = {key: value for key, value in known["stages"][stage].items() if key not in ("calls", "code", "complete")}
    run.mark_complete(stage, **{**facts, "seconds": 0.0, "shipped": True})


def _verified(directory: Path, name: str) -> bytes:
    file = directory / name
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}); {AGAIN}.") from error
    if hashlib.sha256(data).hexdigest() != manifest(directory)["sha256"].get(name):
        raise UserError(f"{file} is not the file that the manifest describes; {AGAIN}.")
    return data

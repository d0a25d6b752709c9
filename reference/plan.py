"""What a run at scale will take, before it takes it: parameters, tokens, FLOPs, memory, hours, dollars."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from reference.compute import compute_device
from reference.errors import UserError
from reference.gpus import GPUS, Gpu
from reference.memory import micro_batches, rows_per_device, rows_that_fit, training_bytes
from reference.model import GPTConfig
from reference.presets import Preset
from reference.sizes import flops_per_token, matrix_parameters, parameters

CHARACTERS_PER_TOKEN = 4.8  # of FineWeb-Edu with a vocabulary of 65,536
CHARACTERS_PER_SHARD, SHARD_BYTES = 250e6, 100e6
ASSUMED_MFU = 0.45  # nanochat's d32 was reported at 0.51; this program is unmeasured on GPUs
WHOLE_OVER_BASE = 1.4  # hours of nanochat's d20 on eight H100, 3.85, over its base training's FLOPs at half the peak


OTHER = Gpu("other", 100e12, 0, 2.00)


@dataclass(frozen=True)
class Plan:
    """What `make_plan` has found; `lines` says it. `yours` are the learner's parts that keep blocks from compiling."""

    preset: Preset
    gpu: Gpu | None
    nproc: int
    device_rows: int
    yours: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        return self.preset.base_steps * self.preset.batch_rows * self.preset.sequence_len

    @property
    def shards(self) -> int:
        """To train on; one more is for validation."""
        return math.ceil(self.tokens * CHARACTERS_PER_TOKEN / CHARACTERS_PER_SHARD)

    @property
    def flops(self) -> float:
        return self.tokens * flops_per_token(self.config)

    @property
    def hours(self) -> float:
        """Of base training, at ASSUMED_MFU."""
        assert self.gpu is not None
        return self.flops / (self.nproc * self.gpu.flops * ASSUMED_MFU) / 3600

    @property
    def config(self) -> GPTConfig:
        return self.preset.model_config(self.preset.vocab_size)

    @property
    def disk(self) -> float:
        """Bytes: the shards, the model after each of four stages, with its optimizer, and one checkpoint more."""
        N, M = parameters(self.config), matrix_parameters(self.config)
        return (self.shards + 1) * SHARD_BYTES + 5 * (4 * N + 4 * M + 8 * (N - M))

    def lines(self) -> list[str]:
        """The plan for a reader."""
        preset, config = self.preset, self.config
        update = preset.batch_rows * preset.sequence_len
        times = micro_batches(preset.batch_rows, self.nproc, self.device_rows)
        needed = training_bytes(config, self.device_rows, self.nproc, self.gpu is not None and not self.yours)
        found = [
            f"model     depth {preset.depth}: {parameters(config):,} parameters, {flops_per_token(config):.3g} FLOPs "
            "per token",
            f"base      {preset.base_steps:,} updates of {update:,} tokens: {self.tokens / 1e9:.3g} billion tokens, "
            f"{self.flops:.3g} FLOPs",
            f"data      {self.shards:,} shards of {SHARD_BYTES / 1e6:.0f} MB to train on and one for validation; with "
            f"checkpoints about {self.disk / 1e9:.0f} GB of disk",
            f"batch     {self.device_rows} rows of {preset.sequence_len:,} tokens on each of {self.nproc} devices, "
            f"{times} times per update",
            f"memory    about {needed / 1e9:.0f} GB on each device (an estimate)",
        ]
        if self.gpu is not None and self.yours:
            found.append(
                f"parts     yours: {', '.join(self.yours)}. With them blocks are not compiled: that takes more memory, "
                "which is counted above, and more time and money, which below are those of compiled blocks"
            )
        if self.gpu is not None:
            dollars = self.nproc * self.gpu.dollars
            found.append(
                f"time      about {self.hours:.1f} hours of base training on {self.nproc} x {self.gpu.name} at an "
                f"assumed {ASSUMED_MFU:.0%} of their peak, and {WHOLE_OVER_BASE * self.hours:.1f} in all without RL"
            )
            found.append(
                f"cost      about {WHOLE_OVER_BASE * self.hours * dollars:,.0f} dollars at {self.gpu.dollars:.2f} per "
                "GPU and hour"
            )
        return found


def make_plan(
    preset: Preset, nproc: int, device: str, gpu: str | None, device_rows: int | None, yours: tuple[str, ...] = ()
) -> Plan:
    """A plan for the GPUs that are here, for `nproc` of a named kind, or for processes on the CPU.

    Args:
        preset: what is to be trained.
        nproc: processes, one per GPU, on all machines.
        device: "auto", "cuda" or "cpu"; not looked at where `gpu` is given.
        gpu: a name of GPUS.
        device_rows: rows at a time; None: as many as fit.
        yours: the parts of compiled.IN_BLOCKS that are the learner's.

    Raises:
        UserError: there is no GPU, or the batch does not divide or fit.
    """
    config, mine = preset.model_config(preset.vocab_size), rows_per_device(preset.batch_rows, nproc)
    if gpu is None and device == "cpu":
        return Plan(preset, None, nproc, device_rows or mine, yours)
    kind = _named(gpu) if gpu is not None else _found(device, preset)
    fitting = rows_that_fit(config, mine, int(kind.memory), nproc, compiled=not yours)
    needed = training_bytes(config, device_rows or fitting, nproc, compiled=not yours)
    if needed > kind.memory:
        raise UserError(
            f"{device_rows} rows at a time need about {needed / 1e9:.0f} GB, and a "
            f"{kind.name} has {kind.memory / 1e9:.0f}; take {fitting}: --device-batch {fitting}."
        )
    plan = Plan(preset, kind, nproc, device_rows or fitting, yours)
    micro_batches(preset.batch_rows, nproc, plan.device_rows)  # refuses what does not divide
    return plan


def check_disk(plan: Plan, folder: Path, free: int | None = None) -> None:
    """UserError unless what is still missing of the data, and the checkpoints, fit on the disk.

    Args:
        plan: what they are for.
        folder: where the data go; need not be there yet.
        free: bytes; None looks.
    """
    there = next(place for place in (folder, *folder.resolve().parents) if place.is_dir())
    free = shutil.disk_usage(there).free if free is None else free
    missing = plan.disk - sum(file.stat().st_size for file in folder.glob("base_data/*.parquet"))
    if free < missing:
        raise UserError(
            f"The data and the checkpoints of this run need {missing / 1e9:.0f} GB more, and the disk of {there} has "
            f"{free / 1e9:.0f} GB free; make room, or name a folder on another disk: DATA=DIR, or NANOKATA_DATA=DIR."
        )


def _named(name: str) -> Gpu:
    for kind in GPUS:
        if kind.name == name:
            return kind
    raise UserError(f"No figures are known for a GPU {name!r}, only for {', '.join(kind.name for kind in GPUS)}.")


def _found(device: str, preset: Preset) -> Gpu:
    if device == "auto" and not torch.cuda.is_available():
        raise UserError(
            f"There is no CUDA GPU here, and without one a {preset.name} would take years. Rent some (deploy/ has "
            "tasks for SkyPilot and Slurm), plan for others with --gpu H100 --nproc 8, try the script with SMOKE=1, or "
            "train the small model with ./noxw -s d4."
        )
    compute_device("cuda")
    here = torch.cuda.get_device_properties(0)
    kind = next((kind for kind in GPUS if kind.name in here.name), OTHER)
    return Gpu(here.name, kind.flops, here.total_memory, kind.dollars)

"""Commands that train at scale, stage by stage: python -m reference tok-train | base-train | mid | sft | rl."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from reference.errors import UserError
from reference.trackers import TRACKERS

RUNS = Path("runs")
SEED = click.IntRange(0, 2**32 - 1)
TAG = click.option("--tag", default=None, metavar="NAME", help="The run; by default the one that changed last.")
DEPTH = click.option("--depth", default=20, show_default=True, type=click.IntRange(1, 128), help="Layers; all follows.")
DATA = click.option(
    "--data",
    default=None,
    metavar="DIR",
    help="Where the data lie; by default $NANOKATA_DATA, or else ~/.cache/nanokata.",
)
SETTINGS = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change one value of the preset, such as base_steps=100; may be repeated.",
)
ALLOW_MISSING = click.option(
    "--allow-missing", is_flag=True, help="Leave out of mid and sft what data sets are not there, from now on."
)
DEVICE = click.option(
    "--device",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "cuda", "cpu"]),
    help="Where to compute; auto takes CUDA where there is any.",
)
DTYPE = click.option(
    "--dtype",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "float32", "bfloat16"]),  # compute.FORMATS, which would import torch here
    help="What a new run computes in; auto decides by the processor. A run keeps it.",
)
DEVICE_BATCH = click.option(
    "--device-batch",
    default=0,
    metavar="ROWS",
    help="Rows that a device takes at a time; 0 or less: as many as fit. Changes memory and speed, not the result.",
)


def training_options(command: Callable) -> Callable:
    """What every training command takes."""
    options = [
        DEVICE,
        DTYPE,
        DEVICE_BATCH,
        click.option(
            "--checkpoint-minutes",
            default=20.0,
            show_default=True,
            metavar="M",
            help="Minutes between checkpoints; 0 or less: only one, at the end or on Ctrl-C.",
        ),
        click.option(
            "--track",
            default="off",
            show_default=True,
            type=click.Choice(TRACKERS),
            help="Send what is logged there too.",
        ),
        click.option("--again", is_flag=True, help="Do this stage, and all after it, from its start."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def train_one(
    parts: Any, stage: str, order: Any, device: str, device_batch: int, checkpoint_minutes: float, track: str
) -> None:
    """Train one stage in however many processes torchrun has started."""
    from rich.console import Console

    from reference.distributed import joined_world
    from reference.parts import Parts
    from reference.pipeline import make_run
    from reference.stages.training import Interrupted
    from reference.torchrun import leave, tell

    seconds = checkpoint_minutes * 60 if checkpoint_minutes > 0 else float("inf")
    try:
        with joined_world(device) as world:
            console = Console(highlight=False, quiet=not world.is_main)
            rows = device_batch if device_batch > 0 else None
            make_run(order, parts or Parts(), console, device, seconds, world, rows, track)
    except Interrupted as stop:
        tell(str(stop))
        leave(130)


@click.command(name="tok-train")
@DEPTH
@click.option(
    "--tag", default=None, metavar="NAME", help="The run: its folder is runs/NAME; by default d and the depth."
)
@DATA
@click.option("--seed", default=0, show_default=True, type=SEED, metavar="N", help="Everything random follows from it.")
@ALLOW_MISSING
@SETTINGS
@training_options
@click.pass_obj
def tok_train(
    parts: Any,
    depth: int,
    tag: str | None,
    data: str | None,
    seed: int,
    allow_missing: bool,
    settings: tuple[str, ...],
    again: bool,
    dtype: str,
    **how: Any,
) -> None:
    """Begin a run of any depth on real data: train its tokenizer."""
    from reference.data.hub import data_root
    from reference.pipeline import Order
    from reference.presets import at_scale, override

    preset = override(at_scale(depth), pairs(settings))
    root = str(Path(data or data_root()).resolve())
    start = "tokenizer" if again else None
    order = Order(RUNS, tag or f"d{depth}", preset, seed, root, start, "tokenizer", allow_missing, dtype)
    train_one(parts, "tokenizer", order, **how)


def _stage(name: str, stage: str, what: str) -> click.Command:
    def train(parts: Any, tag: str | None, again: bool, dtype: str, allow_missing: bool = False, **how: Any) -> None:
        train_one(parts, stage, begun_order(tag, stage, again, allow_missing, dtype), **how)

    train.__doc__ = what
    command = training_options(click.pass_obj(train))
    return click.command(name=name)(TAG(ALLOW_MISSING(command) if stage in ("mid", "sft") else command))


def begun_order(
    tag: str | None, stage: str, again: bool = False, allow_missing: bool = False, dtype: str = "auto"
) -> Any:
    """The order to go on with a run of real data at one stage, as it was begun."""
    from reference.pipeline import Order
    from reference.presets import read_preset
    from reference.run import Run

    run = Run.latest(RUNS) if tag is None else Run.open(RUNS, tag)
    config = run.config
    preset = read_preset(config["settings"])
    if preset.curriculum != "hub":
        raise UserError(f"The run {run.path} is one of ./noxw -s d4; begin one on real data with tok-train.")
    start = stage if again else None
    return Order(RUNS, run.tag, preset, config["seed"], config["data"], start, stage, allow_missing, dtype)


def pairs(settings: tuple[str, ...]) -> dict[str, str]:
    """NAME=VALUE, ... as a dictionary."""
    for setting in settings:
        if "=" not in setting:
            raise UserError(f"--set takes NAME=VALUE, such as base_steps=100, not {setting!r}.")
    return dict(setting.split("=", 1) for setting in settings)


@click.command()
@DEPTH
@SETTINGS
@click.option("--nproc", default=0, metavar="N", help="Processes, one per GPU; 0 or less: the GPUs of this machine.")
@click.option("--gpu", default=None, metavar="NAME", help="Plan for such GPUs, as H100, and not for those found here.")
@click.option("--shards", is_flag=True, help="Print the number of training shards alone, for a script.")
@DEVICE
@DEVICE_BATCH
@click.pass_obj
def plan(
    parts: Any,
    depth: int,
    settings: tuple[str, ...],
    nproc: int,
    gpu: str | None,
    shards: bool,
    device: str,
    device_batch: int,
) -> None:
    """Say what a run will take of memory, hours and dollars; refuse what cannot fit."""
    import torch

    from reference.compiled import IN_BLOCKS
    from reference.data.hub import data_root
    from reference.parts import Parts
    from reference.parts.provenance import provenance
    from reference.plan import check_disk, make_plan
    from reference.presets import at_scale, override

    preset = override(at_scale(depth), pairs(settings))
    rows = device_batch if device_batch > 0 else None
    processes = nproc if nproc > 0 else max(1, torch.cuda.device_count())
    code = provenance(parts or Parts())
    yours = tuple(part for part in IN_BLOCKS if code[part]["whose"] == "learner")
    made = make_plan(preset, processes, device, gpu, rows, yours)
    click.echo(made.shards if shards else "\n".join(made.lines()))
    if gpu is None and device != "cpu":  # it is to be done here
        check_disk(made, data_root())


@click.command(name="generate-data")
@click.option("--root", required=True, type=click.Path(path_type=Path, file_okay=False), help="The folder to fill.")
def generate_data(root: Path) -> None:
    """Write a small stand-in for all data sets, to try a large run without a network."""
    from reference.data.generated import write_generated

    write_generated(root)
    click.echo(root)


STAGE_COMMANDS = [
    _stage("base-train", "base", "Train the base model of a run on plain text."),
    _stage("mid", "mid", "Go on with conversations: the chat format, exams, the calculator, who it is."),
    _stage("sft", "sft", "Go on with the best conversations, learning what the assistant says."),
    _stage("rl", "rl", "Go on with word problems by trial and reward."),
]

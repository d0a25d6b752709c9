"""The command line: python -m reference d4 | chat | report | export; cli_data has more commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console

from reference import cli_data, cli_evaluate
from reference.cli_train import DEVICE, DTYPE, STAGE_COMMANDS, generate_data, pairs, plan, tok_train
from reference.errors import UserError
from reference.torchrun import leave, tell

RUNS = Path("runs")


class _Group(click.Group):
    """A group whose errors are one sentence and exit status 2, and whose Ctrl-C is status 130."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["standalone_mode"] = False
        try:
            return super().main(*args, **kwargs)
        except UserError as error:
            _leave(str(error), 2, is_cause=not error.is_echo)
        except click.ClickException as error:
            command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "reference"
            _leave(f"{error.format_message().rstrip('.')}; see {command} --help.", 2)
        except OSError as error:
            _leave(f"The system says {error.strerror!r} of {error.filename!r}; mend that, then run this again.", 2)
        except (click.Abort, KeyboardInterrupt):
            _leave("Stopped.", 130)


def _leave(message: str, status: int, is_cause: bool = True) -> NoReturn:
    tell(message, is_cause)
    leave(status)


def console() -> Console:
    return Console(highlight=False)


@click.group(cls=_Group, invoke_without_command=True, context_settings={"max_content_width": 100})
@click.pass_context
def main(context: click.Context) -> None:
    """Train a small language model, talk to it, report on it, export it."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


SEED = click.IntRange(0, 2**32 - 1)  # a stage multiplies it by a million and more, and a generator takes 64 bits
TAG = click.option("--tag", default=None, metavar="NAME", help="The run; by default the one that changed last.")
STAGE = click.option(
    "--stage",
    default=None,
    type=click.Choice(["base", "mid", "sft", "rl"]),
    help="The stage whose model is taken; by default the last complete one.",
)


@main.command()
@click.option("--tag", default="d4", show_default=True, metavar="NAME", help="The run: its folder is runs/NAME.")
@click.option("--seed", default=0, show_default=True, type=SEED, metavar="N", help="Everything random follows from it.")
@click.option(
    "--data",
    default="primer",
    show_default=True,
    metavar="SOURCE",
    help="Base text: primer, python-docs, or a folder or file of .parquet, .txt or .md.",
)
@click.option(
    "--from",
    "start",
    default=None,
    type=click.Choice(["tokenizer", "base", "mid", "sft", "rl"]),
    help="Do this stage and all after it again.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change one value of the preset, such as base_steps=100 or rl.steps=20; may be repeated.",
)
@DTYPE
@click.pass_obj
def d4(parts: Any, tag: str, seed: int, data: str, start: str | None, settings: tuple[str, ...], dtype: str) -> None:
    """Train a depth-4 model: tokenizer, base, mid, sft, rl, report. The same command again goes on where it stopped."""
    from reference.parts import Parts
    from reference.pipeline import Order, make_run
    from reference.presets import get_preset, override
    from reference.stages.training import Interrupted

    if not data:
        raise UserError("--data is empty; leave it out for the primer, or name a folder of text.")
    preset = override(get_preset("d4"), pairs(settings))
    try:
        make_run(Order(RUNS, tag, preset, seed, data, start, dtype=dtype), parts or Parts(), console())
    except Interrupted as stop:
        _leave(str(stop), 130)
    click.echo(f"Talk to it: ./noxw -s chat{'' if tag == 'd4' else f' -- --tag {tag}'}")


def _run(tag: str | None) -> Any:
    from reference.run import Run

    return Run.latest(RUNS) if tag is None else Run.open(RUNS, tag)


@main.command()
@TAG
@STAGE
@click.option("-p", "--prompt", default=None, metavar="TEXT", help="Answer this, and end.")
@click.option(
    "-t",
    "--temperature",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 2),
    metavar="0..2",
    help="At 0 the likeliest token is taken; the higher, the more is left to chance.",
)
@click.option(
    "-k",
    "--top-k",
    default=50,
    show_default=True,
    metavar="K",
    help="Above temperature 0, draw among the K likeliest tokens; 0 or less: among all.",
)
@click.option(
    "--max-tokens",
    default=None,
    type=int,
    metavar="N",
    help="No answer is longer than N tokens; by default 96, at scale 512. 0 or less: than what fits.",
)
@click.option("--seed", default=0, show_default=True, type=SEED, metavar="N", help="Of the draws above temperature 0.")
@DEVICE
@click.pass_obj
def chat(
    parts: Any,
    tag: str | None,
    stage: str | None,
    prompt: str | None,
    temperature: float,
    top_k: int,
    max_tokens: int | None,
    seed: int,
    device: str,
) -> None:
    """Talk to a model; its calls of the calculator are shown."""
    from reference.chat import Conversation, show, talk
    from reference.compute import compute_device
    from reference.engine import Sampling
    from reference.parts import Parts
    from reference.stages.session import last_stage, load_engine

    if prompt is not None and not prompt.strip():
        raise UserError("The prompt is empty; say something after -p.")
    run = _run(tag)
    stage = stage or last_stage(run)
    engine = load_engine(run, stage, parts or Parts(), compute_device(device))
    if max_tokens is None:
        max_tokens = max(96, run.config.get("settings", {}).get("answer_tokens", 0))
    longest = max_tokens if max_tokens > 0 else engine.model.config.sequence_len
    sampling = Sampling(longest, temperature, top_k if top_k > 0 else None, seed)
    conversation = Conversation(engine, sampling)
    if prompt is not None:
        show(console(), conversation.answer(prompt))
    else:
        console().print(f"{run.path}, as the stage {stage} left it.", style="dim")
        talk(console(), conversation)


@main.command()
@TAG
def report(tag: str | None) -> None:
    """Write report.md, report.json and the plots of a run again."""
    from reference.report import write_report

    run = _run(tag)
    write_report(run)
    click.echo(run.path / "report.md")


@main.command()
@TAG
@STAGE
@click.option(
    "--out",
    default=None,
    type=click.Path(path_type=Path),
    help="The folder to write; by default export/ in the run.",
)
def export(tag: str | None, stage: str | None, out: Path | None) -> None:
    """Write a model as a folder that the transformers library loads."""
    from reference.export import export as write_export

    run = _run(tag)
    click.echo(write_export(run, stage, out or run.path / "export"))


for command in (plan, generate_data, tok_train, *STAGE_COMMANDS, *cli_data.COMMANDS, *cli_evaluate.COMMANDS):
    main.add_command(command)

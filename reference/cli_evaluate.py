"""Commands that evaluate: python -m reference tok-eval | base-loss | base-eval | chat-eval."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from reference.cli_data import ROOT
from reference.cli_train import DEVICE, RUNS, TAG
from reference.errors import UserError
from reference.progress import say

if TYPE_CHECKING:
    from reference.data.documents import DocumentSource
    from reference.examination import Examination
    from reference.run import Run

STAGES = ("base", "mid", "sft", "rl")


def stage_option(default: str | None) -> Any:
    shown = f"by default {default}" if default else "by default the last complete one"
    return click.option(
        "--stage", default=default, type=click.Choice(STAGES), help=f"The stage whose model is taken; {shown}."
    )


@contextmanager
def examined(parts: Any, tag: str | None, stage: str | None, device: str) -> Iterator[tuple[Run, str, Examination]]:
    """The run, the stage and its model, ready to be evaluated by all processes that torchrun has started."""
    import torch

    from reference.compute import compute_device
    from reference.distributed import joined_world
    from reference.examination import Examination
    from reference.parts import Parts
    from reference.run import Run
    from reference.stages.session import last_stage, load_engine

    with joined_world(device) as world:
        run = Run.latest(RUNS) if tag is None else Run.open(RUNS, tag)
        stage = stage or last_stage(run)
        place = compute_device(device if world.size == 1 else world.device)
        engine = load_engine(run, stage, parts or Parts(), place)
        console = Console(highlight=False, quiet=not world.is_main)
        say(console, f"{run.path}, as the stage {stage} left it")
        try:
            yield run, stage, Examination(engine, console, world)
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"The memory of {place} is full; end what else runs there, which nvidia-smi shows, read fewer rows at "
                "once where there is --rows, or use a GPU with more."
            ) from error


def keep(run: Run, examination: Examination, stage: str, **results: Any) -> None:
    """Keep results in the run; one process of several does."""
    from reference.evaluations import note

    if examination.world.is_main:
        note(run, stage, **results)


def source_of(run: Run, root: Path | None) -> DocumentSource:
    """The text that a run's base training read, or that in another root."""
    from reference.data.documents import open_source
    from reference.data.primer.source import PrimerDocuments

    if root is not None:
        return open_source(str(root / "base_data"))
    data = run.config["data"]
    if data == "primer":
        return PrimerDocuments(run.config["seed"])
    at_scale = run.config["settings"].get("curriculum") == "hub"
    return open_source(str(Path(data) / "base_data") if at_scale else data)


def root_of(run: Run, root: Path | None) -> Path:
    """Where a run's data sets are: those it was begun with, unless others are named."""
    from reference.data.hub import data_root

    at_scale = run.config["settings"].get("curriculum") == "hub"
    return root or (Path(run.config["data"]) if at_scale else data_root())


@click.command(name="tok-eval")
@TAG
@ROOT
def tok_eval(tag: str | None, root: Path | None) -> None:
    """Bytes per token on several kinds of text, beside GPT-2's and GPT-4's tokenizers where these can be had."""
    from itertools import islice

    from rich.table import Table

    from reference.evaluations import note
    from reference.run import Run
    from reference.stages.session import tokenizer_file
    from reference.tokenizer import Tokenizer
    from reference.tokenizer_evaluation import compression, peers, samples

    run = Run.latest(RUNS) if tag is None else Run.open(RUNS, tag)
    source, console = source_of(run, root), Console(highlight=False)
    texts = samples() | {
        "train": "\n".join(islice(source.stream("train"), 100)),
        "val": "\n".join(islice(source.validation(), 100)),
    }
    others, absent = peers()
    found = compression({"ours": Tokenizer.load(tokenizer_file(run)).encode} | others, texts)
    table = Table("bytes per token", "bytes", "ours", *others, box=None)
    for title, row in found.items():
        table.add_row(title, f"{len(texts[title].encode()):,}", *(f"{value:.2f}" for value in row.values()))
    console.print(table)
    for sentence in absent:
        say(console, sentence)
    note(run, "tokenizer", bytes_per_token=found)


@click.command(name="base-loss")
@TAG
@stage_option("base")
@click.option("--tokens", default=20 * 524_288, show_default=True, metavar="N", help="Of each split; 0 or less: off.")
@click.option(
    "--rows", default=8, show_default=True, type=click.IntRange(1), metavar="N", help="Rows read at once by a device."
)
@click.option("--samples", default=16, show_default=True, metavar="N", help="Tokens of each sample; 0 or less: off.")
@ROOT
@DEVICE
@click.pass_obj
def base_loss(
    parts: Any, tag: str | None, stage: str, tokens: int, rows: int, samples: int, root: Path | None, device: str
) -> None:
    """Bits per byte on training and validation text, and how the model continues a few sentences."""
    with examined(parts, tag, stage, device) as (run, stage, examination):
        if tokens > 0:
            bpb = {}
            for split in ("train", "val"):
                bpb[split] = examination.bits_per_byte(source_of(run, root), split, tokens, rows)
                say(examination.console, f"bits per byte, {split}: {bpb[split]:.4f}")
            keep(run, examination, stage, bits_per_byte=bpb)
        if samples > 0:
            said = examination.continuations(samples)
            for prompt, text in said.items():
                say(examination.console, f"{prompt!r} -> {text!r}")
            keep(run, examination, stage, samples=said)


@click.command(name="base-eval")
@TAG
@stage_option("base")
@click.option("--max-per-task", default=0, metavar="N", help="The first N questions of each task; 0 or less: all.")
@click.option("--only", multiple=True, metavar="LABEL", help="This task alone; may be repeated. Gives no CORE.")
@click.option(
    "--transformers",
    "other",
    default=None,
    metavar="NAME|DIR",
    help="Evaluate this model of the transformers library, such as gpt2, instead of a run's.",
)
@ROOT
@DEVICE
@click.pass_obj
def base_eval(
    parts: Any,
    tag: str | None,
    stage: str,
    max_per_task: int,
    only: tuple[str, ...],
    other: str | None,
    root: Path | None,
    device: str,
) -> None:
    """CORE: 22 tasks that ask a model to continue text; beside it GPT-2's published figures."""
    from reference.checkpoint import latest_checkpoint
    from reference.core.bundle import read_bundle
    from reference.core.evaluation import accuracies_of, chosen, core, subject_of, table, write_results
    from reference.data.hub import data_root

    if other is not None:
        from reference.core.transformers_model import load_subject

        bundle, console = (root or data_root()) / "eval_bundle", Console(highlight=False)
        tasks = read_bundle(bundle)
        accuracies = accuracies_of(load_subject(other, device), chosen(tasks, only), max_per_task, console)
        console.print(table(tasks, accuracies, bundle))
        return
    with examined(parts, tag, stage, device) as (run, stage, examination):
        bundle = root_of(run, root) / "eval_bundle"
        tasks = read_bundle(bundle)
        subject, console, world = subject_of(examination.engine), examination.console, examination.world
        accuracies = accuracies_of(subject, chosen(tasks, only), max_per_task, console, world)
        console.print(table(tasks, accuracies, bundle))
        if world.is_main:
            checkpoint = latest_checkpoint(run.stage_dir(stage))
            step = checkpoint.name.removeprefix("step_") if checkpoint else ""
            file = run.path / "base_eval" / f"{stage}_model_{step}.csv"
            write_results(file, tasks, accuracies)
            say(console, str(file))
        found = {"core": core(tasks, accuracies), "core_tasks": accuracies, "core_questions": max(0, max_per_task)}
        keep(run, examination, stage, **found)


@click.command(name="chat-eval")
@TAG
@stage_option(None)
@click.option("--only", multiple=True, metavar="EXAM", help="This exam alone; may be repeated. Gives no ChatCORE.")
@click.option("--max-per-task", default=0, metavar="N", help="The first N questions of each exam; 0 or less: all.")
@click.option(
    "--max-tokens", default=512, show_default=True, metavar="N", help="The longest answer; 0 or less: what fits."
)
@click.option("--samples", default=0, metavar="K", help="Also pass@1 to pass@K on GSM8K; 0 or less: off.")
@click.option("--sampled-problems", default=400, show_default=True, metavar="N", help="For pass@K; 0 or less: all.")
@click.option("--allow-missing", is_flag=True, help="Leave out exams whose data set is not there.")
@ROOT
@DEVICE
@click.pass_obj
def chat_eval(
    parts: Any,
    tag: str | None,
    stage: str | None,
    only: tuple[str, ...],
    max_per_task: int,
    max_tokens: int,
    samples: int,
    sampled_problems: int,
    allow_missing: bool,
    root: Path | None,
    device: str,
) -> None:
    """Six exams of a chat model, ChatCORE, and pass@k: ARC, MMLU, GSM8K, HumanEval, SpellingBee."""
    from reference.data.hub import Hub
    from reference.engine import Sampling
    from reference.sandbox.passing import passing
    from reference.tasks.exams import CHANCE, FIVE, chat_core, exams

    with examined(parts, tag, stage, device) as (run, stage, examination), passing() as passes:
        console = examination.console
        tasks, missing = exams(Hub(root_of(run, root)), passes, only or CHANCE, allow_missing)
        at_most = max_per_task if max_per_task > 0 else None
        longest = max_tokens if max_tokens > 0 else examination.engine.model.config.sequence_len
        results = examination.exams([task[:at_most] for task in tasks], longest)
        accuracies = {name: right / total for name, (right, total) in results.items()}
        scores = {"chat_core": chat_core(accuracies), "chat_core_five": chat_core(accuracies, FIVE)}
        for name in missing:
            say(console, f"{name:<34} is left out: its data set is not there")
        if scores["chat_core"] is not None:
            say(console, f"ChatCORE {scores['chat_core']:.4f}, of six exams")
        if scores["chat_core_five"] is not None:
            say(console, f"ChatCORE {scores['chat_core_five']:.4f} without SpellingBee, as nanochat's is published")
        counts = {name: {"correct": right, "total": total} for name, (right, total) in results.items()}
        keep(run, examination, stage, exams=counts, **scores)
        if samples > 0:
            tasks, _ = exams(Hub(root_of(run, root)), passes, ["gsm8k"])
            sampling = Sampling(longest, temperature=1.0, top_k=50, seed=run.config["seed"] + examination.world.rank)
            problems = sampled_problems if sampled_problems > 0 else None
            found = examination.pass_at_k(tasks[0][:problems], sampling, samples)
            for k in found["unbiased"]:
                both = f"{found['unbiased'][k]:.4f} (unbiased), {found['first_k'][k]:.4f} (any of the first {k})"
                say(console, f"gsm8k pass@{k}: {both}")
            keep(run, examination, stage, pass_at_k=found)


COMMANDS = (tok_eval, base_loss, base_eval, chat_eval)

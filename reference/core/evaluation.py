"""All tasks of the bundle, and the table of their results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from reference.checkpoint import write_atomically
from reference.core.bundle import CoreTask
from reference.core.prompts import ordered_items, prompts, shots_of
from reference.core.scorers import BATCH_TOKENS, Reader, is_right, read, reader_of
from reference.core.spans import spans
from reference.distributed import ALONE, World
from reference.engine import Engine
from reference.errors import UserError
from reference.progress import say_accuracy

QUESTIONS_AT_ONCE = 128  # whose texts are made before any is read


@dataclass(frozen=True)
class Subject:
    """The model that is evaluated.

    Attributes:
        reader: reads tokens.
        encode: makes them of a text, without special ones.
        bos: the token before every text.
        longest: so many tokens it can read; None means any number.
        device: where it computes.
        batch_tokens: that it reads at once.
    """

    reader: Reader
    encode: Callable[[str], list[int]]
    bos: int
    longest: int | None = None
    device: torch.device | str = "cpu"
    batch_tokens: int = BATCH_TOKENS


def answers(subject: Subject, task: CoreTask, at_most: int = 0, rank: int = 0, world_size: int = 1) -> list[bool]:
    """Whether each question is answered rightly: questions rank, rank + world_size, ... of the first `at_most`."""
    items = ordered_items(task, at_most)
    asked = min(at_most, len(items)) if at_most > 0 else len(items)
    numbers = range(rank, asked, world_size)
    right = []
    for start in range(0, len(numbers), QUESTIONS_AT_ONCE):
        group = numbers[start : start + QUESTIONS_AT_ONCE]
        questions = [
            spans(
                task.kind,
                prompts(task.kind, items[i], shots_of(items, i, task.shots), task.delimiter),
                subject.encode,
                subject.bos,
            )
            for i in group
        ]
        flat = [span.cropped(subject.longest) for question in questions for span in question]
        readings = iter(read(subject.reader, flat, subject.bos, subject.device, subject.batch_tokens))
        for i, question in zip(group, questions, strict=True):
            right.append(is_right(task.kind, [next(readings) for _ in question], items[i].get("gold", 0)))
    return right


def subject_of(engine: Engine) -> Subject:
    """A model of ours; its rotary tables grow with the text, so that nothing is cut off."""
    model, tokenizer = engine.model, engine.tokenizer
    return Subject(reader_of(model), tokenizer.encode, tokenizer.special["bos"], device=model.device)


def chosen(tasks: Sequence[CoreTask], labels: Sequence[str]) -> list[CoreTask]:
    """The tasks of these labels, or all if there are none."""
    if unknown := sorted(set(labels) - {task.label for task in tasks}):
        raise UserError(f"There is no task {unknown[0]!r}; there are {', '.join(task.label for task in tasks)}.")
    return [task for task in tasks if not labels or task.label in labels]


def accuracies_of(
    subject: Subject, tasks: Iterable[CoreTask], at_most: int, console: Console, world: World = ALONE
) -> dict[str, float]:
    """The accuracy of every task on its first `at_most` questions (0 and less mean all), said as they come."""
    accuracies = {}
    for task in tasks:
        begun = time.monotonic()
        right = answers(subject, task, at_most, world.rank, world.size)
        correct, total = (round(number) for number in world.sum(sum(right), len(right)))
        accuracies[task.label] = correct / total
        say_accuracy(console, task.label, correct, total, begun)
    return accuracies


def core(tasks: Sequence[CoreTask], accuracies: dict[str, float]) -> float | None:
    """The mean of the centered accuracies; None unless every task has one."""
    if any(task.label not in accuracies for task in tasks):
        return None
    return sum(task.centered(accuracies[task.label]) for task in tasks) / len(tasks)


def write_results(file: Path, tasks: Sequence[CoreTask], accuracies: dict[str, float]) -> None:
    """The table as CSV in columns that line up, its last line the CORE."""
    lines = [_line("Task", "Accuracy", "Centered")]
    for task in tasks:
        if task.label in accuracies:
            accuracy = accuracies[task.label]
            lines.append(_line(task.label, f"{accuracy:.6f}", f"{task.centered(accuracy):.6f}"))
    if (mean := core(tasks, accuracies)) is not None:
        lines.append(_line("CORE", "", f"{mean:.6f}"))
    write_atomically(file, "".join(lines).encode())


def read_results(file: Path) -> dict[str, tuple[float | None, float]]:
    """Accuracy and centered accuracy by task, and (None, CORE) by "CORE"."""
    results: dict[str, tuple[float | None, float]] = {}
    try:
        for line in file.read_text(encoding="utf-8").splitlines()[1:]:
            label, accuracy, centered = (cell.strip() for cell in line.split(","))
            results[label] = (float(accuracy) if accuracy else None, float(centered))
    except OSError as error:
        raise UserError(f"Cannot read the results {file} ({error.strerror}).") from error
    except ValueError as error:
        raise UserError(f"{file} is no table of results: task, accuracy, centered.") from error
    return results


def table(tasks: Sequence[CoreTask], accuracies: dict[str, float], bundle: Path) -> Table:
    """Ours beside the published figures of the smallest and the largest GPT-2, if they lie in the bundle: centered."""
    files = {size: bundle / f"openai-community-{size}.csv" for size in ("gpt2", "gpt2-xl")}
    published = {size: read_results(file) for size, file in files.items() if file.exists()}
    shown = Table("task", "accuracy", "centered", *published, box=None)
    for task in tasks:
        if (accuracy := accuracies.get(task.label)) is None:
            continue
        theirs = [f"{results[task.label][1]:.4f}" for results in published.values()]
        shown.add_row(task.label, f"{accuracy:.4f}", f"{task.centered(accuracy):.4f}", *theirs)
    if (mean := core(tasks, accuracies)) is not None:
        shown.add_row("CORE", "", f"{mean:.4f}", *(f"{results['CORE'][1]:.4f}" for results in published.values()))
    return shown


def _line(label: str, accuracy: str, centered: str) -> str:
    return f"{label:<35}, {accuracy:<10}, {centered:<10}\n"

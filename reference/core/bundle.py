"""The evaluation bundle: core.yaml, which lists the tasks, their examples, and what guessing earns in each.

eval_bundle/core.yaml
            eval_data/world_knowledge/arc_easy.jsonl ...
            eval_meta_data.csv
"""

from __future__ import annotations

import csv
import json
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reference.checkpoint import user_error_unless_written
from reference.data.download import Downloader
from reference.errors import UserError

URL = "https://karpathy-public.s3.us-west-2.amazonaws.com/eval_bundle.zip"
KINDS = {
    "multiple_choice": {"query", "choices", "gold"},
    "schema": {"context_options", "continuation", "gold"},
    "language_modeling": {"context", "continuation"},
}
Item = dict[str, Any]


@dataclass(frozen=True)
class CoreTask:
    """One task.

    Attributes:
        label: its name.
        kind: a key of KINDS.
        file: of its examples, one a line.
        shots: solved examples that stand before each question.
        delimiter: between a question and its answer.
        baseline: the accuracy of guessing, 0 .. 1.
    """

    label: str
    kind: str
    file: Path
    shots: int
    delimiter: str
    baseline: float

    def items(self) -> list[Item]:
        """The examples in the file's order; UserError when the file is missing or damaged."""
        if not self.file.exists():
            raise UserError(
                f"The task {self.label} has no {self.file}; fetch the bundle: python -m reference data --bundle."
            )
        items = []
        for number, line in enumerate(self.file.read_text(encoding="utf-8").split("\n"), start=1):
            if line.strip():
                try:
                    items.append(json.loads(line))
                    if missing := KINDS[self.kind] - items[-1].keys():
                        raise ValueError(f"no {', '.join(sorted(missing))}")
                except (ValueError, AttributeError) as error:
                    raise UserError(
                        f"Line {number} of {self.file} is damaged ({error}); fetch the bundle again."
                    ) from error
        if len(items) <= self.shots:
            raise UserError(
                f"{self.file} holds {len(items)} examples, too few for {self.shots} shots; fetch the bundle again."
            )
        return items

    def centered(self, accuracy: float) -> float:
        """0 for guessing, 1 for all right."""
        return (accuracy - self.baseline) / (1 - self.baseline)


def read_bundle(folder: Path) -> list[CoreTask]:
    """The tasks of a bundle in the order of its core.yaml; UserError when it is not there or damaged."""
    config, meta = folder / "core.yaml", folder / "eval_meta_data.csv"
    try:
        listed = yaml.safe_load(config.read_text(encoding="utf-8"))["icl_tasks"]
        with meta.open(encoding="utf-8", newline="") as file:
            chance = {row["Eval Task"]: float(row["Random baseline"]) / 100 for row in csv.DictReader(file)}
        tasks = [
            CoreTask(
                task["label"],
                task["icl_task_type"],
                folder / "eval_data" / task["dataset_uri"],
                task["num_fewshot"][0],
                task.get("continuation_delimiter", " "),
                chance[task["label"]],
            )
            for task in listed
        ]
        if not tasks or any(task.kind not in KINDS for task in tasks):
            raise ValueError("a task of a kind that is not known")
    except OSError as error:
        raise UserError(
            f"There is no evaluation bundle in {folder}; fetch it: python -m reference data --bundle."
        ) from error
    except (yaml.YAMLError, KeyError, TypeError, IndexError, ValueError) as error:
        raise UserError(
            f"The evaluation bundle in {folder} is damaged; fetch it again: python -m reference data --bundle."
        ) from error
    return tasks


def fetch_bundle(folder: Path, url: str = URL, downloader: Downloader | None = None) -> None:
    """Download and unpack the bundle (162 MB) into `folder`, whole or not at all; do nothing if it is there."""
    if folder.exists():
        return
    archive, unpacked = folder.with_name("eval_bundle.zip"), folder.with_name(f".{folder.name}.tmp")
    (downloader or Downloader()).fetch(url, archive, _check_archive)
    with user_error_unless_written(folder):
        shutil.rmtree(unpacked, ignore_errors=True)
        with zipfile.ZipFile(archive) as file:
            file.extractall(unpacked)  # keeps every name within the folder
        archive.unlink()
        if config := next(unpacked.rglob("core.yaml"), None):
            config.parent.replace(folder)
        shutil.rmtree(unpacked, ignore_errors=True)
    if config is None:
        raise UserError(f"{url} holds no core.yaml; get the bundle elsewhere and unpack it into {folder}.")


def _check_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
    except zipfile.BadZipFile as error:
        raise ValueError("what came is not a zip archive") from error
    if damaged:
        raise ValueError(f"its member {damaged} is damaged")

"""A run: the folder runs/<tag> in which one model grows from raw text to a chat model.

run.json        what was asked for (preset, seed, data), whose code each part is, and the facts of each stage
metrics.jsonl   one line per logged step: {"stage": "base", "step": 10, "loss": 2.3, ...}
tokenizer/ base/ mid/ sft/ rl/    what each stage made, see checkpoint.py

run.json is written whole or not at all; metrics.jsonl grows by lines, and a crash can tear only the last one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from reference.checkpoint import user_error_unless_written, write_atomically
from reference.errors import UserError
from reference.lock import try_lock

FORMAT = 1
STAGES = ("tokenizer", "base", "mid", "sft", "rl", "report")
TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Run:
    """One run directory. `config` is the content of run.json; only the methods change it.

    Of several processes that work on one run together one writes; to the others a change is one of their own copy of
    `config`, and what they log is dropped.
    """

    def __init__(self, path: Path, writes: bool = True) -> None:
        """Read an existing run; UserError when its run.json is missing, damaged or of another format."""
        self.path, self.writes = path, writes
        self.config: dict[str, Any] = _read_config(path)

    @classmethod
    def create(cls, root: Path, tag: str, config: dict[str, Any]) -> Run:
        """Make runs/<tag> with a run.json that holds `config`; UserError when something is there already."""
        path = _directory(root, tag)
        with user_error_unless_written(path):
            path.mkdir(parents=True, exist_ok=True)
            there = [child.name for child in path.iterdir() if not child.name.startswith(".")]
        if "run.json" in there:
            raise UserError(f"The run {path} exists already; continue it, or begin another with --tag NEW.")
        if there:
            raise UserError(
                f"The folder {path} is not empty and has no run.json, so it is no run; "
                "move it away, or begin another run with --tag NEW."
            )
        content = {"format": FORMAT, "tag": tag, **config}
        content.setdefault("stages", {})
        write_atomically(path / "run.json", _json(content))
        return cls(path)

    @classmethod
    def open(cls, root: Path, tag: str, writes: bool = True) -> Run:
        """The run runs/<tag>; UserError when there is none."""
        path = _directory(root, tag)
        if not path.is_dir():
            there = ", ".join(sorted(file.parent.name for file in root.glob("*/run.json"))) or "none"
            raise UserError(f"There is no run {tag!r} in {root} (there are: {there}); name one of these with --tag.")
        return cls(path, writes)

    @classmethod
    def latest(cls, root: Path) -> Run:
        """The run whose run.json changed last; UserError when there is none."""
        files = sorted(root.glob("*/run.json"), key=lambda file: (file.stat().st_mtime_ns, file.parent.name))
        if not files:
            raise UserError(f"There is no run in {root} yet; make one with ./noxw -s d4.")
        return cls(files[-1].parent)

    @property
    def tag(self) -> str:
        return self.path.name

    def reload(self) -> None:
        """Read run.json again, which another process may have changed."""
        self.config = _read_config(self.path)

    def update(self, **changes: Any) -> None:
        """Merge `changes` into run.json: dicts key by key at every depth; anything else is replaced."""
        self._write(_merge(self.config, changes))

    def stage_dir(self, stage: str) -> Path:
        """Where `stage` keeps what it makes; the folder exists once something is saved in it."""
        return self.path / _known(stage)

    def is_complete(self, stage: str) -> bool:
        """Whether `stage` finished and what it made is still there: deleting that is a way to redo it."""
        made = self.path.glob("report.json" if _known(stage) == "report" else f"{stage}/[!.]*")
        return any(made) and bool(self.config["stages"].get(stage, {}).get("complete"))

    def mark_complete(self, stage: str, **facts: Any) -> None:
        """Note in run.json that `stage` is complete, together with what is to be remembered of it."""
        self.update(stages={_known(stage): {**facts, "complete": True}})

    def forget(self, stages: Iterable[str]) -> None:
        """Make `stages` as if they had never run, last one first: a kill leaves the earlier ones whole."""
        for stage in sorted(map(_known, stages), key=STAGES.index, reverse=True) if self.writes else ():
            removed = self.path / f".{stage}.tmp"
            shutil.rmtree(removed, ignore_errors=True)
            with user_error_unless_written(self.path / stage), suppress(FileNotFoundError):
                (self.path / stage).rename(removed)  # in one stroke, so that no half of a checkpoint is left
            shutil.rmtree(removed, ignore_errors=True)
            (self.path / "evaluations" / f"{stage}.json").unlink(missing_ok=True)  # of a model that is no more
            self.rewind_log(stage, 0)
            kept = {other: facts for other, facts in self.config["stages"].items() if other != stage}
            self._write({**self.config, "stages": kept})

    def log(self, stage: str, step: int, **values: Any) -> None:
        """Add one line to metrics.jsonl. Values are JSON; a NaN or infinity raises ValueError."""
        if not self.writes:
            return
        line = json.dumps({"stage": _known(stage), "step": step, **values}, allow_nan=False) + "\n"
        file = self.path / "metrics.jsonl"
        with user_error_unless_written(file), file.open("ab") as stream:
            stream.write(line.encode())

    def metrics(self, stage: str | None = None) -> list[dict[str, Any]]:
        """The logged lines in order, of one stage or of all, without a last line that a crash cut off."""
        return [line for _, line in self._lines() if stage in (None, line["stage"])]

    def rewind_log(self, stage: str, step: int) -> None:
        """Drop the lines of `stage` from `step` on, and a torn last line: done before going on there."""
        file = self.path / "metrics.jsonl"
        if file.exists() and self.writes:
            content = b"".join(raw for raw, line in self._lines() if line["stage"] != stage or line["step"] < step)
            if content != file.read_bytes():
                write_atomically(file, content)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold this run for the process that writes; UserError when another has it. The lock ends with its process."""
        if not self.writes:
            yield
            return
        file = self.path / ".lock"
        with user_error_unless_written(file):
            stream = file.open("a+")
        with stream:
            if not try_lock(stream):
                stream.seek(0)
                raise UserError(
                    f"Another process (number {stream.read().strip() or 'unknown'}) is working on "
                    f"{self.path}; wait until it ends, or use another run with --tag NEW."
                )
            stream.truncate(0)
            stream.write(f"{os.getpid()}\n")
            stream.flush()
            self.reload()  # the process that held the lock before may have changed it
            yield

    def _write(self, config: dict[str, Any]) -> None:
        if self.writes:
            write_atomically(self.path / "run.json", _json(config))
        self.config = config

    def _lines(self) -> list[tuple[bytes, dict[str, Any]]]:
        file = self.path / "metrics.jsonl"
        if not file.exists():
            return []
        lines = []
        for number, raw in enumerate(file.read_bytes().splitlines(keepends=True), start=1):
            if not raw.endswith(b"\n"):
                break
            try:
                line = json.loads(raw)
                line["stage"], line["step"]
            except (ValueError, KeyError, TypeError) as error:
                advice = "delete that line, or begin a new run with --tag NEW"
                raise UserError(f"Line {number} of {file} is damaged; {advice}.") from error
            lines.append((raw, line))
        return lines


def _directory(root: Path, tag: str) -> Path:
    if not TAG.fullmatch(tag):
        raise UserError(
            f"{tag!r} cannot be the name of a run; use letters, digits, '.', '-' and '_', "
            "beginning with a letter or digit."
        )
    return root / tag


def _known(stage: str) -> str:
    if stage not in STAGES:
        raise UserError(f"There is no stage {stage!r}; the stages are {', '.join(STAGES)}.")
    return stage


def _read_config(path: Path) -> dict[str, Any]:
    file = path / "run.json"
    again = "or begin a new run with --tag NEW"
    try:
        config: dict[str, Any] = json.loads(file.read_bytes())
        if config["format"] != FORMAT:
            raise UserError(
                f"The run {path} has format {config['format']!r} but this version of the program reads "
                f"format {FORMAT}; use the version that wrote it, {again}."
            )
        for facts in config["stages"].values():
            facts.get("complete")
    except OSError as error:
        raise UserError(f"Cannot read {file} ({error.strerror}); move {path} away, {again}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"The file {file} is damaged; mend it, move {path} away, {again}.") from error
    return config


def _merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for key, value in new.items():
        both = isinstance(value, dict) and isinstance(old.get(key), dict)
        merged[key] = _merge(old[key], value) if both else value
    return merged


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()

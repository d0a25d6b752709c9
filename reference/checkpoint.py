"""Checkpoints: one directory per saved step, there whole or not at all.

    runs/d4/base/step_000400/
        model.safetensors  optimizer.safetensors    tensors, bit for bit
        state.json                                  everything else, and the SHA-256 of each tensor file

A checkpoint is written under a temporary name, forced to the disk, and only then renamed to `step_...`.
The rename is atomic, so a process killed at any moment leaves the previous checkpoint or the new one; the
previous one is removed last. Pickle is never used: loading a checkpoint cannot run code.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from reference.errors import UserError

FORMAT = 1
STEP_NAME = re.compile(r"step_(\d{6,})(?:\.(\d+))?")  # step_000400; step_000400.1 if saved once more


def write_atomically(path: Path, data: bytes) -> None:
    """Put `data` at `path` so that a reader, or a crash, finds the old content or the new, never a mixture.

    Missing parent folders are made. Raises UserError when the disk is full or the place cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with user_error_unless_written(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_through(temporary, data)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_directory(path.parent)


def save_checkpoint(directory: Path, step: int, tensors: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> None:
    """Save a checkpoint as `directory/step_NNNNNN` and then remove the others.

    `tensors` becomes one safetensors file per key, e.g. {"model": model.state_dict(), "optimizer": {...}};
    the tensors may be of any dtype, shape and device, and may share storage. `state` is JSON: dicts with
    string keys, lists, strings, numbers (floats come back exactly; NaN and infinity raise ValueError),
    booleans, None. Raises UserError when the disk is full or the place cannot be written; the previous
    checkpoint is then still there.
    """
    state_text = json.dumps(state, allow_nan=False)
    temporary = directory / f".step_{step:06d}.{os.getpid()}.tmp"
    with user_error_unless_written(directory):
        directory.mkdir(parents=True, exist_ok=True)
        _remove(directory.glob(".step_*.tmp"))  # what a killed process left; it may be what fills the disk
        others = _checkpoints(directory)
        try:
            temporary.mkdir()
            digests = {"state": hashlib.sha256(state_text.encode()).hexdigest()}
            for name, group in tensors.items():
                data = safetensors.torch.save({key: _plain(tensor) for key, tensor in group.items()})
                digests[f"{name}.safetensors"] = hashlib.sha256(data).hexdigest()
                _write_through(temporary / f"{name}.safetensors", data)
            header = json.dumps({"format": FORMAT, "sha256": digests})
            _write_through(temporary / "state.json", f'{header[:-1]}, "state": {state_text}}}\n'.encode())
            _sync_directory(temporary)
            temporary.rename(_free_name(directory, step))
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        _sync_directory(directory)
    for path in others:  # renamed first, so that a half-removed folder never looks like a checkpoint
        with user_error_unless_written(path):
            path.rename(path.with_name(f".{path.name}.tmp"))
    _remove(directory.glob(".step_*.tmp"))


def latest_checkpoint(directory: Path) -> Path | None:
    """The checkpoint of the highest step in `directory`, or None. Temporary folders do not count."""
    return max(_checkpoints(directory), key=_step_and_serial, default=None)


def load_checkpoint(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The tensors (on the CPU) and the state that `save_checkpoint` was given, bit for bit.

    Raises UserError, naming the file, when one is missing, damaged or of another format; nothing is deleted.
    """
    advice = f"delete the folder {path.parent} to train that stage again, or begin a new run with --tag NEW"
    file = path / "state.json"
    try:
        content = json.loads(file.read_bytes())
        if content["format"] != FORMAT:
            raise UserError(
                f"The checkpoint {path} has format {content['format']!r} but this version of the program "
                f"reads format {FORMAT}; use the version that wrote it, or {advice}."
            )
        digests, state = content["sha256"], content["state"]
        _check(digests.pop("state"), json.dumps(state).encode())
        tensors = {}
        for name, digest in digests.items():
            file = path / name
            data = file.read_bytes()
            _check(digest, data)
            tensors[file.stem] = safetensors.torch.load(data)
    except OSError as error:
        raise UserError(f"Cannot read the checkpoint file {file} ({error.strerror}); {advice}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise UserError(f"The checkpoint file {file} is damaged; {advice}.") from error
    return tensors, state


@contextmanager
def user_error_unless_written(path: Path) -> Iterator[None]:
    """Around code that writes `path`: an OSError becomes a UserError that says what to do."""
    try:
        yield
    except OSError as error:
        again = "run the same command again"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            message = f"The disk is full: {path} could not be written; free some space and {again}."
        else:
            message = f"Cannot write {path} ({error.strerror}); make that place writable and {again}."
        raise UserError(message) from error


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)  # safetensors wants no shared storage


def _check(digest: str, data: bytes) -> None:
    if hashlib.sha256(data).hexdigest() != digest:
        raise ValueError("the SHA-256 differs")


def _checkpoints(directory: Path) -> list[Path]:
    return [path for path in directory.glob("step_*") if STEP_NAME.fullmatch(path.name)]


def _step_and_serial(path: Path) -> tuple[int, int]:
    match = STEP_NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1]), int(match[2] or 0)


def _free_name(directory: Path, step: int) -> Path:
    serials = [serial for saved, serial in map(_step_and_serial, _checkpoints(directory)) if saved == step]
    return directory / (f"step_{step:06d}.{max(serials) + 1}" if serials else f"step_{step:06d}")


def _remove(paths: Iterator[Path]) -> None:
    for path in list(paths):
        shutil.rmtree(path, ignore_errors=True)


def _write_through(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    if os.name == "nt":
        return  # Windows opens no directories; its renames are journaled
    descriptor = os.open(path, os.O_RDONLY)
    with suppress(OSError):  # some network file systems cannot
        os.fsync(descriptor)
    os.close(descriptor)

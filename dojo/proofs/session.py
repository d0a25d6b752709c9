"""A place where the functions of the stages can be called for a proof: a session on a run that is thrown away."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from rich.console import Console

from reference.data.primer.source import PrimerDocuments
from reference.parts import Parts
from reference.presets import D4, Preset
from reference.run import Run
from reference.shipped import shipped_tokenizer
from reference.stages.session import Ledger, Session, tokenizer_file


@contextmanager
def proof_session(parts: Parts, console: Console, preset: Preset = D4) -> Iterator[Session]:
    """A session with the shipped tokenizer, on the CPU in float32, seed 0."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder), "proof", {"seed": 0})
        shipped_tokenizer().save(tokenizer_file(run))
        cpu = torch.device("cpu")
        yield Session(run, preset, parts, Ledger({}, {}), PrimerDocuments(0), console, torch.float32, cpu, float("inf"))

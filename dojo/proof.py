"""After green: the learner's part is put into the stack, and a small training run shows what it does there."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace

from rich.console import Console

from dojo.curriculum import Kata
from dojo.progress import load_progress, save_standing, sha256
from reference.errors import UserError

PROOFS = {
    "bpe": "tokenizer",
    "rmsnorm": "training",
    "rope": "training",
    "attention": "training",
    "muon": "training",
    "loss_mask": "masking",
    "grpo": "rewards",
    "kv_cache": "decoding",
    "tools": "calculator",
}


def prove(kata: Kata, console: Console) -> int:
    """Run the proof of a kata and tell how it went; the exit status."""
    proof = importlib.import_module(f"dojo.proofs.{PROOFS[kata.name]}")
    console.print(f"\nGreen. Now your {kata.name} goes into the stack.", soft_wrap=True)
    try:
        outcome = proof.prove(kata, console)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    for line in outcome.lines:
        console.print(f"  {line}", markup=False, soft_wrap=True)
    if not outcome.holds:
        console.print(f"  Your {kata.name} passes its tests but does not do in training what the reference's does.")
        return 1
    console.print(f"  {outcome.sentence}", markup=False, soft_wrap=True)
    standing = load_progress()[kata.name]
    save_standing(kata, replace(standing, proof=outcome.sentence, proof_file=sha256(kata.file)))
    return 0

"""Orders, folders and numbers with which a run does not go on: a sentence, and nothing is lost."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from reference.checkpoint import latest_checkpoint, load_checkpoint
from reference.errors import UserError
from reference.parts import Parts
from reference.pipeline import Order, make_run
from reference.presets import override
from reference.run import Run
from tests.tiny_run import (
    EVERY_STEP,
    PRESET,
    Whole,
    crash,
    go,
    learner,
    refuses,
    same_outcome,
    struck,
)

# Orders that cannot be carried out


@pytest.mark.parametrize("first_missing", ["base", "rl"])
def test_from_a_stage_that_cannot_start(whole: Whole, tmp_path: Path, first_missing: str) -> None:
    """--from needs the stages before it to be complete, and a stage that exists; otherwise nothing is forgotten"""
    root = whole.copy(tmp_path, first_missing)
    if first_missing == "base":
        refuses(root, r"cannot start at sft: its stage base is not complete\.$", start="sft")
    else:
        refuses(root, r"^There is no stage 'sftt' to start at; the stages are tokenizer, .*rl\.$", start="sftt")


def test_from_a_stage_of_no_run(tmp_path: Path) -> None:
    """--from a later stage of a run that does not exist makes none; a name that cannot be one is refused as well"""
    with pytest.raises(UserError, match=r"^There is no run 'tiny' .* to start at sft, and .*; leave --from out"):
        go(tmp_path / "runs", start="sft")
    assert not (tmp_path / "runs").exists()
    for tag in ("../x", "a" * 300, "", "a b"):
        order = Order(tmp_path / "runs", tag, PRESET, 0, "primer")
        with pytest.raises(UserError, match=r"cannot be the name of a run"):
            make_run(order, Parts(), Console(file=io.StringIO()), "cpu")
    assert not (tmp_path / "x").exists()


def test_another_order(whole: Whole, tmp_path: Path) -> None:
    """a run goes on with the seed, settings and data that it was begun with, and with no others"""
    root = whole.copy(tmp_path, "rl")
    text = tmp_path / "text.txt"
    text.write_text("One paragraph. " * 1000)
    refuses(root, r"was begun with another seed; .* --tag NEW\.$", seed=1)
    refuses(root, r"was begun with another seed; .* --tag NEW\.$", seed=1, start="sft")
    refuses(root, r"was begun with other settings; ", preset=override(PRESET, {"rl.steps": "5"}))
    refuses(root, r"was begun with another preset; ", preset=replace(PRESET, name="d5"))
    refuses(root, r"was begun with other data; ", data=str(text))
    refuses(root, r"^There is no data at ", data=str(tmp_path / "nothing"))
    same_outcome(go(root)[0], whole)


DAMAGE: dict[str, tuple[str, str | None, Callable[[bytes], bytes], str]] = {
    # the file, the first stage not done, what becomes of its bytes, the sentence
    "cut run.json": ("run.json", "mid", lambda old: old[:-20], r"run\.json is damaged; "),
    "empty run.json": ("run.json", None, lambda old: b"", r"run\.json is damaged; "),
    "a run of another version": (
        "run.json",
        "mid",
        lambda old: old.replace(b'"format": 1', b'"format": 2'),
        r"has format 2 but this version .* reads format 1; ",
    ),
    "a cut checkpoint": ("base/step_000008/model.safetensors", "mid", lambda old: old[:-1], r"is damaged; delete"),
    "a flipped bit": (
        "base/step_000008/optimizer.safetensors",
        "mid",
        lambda old: old[:-9] + bytes([old[-9] ^ 1]) + old[-8:],
        r"optimizer\.safetensors is damaged; delete the folder .*base to train that stage again",
    ),
    "a checkpoint of another version": (
        "sft/step_000004/state.json",
        "rl",
        lambda old: old.replace(b'"format": 1', b'"format": 7', 1),
        r"has format 7 but this version .* reads format 1; ",
    ),
    "a checkpoint without its state": (
        "sft/step_000004/state.json",
        "rl",
        lambda old: b"",
        r"state\.json is damaged; ",
    ),
    "a garbled line": ("metrics.jsonl", "rl", lambda old: b"?" + old, r"^Line 1 of .*metrics\.jsonl is damaged; "),
    "a binary tokenizer": ("tokenizer/tokenizer.json", "mid", lambda old: b"\0\xff", r"is not JSON; train it again"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_runs(whole: Whole, tmp_path: Path, name: str) -> None:
    """a damaged or foreign file gives a sentence that names it, changes nothing, and put right it goes on"""
    file, first_missing, damage, sentence = DAMAGE[name]
    root = whole.copy(tmp_path, first_missing)
    path = root / "tiny" / file
    sound = path.read_bytes()
    assert damage(sound) != sound
    path.write_bytes(damage(sound))
    refuses(root, sentence)
    path.write_bytes(sound)
    with pytest.raises(RuntimeError, match="struck"):
        go(root, struck(learner(tmp_path), "kv_cache", "KVCache", 1, crash)) if first_missing else crash()


def test_half_a_run(whole: Whole, tmp_path: Path) -> None:
    """half a checkpoint is refused, what a killed process left is no checkpoint, a folder of other things is no run"""
    root = whole.copy(tmp_path, "rl")
    (root / "tiny" / "sft" / ".step_000009.1.tmp").mkdir()
    with (root / "tiny" / "metrics.jsonl").open("ab") as log:
        log.write(b'{"stage": "rl", "st')
    same_outcome(go(root)[0], whole)
    Run.open(root, "tiny").forget(["rl"])
    (root / "tiny" / "sft" / "step_000009").mkdir()
    refuses(root, r"step_000009/state\.json \(No such file or directory\); delete the folder")
    (root / "tiny" / "run.json").unlink()
    refuses(root, r"is not empty and has no run\.json, so it is no run; move it away")


# Numbers that are none


def poison(module: Any, name: str, number: int) -> Any:
    """The part, but from the `number`-th call on the first tensor that `name` returns is full of NaN."""
    calls = itertools.count(1)

    def poisoned(*args: Any, **kwargs: Any) -> Any:
        result = getattr(module, name)(*args, **kwargs)
        if next(calls) < number:
            return result
        return (result[0] * torch.nan, *result[1:]) if isinstance(result, tuple) else result * torch.nan

    return SimpleNamespace(**{**vars(module), name: poisoned})


@pytest.mark.parametrize(
    ("first_missing", "part", "name", "number", "sentence", "last_good"),
    [
        ("base", "rmsnorm", "rms_norm", 1, "No token can be chosen", None),
        ("base", "muon", "muon_step", 3 * 3 + 1, r"base stage has failed at step 4: the sum of all weights is nan", 3),
        ("base", "muon", "muon_step", 3 * 7 + 1, r"base stage has failed at step 8: bpb is nan", 7),
        (
            "mid",
            "loss_mask",
            "masked_cross_entropy",
            3,
            r"mid stage has failed at step 2: loss is nan; .* so look at the part loss_mask",
            2,
        ),
        ("sft", "muon", "muon_step", 3 * 3 + 1, r"sft stage has failed at step 4: the sum of all weights is nan", 3),
        ("rl", "grpo", "policy_loss", 2, r"rl stage has failed at step 1: loss is nan; .* look at the parts grpo", 1),
    ],
)
def test_a_part_that_gives_nan(
    whole: Whole,
    tmp_path: Path,
    first_missing: str,
    part: str,
    name: str,
    number: int,
    sentence: str,
    last_good: int | None,
) -> None:
    """the run says what stopped it, in training with the stage and the step; its last checkpoint holds numbers only"""
    root = whole.copy(tmp_path, first_missing)
    parts = learner(tmp_path)
    with pytest.raises(UserError, match=rf"^(The )?{sentence}.*If a part is yours, run its kata's tests"):
        go(root, replace(parts, **{part: poison(getattr(parts, part), name, number)}), seconds=EVERY_STEP)
    checkpoint = latest_checkpoint(root / "tiny" / first_missing)
    assert (checkpoint.name if checkpoint else None) == (f"step_{last_good:06d}" if last_good else None)
    if checkpoint:
        tensors, _ = load_checkpoint(checkpoint)
        assert all(tensor.isfinite().all() for group in tensors.values() for tensor in group.values())


def test_numbers_that_end_while_answers_are_drawn(whole: Whole, tmp_path: Path) -> None:
    """in the middle of rl's sampling: the stage, the step and the part are named"""
    root, honest = whole.copy(tmp_path, "rl"), learner(tmp_path)
    judged: list[bool] = []
    drawn: list[bool] = []  # after answers were judged, that is, in the second step

    def advantages(rewards: Any) -> Any:
        judged.append(True)
        return honest.grpo.advantages(rewards)

    def cache(*args: Any, **kwargs: Any) -> Any:
        drawn.extend(judged)
        return honest.kv_cache.KVCache(*args, **kwargs)

    def apply_rotary(*args: Any) -> Any:
        return honest.rope.apply_rotary(*args) * (torch.nan if drawn else 1)

    grpo = SimpleNamespace(**{**vars(honest.grpo), "advantages": advantages})
    rope = SimpleNamespace(**{**vars(honest.rope), "apply_rotary": apply_rotary})
    kv_cache = SimpleNamespace(**{**vars(honest.kv_cache), "KVCache": cache})
    with pytest.raises(UserError, match=r"^The rl stage has failed at step 1\. No token .*: the part rope makes it of"):
        go(root, replace(honest, grpo=grpo, rope=rope, kv_cache=kv_cache), seconds=EVERY_STEP)

"""The stages at scale, in two processes: killed, gone on with, and bit for bit what they would have been."""

from __future__ import annotations

import io
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor

from reference.checkpoint import latest_checkpoint, load_checkpoint
from reference.data.chat_loader import ChatLoader
from reference.data.generated import write_generated
from reference.data.hub import Hub
from reference.distributed import ALONE, World
from reference.engine import Engine, Sampling
from reference.errors import UserError
from reference.evaluate import draws, pass_at_k
from reference.parts import Parts
from reference.pipeline import Order, make_run
from reference.presets import at_scale, override, read_preset
from reference.run import Run
from reference.stages.mixtures import mid_mixture, sft_mixture
from reference.stages.session import load_model
from reference.tasks.gsm8k import gsm8k
from reference.tasks.identity import conversations as identity_conversations
from reference.tasks.identity import read_persona
from reference.tokenizer import Tokenizer
from tests.tiny_run import DTYPE, FORMATS, needs_signals, numbers, struck
from tests.worlds import ended, said

pytestmark = needs_signals

STAGES = ("tokenizer", "base", "mid", "sft", "rl")
SETTINGS = {
    "vocab_size": "600",
    "sequence_len": "64",
    "batch_rows": "8",
    "tokenizer_characters": "60000",
    "base_steps": "6",
    "base_evaluations": "2",
    "validation_updates": "1",
    "mid.steps": "5",
    "sft.steps": "5",
    "rl.steps": "3",
    "rl.prompts": "3",
    "rl.samples": "4",
    "rl.max_tokens": "8",
    "rl.rates.matrix": "1",
    "rl.evaluate_every": "2",
    "rl.held_out_problems": "40",
    "rl.held_out_samples": "4",
    "answer_tokens": "4",
}
PRESET = override(at_scale(1), SETTINGS)
EVERY_STEP = 0.0
Strike = tuple[int, str, str, int]  # rank, part, name, number of the call


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hub")
    write_generated(root)
    return root


class Dispatcher:
    """With it the model answers: its first token becomes a number, so that some answers are right."""

    def __init__(self, special: dict[str, int], encode: Callable, decode: Callable, tool: Callable) -> None:
        self.done, self.encode, self.end = False, encode, special["assistant_end"]
        self.waiting: list[int] | None = None

    def next(self, sampled: int) -> tuple[int, int]:
        if self.waiting is None:
            self.waiting = [*self.encode(f"#### {sampled % 30}"), self.end]
            return sampled, 1
        token = self.waiting.pop(0)
        self.done = not self.waiting
        return token, 0


def parts(deed: Callable[[], Any] | None = None, part: str = "muon", name: str = "muon_step", number: int = 1) -> Parts:
    """The reference's, but answers are guesses and rewards tell something; before a call of one the deed is done."""

    def advantages(rewards: Tensor) -> Tensor:
        return torch.linspace(-1.0, 1.0, rewards.numel()).view_as(rewards)

    grpo = SimpleNamespace(**{**vars(Parts().grpo), "advantages": advantages})
    tools = SimpleNamespace(**{**vars(Parts().tools), "Dispatcher": Dispatcher})
    given = replace(Parts(), grpo=grpo, tools=tools)
    return given if deed is None else struck(given, part, name, number, deed)


def go(
    data: Path,
    root: Path,
    stage: str,
    world: World = ALONE,
    given: Parts | None = None,
    device_rows: int | None = 2,
    again: bool = False,
    allow_missing: bool = False,
    dtype: str = "auto",
) -> Run:
    """Train one stage of the run `root`/t, with a checkpoint after every step."""
    dtype = DTYPE if dtype == "auto" and stage == "tokenizer" else dtype  # which begins it; the others go on
    order = Order(root, "t", PRESET, 0, str(data), stage if again else None, stage, allow_missing, dtype)
    console = Console(file=io.StringIO(), width=300)
    return make_run(order, given or parts(), console, "cpu", EVERY_STEP, world, device_rows)


def train(
    world: World,
    data: Path,
    folder: Path,
    stages: tuple[str, ...],
    strike: Strike | None = None,
    dtype: str = "auto",
) -> dict:
    """What each process of a world does; the rank that is to be struck dies before that call."""
    struck_here = strike is not None and strike[0] == world.rank
    for stage in stages:
        given = parts(die, *strike[1:]) if struck_here and strike else None
        go(data, folder, stage, world, given, dtype=dtype if stage == "tokenizer" else "auto")
    return {}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of all stages in two processes that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    assert ended(2, partial(train, data=data, folder=folder, stages=STAGES), folder) == [0, 0]
    return folder


@pytest.fixture(scope="module")
def begun(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """For each number format the folder of a run in two processes up to sft."""
    folders = {dtype: tmp_path_factory.mktemp(dtype) for dtype in FORMATS}
    for dtype, folder in folders.items():
        work = partial(train, data=data, folder=folder, stages=STAGES[:-1], dtype=dtype)
        assert ended(2, work, folder) == [0, 0]
    return folders


def weights(folder: Path, stage: str) -> dict[str, Tensor]:
    path = latest_checkpoint(folder / "t" / stage)
    assert path is not None
    tensors, _ = load_checkpoint(path)
    return {f"{group}.{name}": tensor for group in tensors for name, tensor in tensors[group].items()}


def test_every_stage(whole: Path) -> None:
    """Each stage has logged its steps, learned something, and noted what a report needs."""
    run = Run.open(whole, "t")
    assert all(run.is_complete(stage) for stage in STAGES)
    base, mid, sft, rl = (run.metrics(stage) for stage in STAGES[1:])
    assert base[0]["loss"] == pytest.approx(torch.tensor(600.0).log().item(), rel=1e-5)
    assert base[-1]["bpb"] < base[0]["bpb"]
    assert mid[0]["loss"] > mid[4]["loss"]
    assert mid[-1]["bpb"] < mid[0]["bpb"]
    assert len(sft) == 6  # five steps, and what was measured after them
    assert base[0]["tokens"] == mid[0]["tokens"] == sft[0]["tokens"] == 8 * 64
    assert [line["step"] for line in rl] == [0, 1, 2, 3]
    assert all(line["loss"] != 0 for line in rl[:3])
    assert [line["step"] for line in rl if "pass_at_1" in line] == [0, 2, 3]
    stages = run.config["stages"]
    assert stages["base"]["facts"]["parameters"] == sum(
        t.numel() for name, t in weights(whole, "base").items() if name.startswith("model.")
    )
    assert set(stages["mid"]["facts"]["sizes"]) >= {"smoltalk", "gsm8k", "identity", "spelling_bee"}
    assert stages["tokenizer"]["facts"]["same_merges_as_rustbpe"]
    assert all(stages[stage]["calls"]["rope"] > 0 for stage in STAGES[1:])


@pytest.mark.parametrize(("line", "before"), [(0, "sft"), (-1, "rl")])
def test_pass_at_k_during_rl(data: Path, whole: Path, line: int, before: str) -> None:
    """What was logged is that of the model at that step, on the test's problems, which the two ranks share."""
    run = Run.open(whole, "t")
    logged = [run.metrics("rl")[line][f"pass_at_{k}"] for k in (1, 2, 3, 4)]
    assert 0 < logged[0] < logged[1] < logged[2] < logged[3] < 0.5
    noted = run.config["stages"]["rl"]["facts"]["held_out"]
    assert noted["problems"] == 40
    assert list(noted["after" if line else "before"].values()) == logged
    tokenizer = Tokenizer.load(whole / "t" / "tokenizer" / "tokenizer.json")
    engine, problems = Engine(load_model(run, before, parts()), tokenizer, parts()), gsm8k(Hub(data), "test")
    right = []
    for rank in (0, 1):
        sampling = Sampling(8, temperature=1.0, top_k=50, seed=rank)
        right += [sum(drawn) for drawn in draws(engine, problems[rank:40:2], sampling, 4)]
    assert logged == pytest.approx([sum(pass_at_k(n, 4, k) for n in right) / 40 for k in (1, 2, 3, 4)])


# How far two ways to sum the same loss may lie apart, relatively: float32 has 24 bits. bfloat16 has 8, so that each
# number that the model computes is rounded by up to 0.4 %, in another direction where rows stand in another batch; the
# mean over some hundred tokens has a tenth of that.
ONE_LOSS = {"float32": 1e-5, "bfloat16": 1e-3}
# After some updates: Muon makes all directions of a gradient equally long, those too that are little but rounding.
LATER_LOSSES = {"float32": 1e-4, "bfloat16": 5e-2}


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize(("stage", "before"), [("mid", "base"), ("sft", "mid")])
def test_the_batch_of_all_ranks(data: Path, begun: dict[str, Path], stage: str, before: str, dtype: str) -> None:
    """The first logged loss is that of one batch with both ranks' rows, in which each learned token weighs the same."""
    folder = begun[dtype]
    run, tokenizer = Run.open(folder, "t"), Tokenizer.load(folder / "t" / "tokenizer" / "tokenizer.json")
    mixture = (mid_mixture if stage == "mid" else sft_mixture)(
        Hub(data), list(identity_conversations(read_persona(), 1000, 0))
    )
    rows = [
        ChatLoader(mixture.conversations, tokenizer, Parts(), 4, 64, stage == "mid", rank, 2).next_batch()
        for rank in (0, 1)
    ]
    assert not torch.equal(rows[0][0], rows[1][0])
    ids, mask = (torch.cat(halves) for halves in zip(*rows, strict=True))
    counts = [int(mask[:, 1:].sum()) for _, mask in rows]
    assert stage == "mid" or counts[0] != counts[1], "or a mean of means would be as good"
    logits = load_model(run, before, Parts(), getattr(torch, dtype))(ids[:, :-1])
    expected = Parts().loss_mask.masked_cross_entropy(logits, ids[:, 1:], mask[:, 1:])
    assert run.metrics(stage)[0]["loss"] == pytest.approx(expected.item(), rel=ONE_LOSS[dtype])


def test_ranks_read_different_documents(whole: Path) -> None:
    """After base training the two stand at places of their own."""
    path = latest_checkpoint(whole / "t" / "base")
    assert path is not None
    _, state = load_checkpoint(path)
    assert len(state["positions"]) == 2
    assert state["positions"][0] != state["positions"][1]


@pytest.mark.parametrize(
    ("stage", "rank", "part", "name", "number"),
    [
        ("base", 0, "muon", "muon_step", 3 * 3 + 2),  # in the middle of an update
        ("base", 1, "rope", "apply_rotary", 9),  # in the middle of a forward pass
        ("sft", 1, "muon", "muon_step", 3),
        ("rl", 1, "grpo", "policy_loss", 2 * 4 + 2),  # in the middle of the third step, of four passes each
    ],
)
def test_sigkill(
    data: Path, whole: Path, tmp_path: Path, stage: str, rank: int, part: str, name: str, number: int
) -> None:
    """A rank is killed; the other ends in a sentence; the same command goes on to the same losses and weights."""
    shutil.copytree(whole / "t", tmp_path / "t")
    Run.open(tmp_path, "t").forget(STAGES[STAGES.index(stage) :])

    work = partial(train, data=data, folder=tmp_path, stages=(stage,))
    statuses = ended(2, partial(work, strike=(rank, part, name, number)), tmp_path)
    assert statuses[rank] == -signal.SIGKILL
    assert statuses[1 - rank] == 2
    assert said(tmp_path, 1 - rank).startswith("Another process of this run has ended")
    done = len(Run.open(tmp_path, "t").metrics(stage))
    assert 0 < done < len(Run.open(whole, "t").metrics(stage))

    assert ended(2, work, tmp_path) == [0, 0]
    mine, theirs = Run.open(tmp_path, "t"), Run.open(whole, "t")
    assert [line for line in numbers(mine) if line["stage"] == stage] == [
        line for line in numbers(theirs) if line["stage"] == stage
    ]
    expected = weights(whole, stage)
    assert weights(tmp_path, stage).keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(tmp_path, stage).items())


def test_going_on_with_another_number(data: Path, whole: Path, tmp_path: Path) -> None:
    """A stage that stopped with two processes does not go on with one, and says how it does; other stages may."""
    shutil.copytree(whole / "t", tmp_path / "t")
    run = Run.open(tmp_path, "t")
    run.forget(["sft", "rl"])
    run._write({**run.config, "stages": {k: v for k, v in run.config["stages"].items() if k != "mid"}})
    with pytest.raises(UserError, match=r"stage mid of .*/t stopped in the middle with 2 processes.* not with 1; or"):
        go(data, tmp_path, "mid")
    go(data, tmp_path, "mid", again=True)
    assert Run.open(tmp_path, "t").is_complete("mid")


def test_going_without_a_data_set(data: Path, whole: Path, tmp_path: Path) -> None:
    """What is missing can be left out as the sentence says, from then on, but not in the middle of a stage."""
    poor = shutil.copytree(data, tmp_path / "poor")
    words = poor / "words" / "words_alpha.txt"
    shutil.copytree(whole / "t", tmp_path / "t")
    run = Run.open(tmp_path, "t")
    run.update(data=str(poor))
    go(poor, tmp_path, "mid", again=True)
    words.unlink()
    run.reload()
    run._write({**run.config, "stages": {k: v for k, v in run.config["stages"].items() if k != "mid"}})
    with pytest.raises(UserError, match=r"no word list .*; or train without it: --allow-missing\.$"):
        go(poor, tmp_path, "mid")
    with pytest.raises(
        UserError, match=r"have changed since the stage mid was begun: it read .* and now there .*; put"
    ):
        go(poor, tmp_path, "mid", allow_missing=True)
    go(poor, tmp_path, "mid", again=True)
    assert go(poor, tmp_path, "sft").config["stages"]["sft"]["facts"]["missing"] == ["simple_spelling", "spelling_bee"]


def test_evaluation_in_training_can_be_off(data: Path, tmp_path: Path) -> None:
    """0 and less turn it off; the loss is logged all the same, a line of progress for every percent."""
    preset = override(PRESET, {"base_evaluations": "0", "validation_updates": "-1"})
    said = io.StringIO()
    for stage in ("tokenizer", "base", "mid"):
        order = Order(tmp_path, "t", preset, 0, str(data), None, stage, dtype=DTYPE)
        make_run(order, parts(), Console(file=said, width=300), "cpu")
    run = Run.open(tmp_path, "t")
    assert [line["step"] for line in run.metrics("base")] == list(range(6))
    assert not any("bpb" in line for line in run.metrics())
    assert not {"bpb_before", "bpb_after"} & {
        *run.config["stages"]["base"]["facts"],
        *run.config["stages"]["mid"]["facts"],
    }
    assert said.getvalue().count("base  ") > 6


@pytest.mark.parametrize("dtype", FORMATS)
def test_micro_batches_change_nothing(data: Path, begun: dict[str, Path], tmp_path: Path, dtype: str) -> None:
    """In one process: rows taken one, two or eight at a time give the same losses; of rl's updates the first."""
    shutil.copytree(begun[dtype] / "t", tmp_path / "t")
    losses = []
    for rows in (1, 2, 8):
        for stage in ("base", "mid", "sft", "rl"):
            go(data, tmp_path, stage, device_rows=rows, again=True)
        run = Run.open(tmp_path, "t")
        losses.append([line["loss"] for stage in ("base", "sft") for line in run.metrics(stage) if "loss" in line])
        losses[-1].append(run.metrics("rl")[0]["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=LATER_LOSSES[dtype])
    assert losses[0] == pytest.approx(losses[2], rel=LATER_LOSSES[dtype])


def test_a_fully_masked_batch(data: Path, whole: Path, tmp_path: Path) -> None:
    """A mask of zeros ends in a sentence with the step, not in a loss that is no number."""
    shutil.copytree(whole / "t", tmp_path / "t")
    honest = Parts().loss_mask

    def render(*args: Any, **kwargs: Any) -> tuple[list[int], list[int]]:
        ids, _ = honest.render(*args, **kwargs)
        return ids, [0] * len(ids)

    masked = SimpleNamespace(**{**vars(honest), "render": render})
    with pytest.raises(UserError, match=r"^No token of step 0 of the stage sft is to be learned: .*loss_mask\.render"):
        go(data, tmp_path, "sft", given=replace(parts(), loss_mask=masked), again=True)


def test_another_vocabulary(data: Path, whole: Path, tmp_path: Path) -> None:
    """A tokenizer that is not the checkpoint's is noticed before anything is trained."""
    shutil.copytree(whole / "t", tmp_path / "t")
    file = tmp_path / "t" / "tokenizer" / "tokenizer.json"
    text = file.read_text()
    file.write_text(text[: text.rindex(", [")] + "]}")
    with pytest.raises(UserError, match=r"^The checkpoint of base in .* vocabulary of 600 tokens, but its .* has 599;"):
        go(data, tmp_path, "mid", again=True)


def test_memory_that_is_full(data: Path, whole: Path, tmp_path: Path) -> None:
    """When a device's memory is full, the sentence says which value to halve."""
    shutil.copytree(whole / "t", tmp_path / "t")

    def full() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 4.00 GiB")

    def filled(stage: str, part: str, name: str, device_rows: int | None = None) -> str:
        with pytest.raises(UserError, match=r"^The memory of cpu ") as error:
            go(data, tmp_path, stage, given=parts(full, part, name, 5), device_rows=device_rows, again=True)
        return str(error.value)

    rl = filled("rl", "kv_cache", "KVCache")
    assert "is full in the stage rl; use more GPUs, which share its problems, or begin another run" in rl
    assert "does not hold the model and its optimizer" in filled("sft", "rope", "apply_rotary"), "before it is trained"
    assert "is full in the stage sft with 8 rows" in filled("sft", "loss_mask", "masked_cross_entropy")
    halved = filled("sft", "loss_mask", "masked_cross_entropy", 2)
    assert "with 2 rows of 64 tokens at a time; run the same command again with --device-batch 1, the same" in halved
    go(data, tmp_path, "sft", device_rows=1)
    single = filled("base", "muon", "muon_step", 1)
    assert "with one row of 64 tokens; begin another run: tok-train --tag NEW --set sequence_len=32" in single


def test_a_batch_that_does_not_divide_loses_nothing(data: Path, whole: Path, tmp_path: Path) -> None:
    """Begun anew, a stage is refused before what it has made, and what came after, is forgotten."""
    shutil.copytree(whole / "t", tmp_path / "t")
    with pytest.raises(UserError, match=r"^The 8 rows .* do not divide into micro-batches of 3; take 2 or 4 with"):
        go(data, tmp_path, "base", device_rows=3, again=True)
    assert all(Run.open(tmp_path, "t").is_complete(stage) for stage in STAGES)


def test_a_stage_before_the_one_before_it(data: Path, tmp_path: Path) -> None:
    """No stage begins with what is not there."""
    go(data, tmp_path, "tokenizer")
    with pytest.raises(UserError, match=r"^The stage sft begins with what mid has made, and that is not complete"):
        go(data, tmp_path, "sft")


def test_the_preset_of_a_run(data: Path, whole: Path) -> None:
    """The preset is read back from run.json, whole; one of another version gives a sentence."""
    settings = Run.open(whole, "t").config["settings"]
    assert read_preset(settings) == PRESET
    with pytest.raises(UserError, match="another version of this program"):
        read_preset({**settings, "window": 7})

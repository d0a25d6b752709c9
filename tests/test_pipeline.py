"""The whole way in miniature: every stage of a tiny run, what it leaves behind, other text, and the command."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from reference.checkpoint import latest_checkpoint, load_checkpoint
from reference.parts import PART_NAMES, Parts
from reference.run import STAGES, Run
from reference.stages.session import last_stage, load_model
from reference.stages.training import Interrupted
from reference.tokenizer import which_rustbpe
from tests.tiny_run import (
    DTYPE,
    FORMATS,
    LEARNED,
    TINY,
    TRAINED,
    Whole,
    ctrl_c,
    go,
    learner,
    needs_signals,
    numbers,
    refuses,
    struck,
)

ROOT = Path(__file__).parent.parent
TASKS = {  # public names: keys of report.json
    *("identity", "capitals", "opposites", "colours", "multiple_choice", "spelling_seen", "spelling_new"),
    *("sums", "one_step", "two_step", "two_step_new_templates"),
}


# What a run leaves behind


def test_every_stage_is_complete(whole: Whole) -> None:
    """one call goes all the way: each stage is complete, judged and logged, and the report is there"""
    config, printed = whole.run.config, whole.printed
    assert all(whole.run.is_complete(stage) for stage in STAGES)
    assert last_stage(whole.run) == "rl"
    steps = {stage: [line["step"] for line in whole.run.metrics(stage)] for stage in TRAINED}
    assert steps == {"tokenizer": [], "base": [*range(9)], "mid": [*range(4)], "sft": [*range(4)], "rl": [*range(4)]}
    for stage in TRAINED[1:]:
        assert config["stages"][stage]["tasks"].keys() >= TASKS
        assert {count["total"] for count in config["stages"][stage]["tasks"].values()} == {2}
        assert re.search(rf'^{stage}  ".+"  before: .+  after: .+$', printed, re.MULTILINE)
    assert all(config["stages"][stage]["seconds"] > 0 for stage in STAGES)
    assert config["peak_rss_gib"] > 0.05
    report = json.loads((whole.run.path / "report.json").read_text())
    assert report["stages"]["base"]["bpb_after"] < report["stages"]["base"]["bpb_before"]
    assert {stage: report["stages"][stage]["seconds"] for stage in STAGES} == {
        stage: config["stages"][stage]["seconds"] for stage in STAGES
    }
    assert report["total_seconds"] == sum(config["stages"][stage]["seconds"] for stage in STAGES)


def test_every_part_is_used_by_its_stage(whole: Whole) -> None:
    """the manifest counts the calls of all nine parts, in the stage that the design names and in sum"""
    config = whole.run.config
    calls = {stage: config["stages"][stage]["calls"] for stage in TRAINED}
    assert tuple(config["parts"]) == PART_NAMES
    for part, facts in config["parts"].items():
        assert facts["calls"] == sum(calls[stage][part] for stage in TRAINED) > 0
        by_stage = {ran["stage"]: ran["calls"] for ran in facts["stages"]}
        assert by_stage == {stage: calls[stage][part] for stage in TRAINED if calls[stage][part]}
    used = {
        "tokenizer": {"bpe"},
        "base": {"rmsnorm", "rope", "attention", "muon"},
        "mid": {"loss_mask", "muon"},
        "sft": {"loss_mask", "muon"},
        "rl": {"grpo", "kv_cache", "tools", "muon"},
    }
    for stage, parts in used.items():
        assert all(calls[stage][part] for part in parts), stage
    assert {part for part in PART_NAMES if calls["tokenizer"][part]} == {"bpe"}
    assert [stage for stage in TRAINED if calls[stage]["grpo"]] == ["rl"]
    shapes = 3  # of matrices in a block, each stepped once an update
    assert [calls[stage]["muon"] for stage in TRAINED] == [0, 8 * shapes, 4 * shapes, 4 * shapes, 4 * shapes]


def test_whose_code_a_run_is_built_from(whole: Whole) -> None:
    """a learner's part is recorded as such, with the hash of its file, and the run says so when it starts"""
    facts = whole.run.config["parts"]
    assert [part for part in PART_NAMES if facts[part]["whose"] == "learner"] == ["rope", "grpo"]
    for part, source in LEARNED.items():
        assert facts[part]["sha256"] == hashlib.sha256(source.encode()).hexdigest()
        assert Path(facts[part]["file"]).read_text() == source
    assert "run  parts: yours: rope, grpo; the others are the reference's" in whole.printed.splitlines()
    assert f"run  rustbpe: {which_rustbpe()}" in whole.printed.splitlines()


def test_training_trains(whole: Whole) -> None:
    """every stage changes every weight, and the loss falls in base"""
    stages = ["base", "mid", "sft", "rl"]
    models = [load_model(whole.run, stage, Parts()).state_dict() for stage in stages]
    for before, after in itertools.pairwise(models):
        assert all(not torch.equal(before[name], after[name]) for name in before)
    losses = [line["loss"] for line in whole.run.metrics("base")[:8]]
    assert losses[-1] < losses[0] - 0.1


def test_rates_follow_their_schedules(whole: Whole) -> None:
    """the factor on the rates is 1 and then falls in base, falls from the start in mid and sft, rises first in rl"""
    scales = {stage: [line["lr_scale"] for line in whole.run.metrics(stage) if "lr_scale" in line] for stage in TRAINED}
    assert scales["base"][:5] == [1.0] * 5
    assert scales["base"][5:] == pytest.approx([3 / 3.2, 2 / 3.2, 1 / 3.2])  # the last 40% of 8 steps
    assert scales["mid"] == scales["sft"] == [1.0, 0.75, 0.5, 0.25]
    assert scales["rl"] == [0.5, 0.75, 0.5, 0.25]


def test_equal_rewards_teach_nothing(whole: Whole, tmp_path: Path) -> None:
    """where no sample of a problem is better than the others, as when none solves it, there is no policy loss"""
    root = whole.copy(tmp_path, "rl")
    run, _ = go(root, replace(learner(tmp_path), grpo=Parts().grpo))
    lines = run.metrics("rl")
    assert [line["reward"] for line in lines] == [0.0] * 4
    assert not any("loss" in line for line in lines)
    assert run.config["stages"]["rl"]["calls"]["grpo"] == 4  # the advantages of every step
    assert all("loss" in line for line in whole.run.metrics("rl"))


# Other text


def write_text(folder: Path) -> None:
    for i in range(30):
        (folder / f"{i:02d}.txt").write_text(f"Story {i}. " + "There was a small red house near the river. " * 20)


def write_parquet(folder: Path) -> None:
    texts = [f"Page {i}: the quick brown fox jumps over {i} lazy dogs. " * 10 for i in range(60)]
    for shard in range(2):
        pq.write_table(pa.table({"text": texts[shard::2], "url": ["-"] * 30}), folder / f"{shard}.parquet")


@pytest.mark.parametrize("write", [write_text, write_parquet])
def test_data_of_ones_own(tmp_path: Path, write: Callable[[Path], None]) -> None:
    """base trains on a folder of text or parquet; once its text has changed the run does not go on"""
    folder = tmp_path / "data"
    folder.mkdir()
    write(folder)
    parts = struck(Parts(), "muon", "muon_step", 3 * 4, ctrl_c)
    with pytest.raises(Interrupted, match="Stopped in base after step 4 of 8"):
        go(tmp_path / "runs", parts, data=str(folder))
    run = Run.open(tmp_path / "runs", "tiny")
    assert run.config["data"] == str(folder)
    assert run.config["stages"]["tokenizer"]["facts"]["same_merges_as_rustbpe"]
    losses = [line["loss"] for line in run.metrics("base")]
    assert losses[3] < losses[0] - 0.1
    first = min(folder.iterdir())
    if write is write_parquet:
        first.write_bytes((folder / "1.parquet").read_bytes())
    else:
        first.write_text(first.read_text().replace("red", "big"))  # of the same size
    refuses(tmp_path / "runs", r"was begun with other text in its data; ", data=str(folder))


def test_the_documentation_of_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--data python-docs: the tokenizer and base train on what every Python brings along"""
    library = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(library / "json", tmp_path / "lib" / "json")  # all of it takes seconds; see test_documents.py
    small = SimpleNamespace(get_path={"stdlib": str(tmp_path / "lib")}.get)
    monkeypatch.setattr("reference.data.documents.sysconfig", small)
    parts = struck(Parts(), "muon", "muon_step", 3 * 2, ctrl_c)
    with pytest.raises(Interrupted, match="Stopped in base after step 2 of 8"):
        go(tmp_path / "runs", parts, data="python-docs")
    run = Run.open(tmp_path / "runs", "tiny")
    assert run.config["source"]["bytes"] > 300_000
    assert run.config["stages"]["tokenizer"]["facts"]["bytes_per_token"] > 1.3
    assert len(run.metrics("base")) == 2


# The command


def command(folder: Path, *settings: str, before: str = "") -> subprocess.Popen:
    """python -m reference d4, with the tiny settings, in a folder of its own."""
    options = [f"--set={name}={value}" for name, value in TINY.items()] + [f"--set={setting}" for setting in settings]
    code = f"{before}import runpy, sys; sys.argv[0] = 'reference'; runpy.run_module('reference', run_name='__main__')"
    return subprocess.Popen(
        [sys.executable, "-c", code, "d4", "--dtype", DTYPE, *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("dtype", FORMATS)
def test_a_run_keeps_its_number_format(tmp_path: Path, dtype: str) -> None:
    """what is ordered is said and noted; whoever goes on without a word goes on in it, bit for bit, and in no other"""
    other = FORMATS[1 - FORMATS.index(dtype)]
    with pytest.raises(Interrupted, match="Stopped in base after step 4 of 8"):
        go(tmp_path / "runs", struck(Parts(), "muon", "muon_step", 3 * 4, ctrl_c), dtype=dtype)
    machine = Run.open(tmp_path / "runs", "tiny").config["machine"]
    assert (machine["compute_dtype"], machine["compute_dtype_reason"]) == (dtype, f"as --dtype {dtype} says")
    refuses(tmp_path / "runs", rf"computes in {dtype} for good, .* leave --dtype {other} out, or begin", dtype=other)
    with pytest.raises(Interrupted, match="Stopped in mid after step 2 of 4"):
        go(tmp_path / "runs", struck(Parts(), "muon", "muon_step", 3 * 6, ctrl_c), dtype="auto")
    run = Run.open(tmp_path / "runs", "tiny")
    assert run.config["machine"]["compute_dtype"] == dtype

    with pytest.raises(Interrupted, match="Stopped in mid after step 2 of 4"):
        go(tmp_path / "whole", struck(Parts(), "muon", "muon_step", 3 * 10, ctrl_c), dtype=dtype)
    assert numbers(run) == numbers(Run.open(tmp_path / "whole", "tiny"))


def test_the_formats_differ(whole: Whole, tmp_path: Path) -> None:
    """bfloat16 is really computed in: the same run has other losses, which are near"""
    other = FORMATS[1 - FORMATS.index(DTYPE)]
    with pytest.raises(Interrupted):
        go(tmp_path / "runs", struck(learner(tmp_path), "muon", "muon_step", 3 * 8, ctrl_c), dtype=other)
    theirs = Run.open(tmp_path / "runs", "tiny").metrics("base")
    losses, ours = ([line["loss"] for line in lines if "loss" in line] for lines in (theirs, whole.run.metrics("base")))
    assert losses != ours
    assert losses == pytest.approx(ours, rel=0.02)  # bfloat16 has eight bits: 0.4 % for each product


@needs_signals
def test_the_command(tmp_path: Path) -> None:
    """where a file cannot grow the command ends with a sentence and status 2; Ctrl-C with advice and status 130"""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000)); "
    full = command(tmp_path, "base_steps=3000", before=limit)
    printed, sentence = full.communicate()
    assert full.returncode == 2
    # on a slow machine a checkpoint may be due before there are so many metrics
    place = r"runs/d4/(metrics\.jsonl|base)"
    assert re.fullmatch(rf"Cannot write {place} \(File too large\); .* run the same command again\.\n", sentence)
    assert "run  parts: all nine are the reference's\n" in printed
    stopped = command(tmp_path, "base_steps=3000")
    for line in stopped.stdout:
        if line.startswith("base  "):
            stopped.send_signal(signal.SIGINT)
            break
    _, sentence = stopped.communicate()
    assert stopped.returncode == 130
    assert re.fullmatch(r"Stopped in base after step \d+ of 3000; the same command goes on from there\.\n", sentence)
    step = load_checkpoint(latest_checkpoint(tmp_path / "runs" / "d4" / "base"))[1]["step"]
    assert f"after step {step} of" in sentence

"""Runs that are stopped at any moment (an error, Ctrl-C, SIGKILL, a full disk) go on to the same numbers."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import re
import signal
import sys
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import torch

from reference.errors import UserError
from reference.parts import PART_NAMES, Parts
from reference.parts.provenance import provenance
from reference.run import STAGES, Run
from reference.stages.training import Interrupted
from tests.tiny_run import (
    EVERY_STEP,
    NEVER,
    TRAINED,
    Whole,
    crash,
    ctrl_c,
    go,
    learner,
    needs_signals,
    progress,
    same_outcome,
    snapshot,
    struck,
)

# Going on


def test_a_complete_run_is_left_alone(whole: Whole, tmp_path: Path) -> None:
    """the same order again trains nothing and writes no checkpoint"""
    root = whole.copy(tmp_path)
    files = [file for stage in TRAINED for file in (root / "tiny" / stage).rglob("*")]
    times = [file.stat().st_mtime_ns for file in files]
    run, printed = go(root)
    same_outcome(run, whole)
    assert [file.stat().st_mtime_ns for file in files] == times
    assert [line.split()[0] for line in printed.splitlines() if line.endswith("skipped")] == list(TRAINED)
    assert run.config["parts"] == whole.run.config["parts"]
    run, printed = go(root, Parts())  # other code that trains nothing is not noted
    assert run.config["parts"] == whole.run.config["parts"]
    assert "run  parts: all nine are the reference's" in printed.splitlines()


def test_whose_code_each_stage_ran(whole: Whole, tmp_path: Path) -> None:
    """a run that goes on with other parts keeps what its earlier stages ran, also of a stage that ran both"""
    root = whole.copy(tmp_path)
    parts = struck(Parts(), "loss_mask", "masked_cross_entropy", 3, ctrl_c)
    with pytest.raises(Interrupted, match="Stopped in sft after step 3 of 4"):
        go(root, parts, start="sft")
    run, _ = go(root)
    mine, theirs = (provenance(parts)["rope"] for parts in (learner(tmp_path), Parts()))
    rope, grpo = run.config["parts"]["rope"], run.config["parts"]["grpo"]
    assert [(ran["stage"], ran["whose"], ran["sha256"]) for ran in rope["stages"]] == [
        ("base", "learner", mine["sha256"]),
        ("mid", "learner", mine["sha256"]),
        ("sft", "reference", theirs["sha256"]),
        ("sft", "learner", mine["sha256"]),
        ("rl", "learner", mine["sha256"]),
    ]
    assert (rope["whose"], rope["sha256"], rope["calls"]) == (
        "learner",
        mine["sha256"],
        sum(ran["calls"] for ran in rope["stages"]),
    )
    assert [ran["stage"] for ran in grpo["stages"]] == ["rl"]
    assert json.loads((run.path / "report.json").read_text())["parts"] == run.config["parts"]
    assert "| rope | yours in base, mid, sft, rl; reference in sft |" in (run.path / "report.md").read_text()
    run, _ = go(root, Parts(), start="rl")
    rope = run.config["parts"]["rope"]
    assert [ran["whose"] for ran in rope["stages"]] == ["learner", "learner", "reference", "learner", "reference"]
    assert (rope["whose"], rope["file"], rope["sha256"]) == ("reference", theirs["file"], theirs["sha256"])


def test_from_a_stage(whole: Whole, tmp_path: Path) -> None:
    """--from sft does sft and rl again, with the same numbers, and leaves what is before them alone"""
    root = whole.copy(tmp_path)
    with pytest.raises(RuntimeError, match="struck"):
        go(root, struck(learner(tmp_path), "loss_mask", "masked_cross_entropy", 3, crash), start="sft")
    stopped = Run.open(root, "tiny")
    assert [stage for stage in STAGES if stopped.is_complete(stage)] == ["tokenizer", "base", "mid"]
    assert [line["stage"] for line in stopped.metrics()][-2:] == ["sft", "sft"]
    for stage in ("tokenizer", "base", "mid"):
        assert snapshot(stopped.stage_dir(stage)) == snapshot(whole.run.stage_dir(stage))
    run, printed = go(root, start="sft")
    same_outcome(run, whole)
    assert printed.count("complete already, skipped") == 3


# What may happen to a process


@needs_signals
def test_errors_and_ctrl_c(whole: Whole, tmp_path: Path) -> None:
    """a run that an error or Ctrl-C stops in every stage, within training and beside it, ends as if undisturbed"""
    again = "the same command goes on from there"
    strikes = [  # part, name, call, deed, seconds between checkpoints -> what is raised, where the run stands then
        ("bpe", "encode", 50, crash, NEVER, "struck", ("tokenizer", 0)),
        ("bpe", "decode", 50, ctrl_c, NEVER, rf"^Stopped; {again}\.$", ("tokenizer", 0)),
        ("muon", "muon_step", 3 * 2 + 2, crash, EVERY_STEP, "struck", ("base", 2)),  # one shape stepped, two not
        (
            "muon",
            "muon_step",
            3 * 2 + 2,
            ctrl_c,
            NEVER,
            rf"^Stopped in base after step 5 of 8; {again}\.$",
            ("base", 5),
        ),
        ("rope", "apply_rotary", 3, crash, EVERY_STEP, "struck", ("base", 5)),
        ("muon", "muon_step", 3 * 2 + 1, crash, NEVER, "struck", ("base", 7)),
        ("muon", "muon_step", 3 * 3, ctrl_c, NEVER, "Stopped in base after step 8 of 8", ("base", 8)),
        ("tools", "Dispatcher", 12, ctrl_c, NEVER, rf"^Stopped; {again}\.$", ("base", 9)),  # while it is judged
        ("loss_mask", "masked_cross_entropy", 1, ctrl_c, NEVER, "Stopped in mid after step 1 of 4", ("mid", 1)),
        ("tools", "Dispatcher", 12, crash, NEVER, "struck", ("mid", 4)),
        ("loss_mask", "masked_cross_entropy", 3, crash, EVERY_STEP, "struck", ("sft", 2)),
        ("grpo", "advantages", 2, crash, NEVER, "struck", ("rl", 1)),
        ("grpo", "policy_loss", 3, ctrl_c, NEVER, "Stopped in rl after step 3 of 4", ("rl", 3)),
    ]
    root = tmp_path / "runs"
    root.mkdir()
    config = {key: value for key, value in whole.run.config.items() if key not in ("stages", "format", "tag")}
    Run.create(root, "tiny", config)  # with the number format that was timed for `whole`
    parts = learner(tmp_path)
    for part, name, call, deed, seconds, message, place in strikes:
        with pytest.raises(RuntimeError if deed is crash else Interrupted, match=message):
            go(root, struck(parts, part, name, call, deed), seconds=seconds)
        assert progress(root) == place
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    same_outcome(go(root)[0], whole)


def test_ctrl_c_after_from(whole: Whole, tmp_path: Path) -> None:
    """the advice to repeat the command leaves --from out, which would begin the stage anew"""
    root = whole.copy(tmp_path)
    parts = struck(learner(tmp_path), "grpo", "advantages", 2, ctrl_c)
    with pytest.raises(Interrupted, match=r"^Stopped in rl after step 2 of 4; the same command without --from goes on"):
        go(root, parts, start="rl")
    assert progress(root) == ("rl", 2)


def at_file_operation(event: str, pattern: str, number: int, deed: Callable[[], Any]) -> None:
    """From now on in this process, do the deed just before the `number`-th writing file operation on such a path."""
    seen = 0

    def hook(name: str, args: tuple) -> None:
        nonlocal seen
        if name != event or (name == "open" and str(args[1]).strip("b") not in ("w", "a")):
            return
        if fnmatch(str(args[1] if name == "os.rename" else args[0]), pattern):
            seen += 1
            if seen == number:
                deed()

    sys.addaudithook(hook)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def disk_full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def work_until(
    root: Path, event: str, pattern: str, number: int, deed: Callable[[], Any], seconds: float, threads: int
) -> None:
    """What a child process does: go on with the run until it is struck; exit status 2 and a sentence on a UserError."""
    torch.set_num_threads(threads)  # sums depend on how they are divided among threads
    at_file_operation(event, pattern, number, deed)
    try:
        go(root, seconds=seconds)
    except UserError as error:
        (root / "sentence").write_text(str(error))
        sys.exit(2)


@needs_signals
def test_sigkill_and_full_disks(whole: Whole, tmp_path: Path) -> None:
    """a run whose processes are killed, or meet a full disk, at many moments ends as if undisturbed"""
    processes = multiprocessing.get_context("forkserver")  # children of a process that has not computed yet
    processes.set_forkserver_preload(["reference.pipeline", "reference.plots", "pytest"])
    strikes = [  # file operation, its path, which one, deed, seconds between checkpoints -> where the run stands then
        ("os.mkdir", "*/tokenizer", 1, disk_full, NEVER, ("tokenizer", 0)),
        ("os.rename", "*/tokenizer/tokenizer.json", 1, disk_full, NEVER, ("tokenizer", 0)),
        ("os.rename", "*/tokenizer/tokenizer.json", 1, die, NEVER, ("tokenizer", 0)),
        ("os.rename", "*/run.json", 2, die, NEVER, ("tokenizer", 0)),  # the tokenizer is there, and not yet noted
        ("open", "*/metrics.jsonl", 3, die, EVERY_STEP, ("base", 2)),
        ("open", "*/metrics.jsonl", 4, die, NEVER, ("base", 5)),  # three steps are lost
        ("open", "*/metrics.jsonl", 3, disk_full, NEVER, ("base", 4)),
        ("open", "*/model.safetensors", 2, disk_full, EVERY_STEP, ("base", 4)),
        ("os.rename", "*/base/step_000005", 1, die, EVERY_STEP, ("base", 5)),
        ("os.rename", "*/base/.step_000004.tmp", 1, die, EVERY_STEP, ("base", 5)),  # two checkpoints are there
        ("os.rename", "*/run.json", 4, die, NEVER, ("mid", 0)),  # base is noted, the sum of the calls is not
        ("os.rename", "*/mid/step_000004", 1, die, NEVER, ("mid", 4)),
        ("os.rename", "*/run.json", 4, die, NEVER, ("mid", 4)),  # mid is saved, and not yet noted
        ("open", "*/sft/.*/model.safetensors", 2, die, EVERY_STEP, ("sft", 2)),
        ("open", "*/metrics.jsonl", 2, die, EVERY_STEP, ("sft", 2)),
        ("open", "*/metrics.jsonl", 5, die, EVERY_STEP, ("rl", 2)),
        ("os.rename", "*/rl/step_000004", 1, disk_full, NEVER, ("rl", 4)),
        ("os.rename", "*/run.json", 7, die, NEVER, ("report", 0)),
        ("os.rename", "*/report.md", 1, disk_full, NEVER, ("report", 0)),
    ]
    root = tmp_path / "runs"
    root.mkdir()
    config = {key: value for key, value in whole.run.config.items() if key not in ("stages", "format", "tag")}
    Run.create(root, "tiny", config)
    for *strike, deed, seconds, place in strikes:
        child = processes.Process(target=work_until, args=(root, *strike, deed, seconds, torch.get_num_threads()))
        child.start()
        child.join()
        if deed is die:
            assert child.exitcode == -signal.SIGKILL
        else:
            assert child.exitcode == 2
            assert re.match(
                r"The disk is full: \S+ could not be written; free some space", (root / "sentence").read_text()
            )
        assert progress(root) == place, strike
    run, _ = go(root)
    same_outcome(run, whole)
    calls = [run.config["stages"][stage]["calls"] for stage in TRAINED]
    assert all(run.config["parts"][part]["calls"] == sum(c[part] for c in calls) > 0 for part in PART_NAMES)

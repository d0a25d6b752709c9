"""Run directories: made, found, changed, rewound. Crashes are in test_crashes.py."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from reference.errors import UserError
from reference.run import STAGES, Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "runs", "d4", {"preset": "d4", "seed": 3})


def metrics_bytes(run: Run) -> bytes:
    return (run.path / "metrics.jsonl").read_bytes()


def refused(action: Callable[..., object], *arguments: object) -> str:
    """The one sentence with which the action is refused."""
    with pytest.raises(UserError) as caught:
        action(*arguments)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    return message


def test_create_then_open(run: Run) -> None:
    """What was created is what is opened: the config with its format, tag and empty stages."""
    opened = Run.open(run.path.parent, "d4")
    expected = {"format": 1, "tag": "d4", "preset": "d4", "seed": 3, "stages": {}}
    assert opened.config == run.config == expected
    assert json.loads((run.path / "run.json").read_text()) == expected
    assert opened.tag == "d4"


@pytest.mark.parametrize("tag", ["", ".", "..", ".hidden", "a/b", "a\\b", "../d4", "-x", "a b", "é", "a" * 200, "a\n"])
def test_tags_that_are_no_folder_names(tmp_path: Path, tag: str) -> None:
    """A tag that could leave the runs folder, hide, or fail on another system is refused; nothing is made."""
    assert "cannot be the name of a run" in refused(Run.create, tmp_path / "runs", tag, {})
    assert "cannot be the name of a run" in refused(Run.open, tmp_path / "runs", tag)
    assert not list(tmp_path.rglob("*"))


def test_creating_where_something_is(run: Run) -> None:
    """A run is never overwritten, nor is a folder that is no run; an empty or half-made folder is used."""
    root = run.path.parent
    assert "exists already" in refused(Run.create, root, "d4", {})
    (root / "thesis").mkdir()
    (root / "thesis" / "notes.txt").write_text("mine")
    assert "not empty" in refused(Run.create, root, "thesis", {})
    (root / "half").mkdir()
    (root / "half" / ".run.json.77.tmp").write_text('{"form')
    assert Run.create(root, "half", {"seed": 1}).config["seed"] == 1
    assert (root / "thesis" / "notes.txt").read_text() == "mine"


def test_opening_what_is_not_there(run: Run) -> None:
    """The refusal names the run asked for and the runs there are."""
    message = refused(Run.open, run.path.parent, "d5")
    assert "'d5'" in message
    assert "there are: d4" in message
    assert "none" in refused(Run.open, run.path.parent / "absent", "d4")


def test_latest_is_the_last_changed(run: Run, tmp_path: Path) -> None:
    """The latest run is the one whose run.json changed last, whatever it is called."""
    root = run.path.parent
    assert "no run" in refused(Run.latest, tmp_path / "empty")
    other = Run.create(root, "a", {})
    os.utime(run.path / "run.json", ns=(5, 5))
    assert Run.latest(root).tag == "a"
    os.utime(other.path / "run.json", ns=(4, 4))
    assert Run.latest(root).tag == "d4"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"format": 1}', '{"format": 1, "stages": 3}',
                                  '{"format": 1, "stages": {"base": 1}}', "\x00\x00"])  # fmt: skip
def test_a_damaged_run_json(run: Run, text: str) -> None:
    """A run.json that is no run's is named in one sentence and stays as it is."""
    file = run.path / "run.json"
    file.write_text(text)
    for message in (refused(Run.open, run.path.parent, "d4"), refused(Run.latest, run.path.parent)):
        assert str(file) in message
        assert "--tag NEW" in message
    assert file.read_text() == text


def test_a_run_without_run_json(run: Run) -> None:
    """A folder that lost its run.json is named, too."""
    (run.path / "run.json").unlink()
    assert str(run.path / "run.json") in refused(Run.open, run.path.parent, "d4")


def test_a_run_of_another_format(run: Run) -> None:
    """Another format is named together with ours, however different the rest of the file is."""
    (run.path / "run.json").write_text('{"format": 2, "phases": []}')
    message = refused(Run.open, run.path.parent, "d4")
    assert "format 2" in message
    assert "format 1" in message
    assert "damaged" not in message


def test_update_merges_deeply(run: Run) -> None:
    """Dicts are merged key by key, everything else is replaced, and the file holds what the object holds."""
    run.update(parts={"bpe": {"whose": "learner", "calls": 1}}, list=[1, 2])
    run.update(parts={"bpe": {"calls": 2}, "rope": {"whose": "reference"}}, list=[3], seed={"a": 1})
    expected = {"bpe": {"whose": "learner", "calls": 2}, "rope": {"whose": "reference"}}
    for config in (run.config, Run.open(run.path.parent, "d4").config):
        assert config["parts"] == expected
        assert config["list"] == [3]
        assert config["seed"] == {"a": 1}


def test_a_failed_update_changes_nothing(run: Run) -> None:
    """A value that JSON cannot hold leaves the file and the object as they were."""
    before = (run.path / "run.json").read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        run.update(loss=float("nan"))
    assert (run.path / "run.json").read_bytes() == before
    assert "loss" not in run.config


def test_completion(run: Run) -> None:
    """A stage is complete once marked, with its facts, until what it made is deleted, with its folder or without."""
    run.update(stages={"base": {"seconds": 1.5}})
    assert not run.is_complete("base")
    step = run.stage_dir("base") / "step_000008"
    step.mkdir(parents=True)
    assert not run.is_complete("base")
    run.mark_complete("base", facts={"bpb_after": 0.3})
    assert Run.open(run.path.parent, "d4").is_complete("base")
    assert run.config["stages"]["base"] == {"seconds": 1.5, "facts": {"bpb_after": 0.3}, "complete": True}
    step.rename(step.with_name(".step_000008.tmp"))
    assert not run.is_complete("base")
    shutil.rmtree(run.stage_dir("base"))
    assert not run.is_complete("base")
    run.mark_complete("report")
    assert not run.is_complete("report")
    (run.path / "report.json").write_text("{}")
    assert run.is_complete("report")


def test_unknown_stages(run: Run) -> None:
    """A stage that does not exist is refused by its name, with the names there are."""
    for action in (run.stage_dir, run.is_complete, run.mark_complete):
        message = refused(action, "sftt")
        assert "'sftt'" in message
        assert "mid, sft, rl" in message
    assert "sftt" in refused(run.log, "sftt", 1)
    assert "sftt" in refused(run.forget, ["sftt"])


def test_metrics_return_what_was_logged(run: Run) -> None:
    """Lines come back in order with exact floats, all of them or one stage's."""
    assert run.metrics() == []
    run.log("base", 0, loss=0.1 + 0.2, lr=1)
    run.log("mid", 0, loss=5e-324)
    run.log("base", 1, bpb=2.5)
    base = [
        {"stage": "base", "step": 0, "loss": 0.1 + 0.2, "lr": 1},
        {"stage": "base", "step": 1, "bpb": 2.5},
    ]
    assert run.metrics("base") == base
    assert run.metrics() == [base[0], {"stage": "mid", "step": 0, "loss": 5e-324}, base[1]]
    with pytest.raises(ValueError, match="JSON"):
        run.log("base", 2, loss=float("nan"))
    assert len(run.metrics()) == 3


def test_a_damaged_line_is_named(run: Run) -> None:
    """A line in the middle that is no metric is named by its number, and rewinding does not lose it."""
    run.log("base", 0, loss=1.0)
    for bad in (b"loss=2\n", b"[]\n", b'{"stage": "base"}\n', b"\x00\xff\n"):
        (run.path / "metrics.jsonl").write_bytes(b'{"stage":"base","step":0}\n' + bad + b'{"stage":"base","step":2}\n')
        before = metrics_bytes(run)
        assert "Line 2 of" in refused(run.metrics)
        assert "Line 2 of" in refused(run.rewind_log, "base", 0)
        assert metrics_bytes(run) == before


def test_rewinding_drops_only_this_stage_from_this_step(run: Run) -> None:
    """Rewinding to a step keeps what was before it and what other stages logged, byte for byte."""
    run.rewind_log("base", 0)
    (run.path / "metrics.jsonl").write_bytes(b'{"stage":"tokenizer", "step":  9}\n')  # odd spaces must survive
    for step in range(4):
        run.log("base", step, loss=1 / (step + 1))
    kept = metrics_bytes(run).splitlines(keepends=True)
    run.log("mid", 3, loss=0.5)
    kept.append(metrics_bytes(run).splitlines(keepends=True)[-1])
    run.rewind_log("base", 2)
    assert metrics_bytes(run) == b"".join([kept[0], kept[1], kept[2], kept[5]])


def test_a_resumed_log_equals_an_uninterrupted_one(run: Run, tmp_path: Path) -> None:
    """Cut anywhere, even within a line, then rewound to the checkpoint and gone on: the same bytes."""
    other = Run.create(tmp_path / "runs", "whole", {})
    for step in range(6):
        other.log("base", step, loss=1 / (step + 3))
    whole = metrics_bytes(other)
    for cut in range(0, len(whole) + 1, 3):
        (run.path / "metrics.jsonl").write_bytes(whole[:cut])
        lines = whole[:cut].count(b"\n")
        assert len(run.metrics()) == lines
        checkpoint = lines // 2 * 2
        run.rewind_log("base", checkpoint)
        for step in range(checkpoint, 6):
            run.log("base", step, loss=1 / (step + 3))
        assert metrics_bytes(run) == whole


def test_forgetting_a_stage(run: Run) -> None:
    """Forgotten stages lose their folder, facts and metrics; the others keep all three."""
    for stage in STAGES[:-1]:
        run.stage_dir(stage).mkdir()
        (run.stage_dir(stage) / "file").write_text(stage)
        run.log(stage, 0, loss=1.0)
        run.mark_complete(stage, seconds=1.0)
    (run.path / "report.json").write_text("{}")
    run.mark_complete("report")
    run.forget(["sft", "rl", "report"])
    run.forget(["rl"])
    again = Run.open(run.path.parent, "d4")
    assert [stage for stage in STAGES if again.is_complete(stage)] == ["tokenizer", "base", "mid"]
    assert list(again.config["stages"]) == ["tokenizer", "base", "mid"]
    assert [line["stage"] for line in again.metrics()] == ["tokenizer", "base", "mid"]
    assert (run.stage_dir("mid") / "file").read_text() == "mid"
    left = {"run.json", "metrics.jsonl", "report.json", "tokenizer", "base", "mid"}
    assert {path.name for path in run.path.iterdir()} == left


def test_a_root_that_is_a_file(tmp_path: Path) -> None:
    """A file where the runs folder should be is one sentence."""
    (tmp_path / "runs").write_text("")
    assert "Cannot write" in refused(Run.create, tmp_path / "runs", "d4", {})
    assert "There is no run" in refused(Run.open, tmp_path / "runs", "d4")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_root(tmp_path: Path) -> None:
    """A folder without write permission is one sentence."""
    tmp_path.chmod(0o500)
    try:
        assert "Permission denied" in refused(Run.create, tmp_path / "runs", "d4", {})
    finally:
        tmp_path.chmod(0o700)

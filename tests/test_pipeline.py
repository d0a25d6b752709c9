"""The whole way in miniature: every stage of a tiny run, and that nothing which goes wrong changes its numbers.

One run, `whole`, is trained without interruption; the other tests copy it, undo some stages, let something happen
(an error, Ctrl-C, SIGKILL, a full disk) and hold what comes out against it, bit for bit.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import io
import itertools
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from rich.console import Console

import reference.parts.rope
from reference.checkpoint import latest_checkpoint, load_checkpoint
from reference.errors import UserError
from reference.parts import PART_NAMES, Parts
from reference.parts.provenance import CONTRACT_NAMES
from reference.pipeline import Order, make_run
from reference.presets import Preset, get_preset, override
from reference.run import STAGES, Run
from reference.stages.session import last_stage, load_model
from reference.stages.training import Interrupted

pytestmark = pytest.mark.timeout(600)  # a busy machine is slow, not broken
needs_signals = pytest.mark.skipif(os.name == "nt", reason="Windows has neither fork nor signals")

ROOT = Path(__file__).parent.parent
TRAINED = STAGES[:-1]
TINY = {
    "depth": "1",
    "vocab_size": "400",
    "sequence_len": "256",
    "batch_rows": "2",
    "tokenizer_characters": "20000",
    "base_steps": "8",
    "mid.steps": "4",
    "sft.steps": "4",
    "rl.steps": "4",
    "rl.prompts": "4",
    "rl.samples": "2",
    "rl.max_tokens": "8",
    "rl.warmup": "2",
    "rl.rehearsal_rows": "1",
    "answer_tokens": "6",
    "judged_examples": "2",
}
PRESET = override(get_preset("d4"), TINY)
TASKS = {  # public names: keys of report.json
    *("identity", "capitals", "opposites", "colours", "multiple_choice", "spelling_seen", "spelling_new"),
    *("sums", "one_step", "two_step", "two_step_new_templates"),
}
EVERY_STEP, NEVER = 0.0, 1e9  # seconds between checkpoints

# A learner's parts: rope is right; grpo rewards by place, so that a model that solves nothing is updated in rl too.
LEARNED = {
    "rope": Path(reference.parts.rope.__file__).read_text() + "\n# mine\n",
    "grpo": """import torch
from reference.parts.grpo import policy_loss

def advantages(rewards):
    return torch.linspace(-1.0, 1.0, rewards.numel()).view_as(rewards)
""",
}


def learner(folder: Path) -> Parts:
    """The reference's parts with those in LEARNED loaded from files, as a learner's are."""
    modules: dict[str, ModuleType] = {}
    for part, source in LEARNED.items():
        file = folder / f"{part}.py"
        file.write_text(source)
        spec = importlib.util.spec_from_file_location(f"learned_{part}", file)
        modules[part] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(modules[part])
    return Parts(**modules)


def go(
    root: Path,
    parts: Parts | None = None,
    preset: Preset = PRESET,
    seed: int = 0,
    data: str = "primer",
    start: str | None = None,
    seconds: float = NEVER,
) -> tuple[Run, str]:
    """Make the run `root`/tiny, or go on with it: the run, and all that was printed."""
    printed = io.StringIO()
    parts = parts or learner(root.parent)
    console = Console(file=printed, width=300)
    run = make_run(Order(root, "tiny", preset, seed, data, start), parts, console, "cpu", seconds)
    return run, printed.getvalue()


@dataclass(frozen=True)
class Whole:
    """The run that nothing disturbed."""

    run: Run
    printed: str

    def copy(self, folder: Path, first_missing: str | None = None) -> Path:
        """A copy in which `first_missing` and all later stages have not been done; the root to go on with."""
        shutil.copytree(self.run.path, folder / "runs" / "tiny")
        if first_missing is not None:
            Run.open(folder / "runs", "tiny").forget(STAGES[STAGES.index(first_missing) :])
        return folder / "runs"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(*go(tmp_path_factory.mktemp("whole") / "runs"))


def numbers(run: Run) -> list[dict[str, Any]]:
    """What was logged, without speeds."""
    return [{key: value for key, value in line.items() if key != "tokens_per_second"} for line in run.metrics()]


def outcome(run: Run) -> dict[str, Any]:
    """All that must not depend on how a run came about: losses, weights, optimizer states, answers, scores, updates."""
    stages = run.config["stages"]
    kept = ("facts", "samples", "tasks")
    return {
        "metrics": numbers(run),
        "noted": {stage: {key: stages[stage].get(key) for key in kept} for stage in TRAINED},
        "updates": {stage: stages[stage]["calls"]["muon"] for stage in TRAINED},
        "files": {
            str(file.relative_to(run.path)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in run.path.rglob("*")
            if file.suffix == ".safetensors" or file.name == "tokenizer.json"
        },
    }


def same_outcome(run: Run, whole: Whole) -> None:
    """Piece by piece, so that a failure says where."""
    ours, theirs = outcome(run), outcome(whole.run)
    assert ours["metrics"] == theirs["metrics"]
    assert ours["noted"] == theirs["noted"]
    assert ours["updates"] == theirs["updates"]
    # a checkpoint that is saved once more has a serial number in its name
    names = [re.sub(r"(step_\d+)\.\d+", r"\1", name) for name in ours["files"]]
    assert dict(zip(names, ours["files"].values(), strict=True)) == theirs["files"]


def snapshot(path: Path) -> dict[str, Any]:
    """Every file of a run by its content, without what every process notes anew: its memory, its parts' files."""
    files: dict[str, Any] = {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != ".lock"
    }
    with suppress(ValueError, KeyError, TypeError):  # damaged on purpose: then its bytes count
        files["run.json"] = {**json.loads(files["run.json"]), "peak_rss_gib": None, "parts": None}
    return files


def refuses(root: Path, pattern: str, **order: Any) -> None:
    """Going on ends in a sentence like `pattern`, says what to do, and changes nothing."""
    before = snapshot(root / "tiny")
    with pytest.raises(UserError, match=pattern) as refusal:
        go(root, **order)
    assert "\n" not in str(refusal.value)
    assert snapshot(root / "tiny") == before


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
    assert all(config["stages"][stage]["seconds"] > 0 for stage in TRAINED)
    assert config["peak_rss_gib"] > 0.05
    report = json.loads((whole.run.path / "report.json").read_text())
    assert report["stages"]["base"]["bpb_after"] < report["stages"]["base"]["bpb_before"]
    assert report["total_seconds"] == sum(config["stages"][stage]["seconds"] for stage in TRAINED)


def test_every_part_is_used_by_its_stage(whole: Whole) -> None:
    """the manifest counts the calls of all nine parts, in the stage that the design names and in sum"""
    config = whole.run.config
    calls = {stage: config["stages"][stage]["calls"] for stage in TRAINED}
    assert tuple(config["parts"]) == PART_NAMES
    for part, facts in config["parts"].items():
        assert facts["calls"] == sum(calls[stage][part] for stage in TRAINED) > 0
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
    assert run.config["parts"] == {
        part: {**facts, "file": run.config["parts"][part]["file"]} for part, facts in whole.run.config["parts"].items()
    }


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
    with pytest.raises(UserError, match=r"^There is no run 'tiny' .* to start at sft; leave --from out"):
        go(tmp_path / "runs", start="sft")
    assert not (tmp_path / "runs").exists()
    for tag in ("../x", "a" * 300, "", "a b"):
        order = Order(tmp_path / "runs", tag, PRESET, 0, "primer")
        with pytest.raises(UserError, match=r"cannot be the name of a run"):
            make_run(order, Parts(), Console(file=io.StringIO()), "cpu")
    assert not (tmp_path / "x").exists()


# What may happen to a process


def struck(parts: Parts, part: str, name: str, number: int, deed: Callable[[], Any]) -> Parts:
    """The same parts, but just before the `number`-th call of `name` the deed is done."""
    original = getattr(parts, part)
    members = {member: getattr(original, member) for member in CONTRACT_NAMES[part]}
    calls = itertools.count(1)

    def strike(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == number:
            deed()
        return members[name](*args, **kwargs)

    return replace(parts, **{part: SimpleNamespace(__file__=original.__file__, **{**members, name: strike})})


def crash() -> None:
    raise RuntimeError("struck")


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def progress(root: Path) -> tuple[str, int]:
    """The stage that comes next and how many of its steps are in the log."""
    run = Run.open(root, "tiny")
    stage = next(stage for stage in STAGES if not run.is_complete(stage))
    return stage, len(run.metrics(stage))


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


# Orders that cannot be carried out


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
        ("mid", "loss_mask", "masked_cross_entropy", 3, r"mid stage has failed at step 2: loss is nan", 2),
        ("sft", "muon", "muon_step", 3 * 3 + 1, r"sft stage has failed at step 4: the sum of all weights is nan", 3),
        ("rl", "grpo", "policy_loss", 2, r"rl stage has failed at step 1: loss is nan", 1),
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
    (folder / "more.txt").write_text("More text. " * 100)
    if write is write_parquet:
        (folder / "0.parquet").write_bytes((folder / "1.parquet").read_bytes())
    refuses(tmp_path / "runs", r"was begun with other text in its data; ", data=str(folder))


def test_the_documentation_of_python(tmp_path: Path) -> None:
    """--data python-docs: the tokenizer and base train on what every Python brings along"""
    parts = struck(Parts(), "muon", "muon_step", 3 * 2, ctrl_c)
    with pytest.raises(Interrupted, match="Stopped in base after step 2 of 8"):
        go(tmp_path / "runs", parts, data="python-docs")
    run = Run.open(tmp_path / "runs", "tiny")
    assert run.config["source"]["bytes"] > 1_000_000
    assert run.config["stages"]["tokenizer"]["facts"]["bytes_per_token"] > 1.3
    assert len(run.metrics("base")) == 2


# The command


def command(folder: Path, *settings: str, before: str = "") -> subprocess.Popen:
    """python -m reference d4, with the tiny settings, in a folder of its own."""
    options = [f"--set={name}={value}" for name, value in TINY.items()] + [f"--set={setting}" for setting in settings]
    code = f"{before}import runpy, sys; sys.argv[0] = 'reference'; runpy.run_module('reference', run_name='__main__')"
    return subprocess.Popen(
        [sys.executable, "-c", code, "d4", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@needs_signals
def test_the_command(tmp_path: Path) -> None:
    """where a file cannot grow the command ends with a sentence and status 2; Ctrl-C with advice and status 130"""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000)); "
    full = command(tmp_path, "base_steps=3000", before=limit)
    printed, sentence = full.communicate()
    assert full.returncode == 2
    assert re.fullmatch(
        r"Cannot write runs/d4/metrics\.jsonl \(File too large\); .* run the same command again\.\n", sentence
    )
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

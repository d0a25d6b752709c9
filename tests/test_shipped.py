"""The checkpoints that come with the repository: written from a run, verified on loading, and gone on from."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from reference.errors import UserError
from reference.parts import Parts
from reference.pipeline import Order, make_run
from reference.presets import D4, get_preset, override
from reference.run import Run
from reference.shipped import SHIPPED, STAGES, fits, manifest, ship, shipped_model, shipped_tokenizer
from reference.stages.session import load_model, tokenizer_file
from reference.tokenizer import Tokenizer
from tests.tiny_run import PRESET, Whole

needs_shipped = pytest.mark.skipif(not SHIPPED.exists(), reason="checkpoints/ is not here; nox -s checkpoints makes it")


def test_ship_and_load(whole: Whole, tmp_path: Path) -> None:
    """what is shipped is the model of every stage, rounded to bfloat16, and the tokenizer"""
    written = ship(whole.run, tmp_path)
    files = [tmp_path / name for name in manifest(tmp_path)["sha256"]]
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(["MANIFEST.json", *(file.name for file in files)])
    assert written == sum(file.stat().st_size for file in files)
    for stage in STAGES:
        theirs = load_model(whole.run, stage, Parts()).state_dict()
        ours = shipped_model(stage, Parts(), directory=tmp_path).state_dict()
        assert all(ours[name].equal(theirs[name].bfloat16().float()) for name in theirs)
    assert shipped_tokenizer(tmp_path).encode("The capital") == Tokenizer.load(tokenizer_file(whole.run)).encode(
        "The capital"
    )
    assert manifest(tmp_path)["seed"] == whole.run.config["seed"]
    assert fits(PRESET, "primer", tmp_path)
    assert not fits(D4, "primer", tmp_path)
    assert not fits(PRESET, "python-docs", tmp_path)


@pytest.mark.parametrize("name", ["base.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_damage_is_noticed(whole: Whole, tmp_path: Path, name: str, damage: str) -> None:
    """a file that is not the manifest's is one sentence that says how to get it back"""
    ship(whole.run, tmp_path)
    file = tmp_path / name
    data = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(data[:-3] if damage == "cut" else data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(UserError, match=rf"{name} (cannot be read|is not the file).*nox -s checkpoints\.$"):
        shipped_tokenizer(tmp_path) if name == "tokenizer.json" else shipped_model("base", Parts(), directory=tmp_path)


def test_no_manifest(tmp_path: Path) -> None:
    """where there is none, nothing fits, and asking for a model says so"""
    assert not fits(D4, "primer", tmp_path)
    with pytest.raises(UserError, match=r"MANIFEST.json is missing or damaged"):
        manifest(tmp_path)


def test_an_unfinished_run_is_not_shipped(whole: Whole, tmp_path: Path) -> None:
    """a run whose rl is missing cannot be shipped, and nothing is written"""
    root = whole.copy(tmp_path, "rl")
    with pytest.raises(UserError, match="its stage rl is not complete"):
        ship(Run.open(root, "tiny"), tmp_path / "shipped")
    assert not (tmp_path / "shipped").exists()


@needs_shipped
def test_what_is_here_is_the_default_run() -> None:
    """checkpoints/ fits the preset d4, is small, says how it was made, and its models know the capital of France"""
    known = manifest()
    assert (known["preset"], known["seed"], known["data"]) == ("d4", 0, "primer")
    assert fits(D4, "primer")
    sizes = [file.stat().st_size for file in SHIPPED.iterdir()]
    assert max(sizes) <= 10_000_000
    assert sum(sizes) <= 40_000_000
    tokenizer = shipped_tokenizer()
    ids = [tokenizer.special["bos"], *tokenizer.encode("The capital of France is")]
    for stage in STAGES:
        model = shipped_model(stage, Parts())
        assert all(torch.isfinite(weight).all() for weight in model.state_dict().values())
        if stage == "base":
            assert tokenizer.decode([int(model(torch.tensor([ids]))[0, -1].argmax())]) == " Paris"


@needs_shipped
def test_a_run_can_begin_in_the_middle(tmp_path: Path) -> None:
    """--from rl of a run that has nothing takes the stages before it from checkpoints/, and says so"""
    small = {"rl.steps": "1", "rl.prompts": "4", "rl.samples": "2", "judged_examples": "2", "rl.rehearsal_rows": "1"}
    small |= {"rl.max_tokens": "8", "answer_tokens": "6"}
    console = Console(file=io.StringIO(), width=100)
    order = Order(tmp_path, "mid", override(get_preset("d4"), small), 3, "primer", "rl")
    run = make_run(order, Parts(), console, "cpu")
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert [line for line in said.splitlines() if "taken from checkpoints/" in line][-1].startswith("sft")
    assert run.is_complete("rl")
    report = json.loads((run.path / "report.json").read_text())
    assert report["stages"]["base"]["seconds"] == 0
    right = manifest()["stages"]["sft"]["tasks"]["two_step"]["correct"]
    assert report["tasks"]["two_step"]["sft"] == pytest.approx(right / 256)
    with pytest.raises(UserError, match="holds another kind of model"):
        make_run(Order(tmp_path, "other", override(order.preset, {"depth": "2"}), 0, "primer", "rl"), Parts(), console)

"""Presets: what a depth means, and which single values can be changed."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, is_dataclass

import pytest
import torch

from reference.errors import UserError
from reference.model import GPT, GPTConfig
from reference.parts import Parts
from reference.presets import PRESETS, ChatPlan, get_preset, override

D4 = get_preset("d4")


@pytest.mark.parametrize(
    ("depth", "width", "heads", "head_dim"),
    [
        (1, 64, 1, 64),
        (4, 256, 2, 128),
        (12, 768, 6, 128),
        (20, 1280, 10, 128),
        (26, 1664, 13, 128),
        (32, 2048, 16, 128),
    ],
)
def test_depth_sets_the_rest(depth: int, width: int, heads: int, head_dim: int) -> None:
    """64 columns a layer, heads of 128: nanochat's rule"""
    config = override(D4, {"depth": str(depth)}).model_config(1000)
    assert config == GPTConfig(1000, depth, heads, heads, width, D4.sequence_len)
    assert config.head_dim == head_dim


@pytest.mark.parametrize("depth", [2, 3])
def test_small_depths_make_a_model(depth: int) -> None:
    """heads share the width evenly also where 128 does not divide it, and their dimension is even, as rope needs"""
    config = override(D4, {"depth": str(depth), "sequence_len": "8"}).model_config(300)
    assert config.n_head == -(-64 * depth // 128)
    assert config.n_head * config.head_dim == config.n_embd == 64 * depth
    assert config.head_dim % 2 == 0
    assert GPT(config, Parts())(torch.zeros(1, 8, dtype=torch.int64)).shape == (1, 8, 300)


def test_presets_by_name() -> None:
    """every preset is found by its own name; an unknown one gives a sentence that names them all"""
    assert all(get_preset(name) is preset and preset.name == name for name, preset in PRESETS.items())
    with pytest.raises(UserError, match=r"^There is no preset 'd5'; there are? d4"):
        get_preset("d5")


def test_the_settings_survive_run_json() -> None:
    """a run recognizes its preset by what run.json says of it"""
    for preset in PRESETS.values():
        assert json.loads(json.dumps(asdict(preset))) == asdict(preset)


def test_single_values_can_be_changed() -> None:
    """numbers by name, those of a stage behind its name; all others stay, and the preset itself is not touched"""
    before = asdict(D4)
    changed = override(D4, {"base_steps": "7", "mid.rate": "0.25", "rl.steps": "3", "mid.steps": "9", "depth": "2"})
    assert (changed.base_steps, changed.depth, changed.rl.steps) == (7, 2, 3)
    assert changed.mid == ChatPlan(9, 0.25, D4.mid.base_share, D4.mid.two_step_examples)
    expected = before | {"base_steps": 7, "depth": 2}
    expected |= {"mid": before["mid"] | {"rate": 0.25, "steps": 9}, "rl": before["rl"] | {"steps": 3}}
    assert asdict(changed) == expected
    assert asdict(D4) == before
    assert override(D4, {}) == D4


def test_every_number_of_a_preset_can_be_changed() -> None:
    """no setting of a preset or of a stage's plan is out of reach, and each keeps its type"""
    for field in fields(D4):
        value = getattr(D4, field.name)
        inner = [f"{field.name}.{f.name}" for f in fields(value)] if is_dataclass(value) else [field.name]
        for name in inner:
            old = getattr(value, name.rpartition(".")[2]) if is_dataclass(value) else value
            if isinstance(old, int | float):
                changed = override(D4, {name: "3"})
                new = getattr(changed, field.name)
                new = getattr(new, name.rpartition(".")[2]) if is_dataclass(value) else new
                assert (new, type(new)) == (3, type(old)), name


@pytest.mark.parametrize(
    "name",
    ["steps", "base_step", "", ".", "mid", "mid.", ".steps", "mid.step", "rl.steps.x", "name", "__doc__", "a.b.c"],
)
def test_a_setting_that_does_not_exist(name: str) -> None:
    """a name that is no number of the preset gives a sentence with that name in it"""
    with pytest.raises(UserError, match=rf"^There is no setting {name!r} in preset d4; see reference/presets\.py"):
        override(D4, {name: "1"})


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("base_steps", "many", "a whole number"),
        ("base_steps", "10.5", "a whole number"),
        ("base_steps", "1e3", "a whole number"),
        ("base_steps", "", "a whole number"),
        ("rl.steps", "0x10", "a whole number"),
        ("mid.rate", "half", "a number"),
        ("mid.rate", "0,5", "a number"),
    ],
)
def test_a_value_that_does_not_fit(name: str, text: str, kind: str) -> None:
    """a text that is no such number gives a sentence with the setting, what it needs, and the text"""
    with pytest.raises(UserError, match=rf"^{name} needs {kind}, not {text!r}\.$"):
        override(D4, {name: text})

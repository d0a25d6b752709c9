"""Presets: what a depth means, and which single values can be changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, fields, is_dataclass
from typing import Any

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


@pytest.mark.parametrize("head_dim", [2, 3, 64, 100, 128, 10**9])
def test_heads_of_every_depth(head_dim: int) -> None:
    """at every depth, odd ones too, heads share the width evenly and are of even size, none larger than asked for"""
    for depth in range(1, 101):
        config = override(D4, {"depth": str(depth), "head_dim": str(head_dim)}).model_config(1000)
        assert config.n_head * config.head_dim == config.n_embd == 64 * depth
        assert config.head_dim % 2 == 0
        assert config.head_dim <= head_dim
        if (64 * depth) % head_dim == 0 and head_dim % 2 == 0:
            assert config.head_dim == head_dim


def test_heads_of_odd_depths() -> None:
    """where ceil(width / 128) heads are of even size there are so many, as in nanochat; elsewhere the next that are"""
    heads = {depth: override(D4, {"depth": str(depth)}).model_config(1000).n_head for depth in range(1, 32, 2)}
    assert [heads[depth] for depth in (1, 3, 7, 15, 31)] == [1, 2, 4, 8, 16]
    assert [heads[depth] for depth in (5, 9, 11, 13)] == [4, 6, 8, 8]


@pytest.mark.parametrize("depth", [2, 3, 5, 9])
def test_small_depths_make_a_model(depth: int) -> None:
    """a model of a depth that 128 columns a head do not divide runs"""
    config = override(D4, {"depth": str(depth), "sequence_len": "8"}).model_config(300)
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


def numbers(part: Any, prefix: str = "") -> Iterator[tuple[str, int | float]]:
    """Every number in a preset or in a part of it, with its name."""
    for field in fields(part):
        value = getattr(part, field.name)
        if is_dataclass(value):
            yield from numbers(value, f"{prefix}{field.name}.")
        elif not isinstance(value, str):
            yield prefix + field.name, value


def test_every_number_of_a_preset_can_be_changed() -> None:
    """no setting of a preset or of a stage's plan is out of reach, each keeps its type, and no other one changes"""
    before = dict(numbers(D4))
    assert before.keys() >= {"depth", "base_warmdown", "mid.rate", "rl.steps", "rl.rates.matrix", "head_dim"}
    for name, old in before.items():
        new = 300 if isinstance(old, int) else 0.125
        after = dict(numbers(override(D4, {name: str(new)})))
        assert type(after[name]) is type(old)
        assert after == before | {name: new}


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("base_steps", 1, 10**9),
        ("rl.warmup", 1, 10**9),
        ("rl.rehearsal_rows", 1, 10**9),
        ("rl.prompts", 1, 512),
        ("vocab_size", 265, 10**9),
        ("head_dim", 2, 10**9),
        ("sft.two_step_examples", 0, 10**9),
        ("mid.base_share", 0.0, 1.0),
        ("base_warmdown", 0.0, 1.0),
        ("rl.rates.head", 0.0, 1e9),
    ],
)
def test_how_far_a_number_can_be_changed(name: str, low: float, high: float) -> None:
    """both ends of its range are taken, and what lies beyond them gives a sentence with the range"""
    for text in (str(low), str(high)):
        assert dict(numbers(override(D4, {name: text})))[name] == float(text)
    for text in (str(low - 1), str(high + 1), "-7", "1" + 400 * "0"):
        with pytest.raises(
            UserError, match=rf"^{name} needs a .*number from {low:.0f} to {high:,.0f}, not '{text}'\.$"
        ):
            override(D4, {name: text})


@pytest.mark.parametrize(
    "name",
    [
        "steps",
        "base_step",
        "",
        ".",
        "mid",
        "mid.",
        ".steps",
        "mid.step",
        "rl.steps.x",
        "name",
        "__doc__",
        "a.b.c",
        "__class__.head_dim",
    ],
)
def test_a_setting_that_does_not_exist(name: str) -> None:
    """a name that is no number of the preset gives a sentence with that name in it"""
    with pytest.raises(UserError, match=rf"^There is no setting {name!r}; see reference/presets\.py"):
        override(D4, {name: "1"})


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("base_steps", "many", "a whole number from 1"),
        ("base_steps", "10.5", "a whole number from 1"),
        ("base_steps", "1e3", "a whole number from 1"),
        ("base_steps", "", "a whole number from 1"),
        ("base_steps", "9" * 5000, "a whole number from 1"),
        ("rl.steps", "0x10", "a whole number from 1"),
        ("mid.rate", "half", "a number from 0"),
        ("mid.rate", "0,5", "a number from 0"),
        ("mid.rate", "nan", "a number from 0"),
        ("rl.rates.matrix", "inf", "a number from 0"),
        ("rl.rates.matrix", "-inf", "a number from 0"),
    ],
)
def test_a_value_that_does_not_fit(name: str, text: str, kind: str) -> None:
    """a text that is no such number gives a sentence with the setting, what it needs, and the text"""
    with pytest.raises(UserError, match=rf"^{name} needs {kind} to 1,000,000,000, not {text!r}\.$"):
        override(D4, {name: text})

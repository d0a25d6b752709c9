"""Depth sets parameters, FLOPs and steps: the figures that nanochat's runs are known by."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reference.model import GPT
from reference.parts import Parts
from reference.presets import PRESETS, at_scale
from reference.sizes import UPDATE_TOKENS, flops_per_token, matrix_parameters, mfu, parameters, training_steps


@pytest.mark.parametrize(
    ("depth", "width", "heads", "matrices", "embedding", "total", "flops", "steps", "training"),
    [
        (4, 256, 2, 3_145_728, 16_777_216, 36_700_160, 1.447e8, 1_400, 1.06e17),
        (12, 768, 6, 84_934_656, 50_331_648, 185_597_952, 1.038e9, 7_080, 3.85e18),
        (20, 1280, 10, 393_216_000, 83_886_080, 560_988_160, 3.492e9, 21_400, 3.92e19),
        (26, 1664, 13, 863_895_552, 109_051_904, 1_081_999_360, 6.901e9, 41_275, 1.49e20),
        (32, 2048, 16, 1_610_612_736, 134_217_728, 1_879_048_192, 1.208e10, 71_680, 4.54e20),
    ],
)
def test_the_table(
    depth: int,
    width: int,
    heads: int,
    matrices: int,
    embedding: int,
    total: int,
    flops: float,
    steps: int,
    training: float,
) -> None:
    """Width, heads, parameters, FLOPs and steps of a depth, at 65,536 tokens and rows of 2,048, are nanochat's."""
    preset = at_scale(depth)
    config = preset.model_config(preset.vocab_size)
    assert (config.n_embd, config.n_head, config.vocab_size, config.sequence_len) == (width, heads, 65_536, 2048)
    assert (matrix_parameters(config), config.padded_vocab_size * width) == (matrices, embedding)
    assert parameters(config) == total == 49_152 * depth**3 + 128 * 65_536 * depth
    assert flops_per_token(config) == pytest.approx(flops, rel=4e-4)
    assert preset.base_steps == training_steps(config) == steps
    assert preset.batch_rows * preset.sequence_len == UPDATE_TOKENS == 524_288
    assert flops_per_token(config) * steps * UPDATE_TOKENS == pytest.approx(training, rel=6e-3)


def test_the_presets() -> None:
    """There is a preset for each size, named after its depth; only d4 is taught the primer."""
    assert list(PRESETS) == ["d4", "d8", "d12", "d20", "d26", "d32"]
    assert all(name == f"d{preset.depth}" for name, preset in PRESETS.items())
    assert [name for name, preset in PRESETS.items() if preset.curriculum == "primer"] == ["d4"]


@pytest.mark.parametrize("n_kv_head", [1, 2])
def test_a_model_has_as_many(n_kv_head: int) -> None:
    """The formulas count what a model holds, also where heads are shared and the vocabulary is padded."""
    config = replace(at_scale(2).model_config(1000), n_head=2, n_kv_head=n_kv_head)
    weights = {name: weight.numel() for name, weight in GPT(config, Parts()).named_parameters()}
    assert parameters(config) == sum(weights.values())
    assert matrix_parameters(config) == sum(n for name, n in weights.items() if name.startswith("transformer.h."))


def test_utilization() -> None:
    """nanochat's d32, 524,288 tokens in 1.574 s on eight H100, was reported at 50.9%."""
    assert mfu(at_scale(32).model_config(65_536), 524_288 / 1.574, 8) == pytest.approx(0.509, abs=5e-4)

"""A loss that is no number is traced to the weight or the part that was none first."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from reference.blame import first_not_finite
from reference.model import GPT, GPTConfig
from reference.parts import Parts

CONFIG = GPTConfig(vocab_size=64, n_layer=2, n_head=2, n_kv_head=2, n_embd=32, sequence_len=16)


def model(parts: Parts | None = None) -> GPT:
    made = GPT(CONFIG, parts or Parts())
    made.init_weights(0)
    return made


@pytest.mark.parametrize(
    ("part", "name"), [("rmsnorm", "rms_norm"), ("rope", "apply_rotary"), ("attention", "causal_attention")]
)
def test_a_part(part: str, name: str) -> None:
    """The first part that turns numbers into others is named, not those that are given its NaN."""
    honest = getattr(Parts(), part)

    def poisoned(*args: Any, **kwargs: Any) -> torch.Tensor:
        result = getattr(honest, name)(*args, **kwargs)
        return result.index_fill(-1, torch.tensor([3]), torch.nan)

    parts = replace(Parts(), **{part: SimpleNamespace(**{**vars(honest), name: poisoned})})
    assert first_not_finite(model(parts), "x") == f"the part {part} makes it of finite numbers"


@pytest.mark.parametrize(
    ("weight", "who"),
    [("transformer.h.1.mlp.c_fc.weight", "the part muon"), ("lm_head.weight", "AdamW")],
)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_weight(weight: str, who: str, value: float) -> None:
    """A weight that is not finite is named, and who updates it."""
    made = model()
    with torch.no_grad():
        made.get_parameter(weight)[0, 0] = value
    assert first_not_finite(made, "x") == f"the weights {weight}, which {who} updates, are not finite"


def test_a_sound_model() -> None:
    """Where nothing is found the sentence says so, and the model is left as it is."""
    made = model()
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    assert first_not_finite(made, "the moon").endswith("so look at the moon")
    assert all(torch.equal(tensor, before[name]) for name, tensor in made.state_dict().items())

"""What the parts refuse beyond their contracts: the tests of the katas check the plain wrong types only."""

from __future__ import annotations

import math

import pytest
import torch

from reference.parts.bpe import decode, encode, merge, train
from reference.parts.grpo import policy_loss
from reference.parts.kv_cache import KVCache
from reference.parts.loss_mask import SPECIAL_NAMES, masked_cross_entropy, render
from reference.parts.muon import muon_step
from reference.parts.rmsnorm import rms_norm
from reference.parts.rope import rotary_tables
from reference.parts.tools import Dispatcher

ROW, MASK = torch.ones(1, 2), torch.tensor([[1.0, 0.0]])
LOGITS, TARGETS = torch.zeros(1, 2, 3), torch.zeros(1, 2, dtype=torch.int64)
SPECIAL = {name: 100 + i for i, name in enumerate(SPECIAL_NAMES)}


def parts(*parts: object) -> list[dict]:
    return [{"role": "user", "parts": list(parts)}]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: merge([1], (1, 2, 3), 9), ValueError, "pair"),
        (lambda: merge([1], [1, 2], 9), TypeError, "pair"),
        (lambda: train([b"ab"], 300), TypeError, "word_counts"),
        (lambda: encode(b"ab", [(97, 256)]), ValueError, "merges"),  # merge 0 cannot know id 256
        (lambda: decode([97], [(97, 98), (-1, 98)]), ValueError, "merges"),
        (lambda: decode([97], [(97, 98), (98, -1)]), ValueError, "merges"),
        (lambda: encode(b"ab", [(97, 98), (97, 98)]), ValueError, "merges"),
        (lambda: encode(b"ab", {}), TypeError, "merges"),
        (lambda: encode(b"ab", [[97, 98]]), TypeError, "merges"),
        (lambda: decode(b"ab", []), TypeError, "ids"),
        (lambda: rms_norm(ROW, math.nan), ValueError, "eps"),
        (lambda: rms_norm(ROW, "1e-6"), TypeError, "eps"),
        (lambda: rotary_tables(4, 8, "10000"), TypeError, "base"),
        (lambda: rotary_tables(4, 8, math.nan), ValueError, "base"),
        (lambda: muon_step(ROW, ROW, ROW, lr="0.1"), TypeError, "lr"),
        (lambda: muon_step(ROW, ROW, ROW, lr=math.nan), ValueError, "lr"),
        (lambda: muon_step(ROW, ROW, ROW, lr=0.1, momentum="0.9"), TypeError, "momentum"),
        (lambda: render("hello", SPECIAL), TypeError, "messages"),
        (lambda: render(["hello"], SPECIAL), TypeError, "messages"),
        (lambda: render([{"role": "user", "parts": "hello"}], SPECIAL), TypeError, "messages"),
        (lambda: render(parts("hello"), SPECIAL), TypeError, "messages"),
        (lambda: render(parts({"type": "text", "ids": (1,)}), SPECIAL), TypeError, "messages"),
        (lambda: render(parts({"type": "text", "ids": [1.0]}), SPECIAL), TypeError, "messages"),
        (lambda: render(parts(), list(SPECIAL)), TypeError, "special"),
        (lambda: render(parts(), SPECIAL, 3.0), TypeError, "max_tokens"),
        (lambda: masked_cross_entropy(LOGITS, TARGETS, 2 * MASK), ValueError, "mask"),
        (lambda: masked_cross_entropy(LOGITS, TARGETS, 0.5 * MASK), ValueError, "mask"),
        (lambda: masked_cross_entropy(LOGITS, TARGETS, math.nan * MASK), ValueError, "mask"),
        (lambda: policy_loss(ROW, ROW[0, :1], 2 * MASK), ValueError, "mask"),
        (lambda: policy_loss(ROW, ROW[0, :1], 0.5 * MASK), ValueError, "mask"),
        (lambda: policy_loss(ROW, ROW[0, :1], math.nan * MASK), ValueError, "mask"),
        (lambda: KVCache(1, 1, 1, 1, 1, torch.int64), TypeError, "dtype"),
        (lambda: KVCache(1, 1, 1, 1, 1, "float32"), TypeError, "dtype"),
        (lambda: Dispatcher(list(SPECIAL), str, str), TypeError, "special"),
        (lambda: Dispatcher(SPECIAL, "utf-8", str), TypeError, "encode"),
        (lambda: Dispatcher(SPECIAL, str, None), TypeError, "decode"),
        (lambda: Dispatcher(SPECIAL, str, str, "calculate"), TypeError, "tool"),
    ],
)
def test_wrong_types(call, error, words):
    """also odder wrong types, and what no number may be, are refused with a message that names the argument"""
    with pytest.raises(error, match=rf"^{words}\b.* should"):
        call()

"""The proofs: the worked answer holds in each of them, a wrong part does not, and what is told is there."""

from __future__ import annotations

import importlib
import io
from pathlib import Path

import pytest
from rich.console import Console

from dojo.curriculum import KATAS, Kata, find_kata
from dojo.proof import PROOFS
from dojo.proofs.outcome import Outcome
from reference.presets import override
from reference.shipped import SHIPPED
from tests.dojo.test_stack import answer, moved

pytestmark = pytest.mark.skipif(
    not SHIPPED.exists(), reason="checkpoints/ is not here; make it with nox -s checkpoints"
)
SMALL = {  # settings with which a proof that trains does it in a second or two
    "training": {"depth": "2", "base_steps": "8", "batch_rows": "4"},
    "masking": {"batch_rows": "2", "sft.steps": "3"},
    "rewards": {"rl.steps": "2", "rl.prompts": "4", "rl.samples": "8"},
}


def prove(kata: Kata) -> tuple[Outcome, str]:
    name = PROOFS[kata.name]
    printed = io.StringIO()
    module = importlib.import_module(f"dojo.proofs.{name}")
    small = {"preset": override(module.PRESET, SMALL[name])} if name in SMALL else {}
    return module.prove(kata, Console(file=printed, width=100), **small), printed.getvalue()


@pytest.mark.parametrize("name", [kata.name for kata in KATAS])
def test_the_answer_holds(name: str, tmp_path: Path) -> None:
    """a right part does what the reference's does, and its calls are told"""
    outcome, printed = prove(moved(name, tmp_path, answer(name)))
    told = " ".join(outcome.lines)
    assert outcome.holds, told
    assert "calls of your code: " in told
    assert "calls of your code: 0" not in told
    assert len(outcome.sentence) > 20
    charts = {"training": "the reference's", "masking": "the reference's", "rewards": "with your policy loss"}
    assert charts.get(PROOFS[name], "") in printed


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("bpe", "_t = train\ndef train(word_counts, vocab_size):\n    return _t(word_counts, vocab_size)[:-1]\n"),
        ("rmsnorm", "def rms_norm(x, eps=1e-6):\n    return x / (x.square().sum(-1, keepdim=True) + eps).sqrt()\n"),
        ("attention", "def causal_attention(q, k, v):\n    return v.square()\n"),
        ("muon", "def muon_step(w, g, b, *, lr, momentum=0.95, steps=5):\n    return w - lr * g, b * 1.0\n"),
        ("loss_mask", "_m = masked_cross_entropy\ndef masked_cross_entropy(l, t, m):\n    return 2 * _m(l, t, m)\n"),
        ("grpo", "_p = policy_loss\ndef policy_loss(l, a, m):\n    return _p(l, a, m) * m.sum() / m.numel()\n"),
        ("kv_cache", "_i = KVCache.insert\nclass KVCache(KVCache):\n    def insert(self, layer, k, v):\n"
         "        k, v = _i(self, layer, k, v)\n        return k * 1.01, v.flip(2)\n"),
        ("tools", "def calculate(expression):\n    return '7'\n_D = Dispatcher\nclass Dispatcher(_D):\n"
         "    def __init__(self, special, encode, decode, tool=calculate):\n        super().__init__(special, encode, "
         "decode, calculate)\n"),
    ],
)  # fmt: skip
def test_a_wrong_part_does_not_hold(name: str, ending: str, tmp_path: Path) -> None:
    """a part that does something else in the stack is seen there, whatever its tests said"""
    outcome, _ = prove(moved(name, tmp_path, f"{answer(name)}\n\n{ending}"))
    assert not outcome.holds


def test_every_kata_has_a_proof() -> None:
    """none is left out"""
    assert set(PROOFS) == {kata.name for kata in KATAS}
    assert find_kata("bpe") is KATAS[0]

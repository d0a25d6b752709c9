"""What torch.compile is given at scale: one graph with the eager code's numbers, and parts that are still counted."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch._dynamo.utils import counters

from bench._peer import random_model
from reference.compiled import compiled_trunk
from reference.loss import _chunk, fusible_chunk
from reference.memory import KEPT_COMPILED
from reference.model import GPT, GPTConfig
from reference.parts import Parts
from reference.parts.provenance import counted

CONFIG = GPTConfig(vocab_size=100, n_layer=2, n_head=2, n_kv_head=1, n_embd=32, sequence_len=16)


def test_the_trunk_is_one_graph() -> None:
    """Compiled, the model has the loss and the gradients that it has without, in one graph for all its blocks."""
    eager = random_model(CONFIG)
    parts, calls = counted(Parts())
    model = GPT(CONFIG, parts)
    model.load_state_dict(eager.state_dict())
    once = dict.fromkeys(calls, 0)
    before = dict(calls)
    model.hidden(torch.zeros(1, 1, dtype=torch.int64))
    once = {part: calls[part] - before[part] for part in calls}
    model.trunk = compiled_trunk(model, calls, backend="aot_eager")  # all but writing the kernels
    ids, targets = torch.randint(100, (2, 2, 16), generator=torch.Generator().manual_seed(0))
    counters.clear()
    before = dict(calls)
    for passes in (1, 2, 3):
        loss, expected = model.loss(ids, targets), eager.loss(ids, targets)
        assert loss.item() == pytest.approx(expected.item(), abs=1e-6)
        assert {part: calls[part] - before[part] for part in calls} == {part: passes * n for part, n in once.items()}
    loss.backward()
    expected.backward()
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight.grad, eager.get_parameter(name).grad, atol=1e-6, rtol=1e-5)
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]
    assert once["rmsnorm"] == 2 + 3 * 2


def test_what_the_backward_pass_keeps() -> None:
    """A layer more keeps 14 numbers of width C a token more, in bfloat16, and its weights: what plan counts with."""

    def fused(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:  # as on a GPU: no logits to keep
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    def kept(n_layer: int) -> int:
        config = GPTConfig(vocab_size=64, n_layer=n_layer, n_head=2, n_kv_head=2, n_embd=256, sequence_len=256)
        model = GPT(config, replace(Parts(), attention=SimpleNamespace(causal_attention=fused)), torch.bfloat16)
        model.hidden(torch.zeros(1, 1, dtype=torch.int64))
        storages = {}

        def note(tensor: torch.Tensor) -> torch.Tensor:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        trunk = torch.compile(model.hidden, dynamic=False, backend="aot_eager_decomp_partition")
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            x = trunk(torch.zeros(2, 256, dtype=torch.int64))
        assert x.requires_grad
        weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
        return sum(size for place, size in storages.items() if place not in weights)

    of_a_layer = (kept(4) - kept(2)) / 2 - 2 * 12 * 256**2
    assert of_a_layer / (2 * 256 * 512) == pytest.approx(KEPT_COMPILED, abs=0.2)  # and some numbers of a row each


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_chunk_for_the_compiler(dtype: torch.dtype) -> None:
    """Losses and derivatives of the version that is compiled on GPUs are those of the one that runs on CPUs."""
    generator = torch.Generator().manual_seed(0)
    h, w = (torch.randn(n, 24, generator=generator).to(dtype) for n in (17, 50))
    t = torch.randint(50, (17, 1), generator=generator)
    for ours, theirs in zip(fusible_chunk(h, w, t), _chunk(h, w, t), strict=True):
        assert ours.dtype == theirs.dtype
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)

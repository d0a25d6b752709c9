"""What torch.compile is given at scale: one graph with the eager code's numbers, and parts that are still counted."""

from __future__ import annotations

import pytest
import torch
from torch._dynamo.utils import counters

from bench._peer import random_model
from reference.compiled import compiled_trunk
from reference.loss import _chunk, fusible_chunk
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_chunk_for_the_compiler(dtype: torch.dtype) -> None:
    """Losses and derivatives of the version that is compiled on GPUs are those of the one that runs on CPUs."""
    generator = torch.Generator().manual_seed(0)
    h, w = (torch.randn(n, 24, generator=generator).to(dtype) for n in (17, 50))
    t = torch.randint(50, (17, 1), generator=generator)
    for ours, theirs in zip(fusible_chunk(h, w, t), _chunk(h, w, t), strict=True):
        assert ours.dtype == theirs.dtype
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)

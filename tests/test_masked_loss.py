"""The masked loss at scale, of which the part loss_mask sees a portion at a time."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from reference.model import GPT, GPTConfig
from reference.parts import Parts
from reference.stages.scaled_chat import LOGIT_ROWS, masked_loss


def test_the_masked_loss_in_portions() -> None:
    """More tokens than are taken at once give the part's own loss and gradients, and the part never sees them all."""
    config = GPTConfig(vocab_size=50, n_layer=1, n_head=1, n_kv_head=1, n_embd=16, sequence_len=128)
    seen: list[int] = []

    def masked_cross_entropy(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        seen.append(targets.numel())
        return Parts().loss_mask.masked_cross_entropy(logits, targets, mask)

    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(50, (70, 129), generator=generator)
    mask = torch.rand(70, 129, generator=generator) < 0.3
    mask[-40:] = False  # the last portion has nothing to learn
    session = SimpleNamespace(parts=Parts(loss_mask=SimpleNamespace(masked_cross_entropy=masked_cross_entropy)))
    portions, whole = GPT(config, Parts()), GPT(config, Parts())
    portions.init_weights(0)
    whole.init_weights(0)
    loss = masked_loss(session, portions, ids, mask)  # type: ignore[arg-type]
    expected = Parts().loss_mask.masked_cross_entropy(whole(ids[:, :-1]), ids[:, 1:], mask[:, 1:])
    loss.backward()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(portions.lm_head.weight.grad, whole.lm_head.weight.grad, atol=1e-6, rtol=1e-4)
    assert max(seen) == LOGIT_ROWS < 70 * 128

"""The attention part's branch for GPUs, which runs on any device, against attention in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from katas.close import assert_close
from reference.parts.attention import _fused


def witness(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Every head with a key/value head of its own, and the mask written out query by query."""
    G, Tq, Tk = q.shape[1] // k.shape[1], q.shape[2], k.shape[2]
    sees = torch.tensor([[j <= Tk - Tq + i for j in range(Tk)] for i in range(Tq)])
    return F.scaled_dot_product_attention(
        q, k.repeat_interleave(G, dim=1), v.repeat_interleave(G, dim=1), attn_mask=sees
    )


@pytest.mark.parametrize(
    ("B", "H", "Hkv", "Tq", "Tk", "D"),
    [
        (1, 2, 1, 2, 2, 4),
        (2, 3, 3, 5, 5, 4),
        (2, 4, 2, 7, 7, 8),
        (2, 4, 2, 3, 8, 8),
        (3, 4, 2, 1, 9, 8),
        (1, 3, 3, 3, 4, 64),
    ],
)
def test_the_branch_for_gpus(B, H, Hkv, Tq, Tk, D):
    """its results and the gradients of all three are those of attention in float64 with a mask"""
    generator = torch.Generator().manual_seed(0)
    shapes = ((B, H, Tq, D), (B, Hkv, Tk, D), (B, Hkv, Tk, D))
    ours = [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]
    theirs = [x.detach().double().requires_grad_() for x in ours]
    g = torch.randn(shapes[0], generator=generator)
    y, expected = _fused(*ours), witness(*theirs)
    (y * g).sum().backward()  # backward(g) would import sympy, for seconds
    (expected * g.double()).sum().backward()
    assert_close(y, expected.float(), rtol=1e-5, atol=1e-6)
    for x, other in zip(ours, theirs, strict=True):
        assert_close(x.grad, other.grad.float(), rtol=1e-5, atol=3e-6)

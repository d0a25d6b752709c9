"""The attention part against scaled_dot_product_attention in float64, given an explicit mask."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from reference.parts import attention
from reference.parts.attention import causal_attention


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def inputs(B: int, H: int, Hkv: int, Tq: int, Tk: int, D: int) -> tuple[Tensor, Tensor, Tensor]:
    return random(B, H, Tq, D), random(B, Hkv, Tk, D, seed=1), random(B, Hkv, Tk, D, seed=2)


def witness(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Every head with a key/value head of its own, and the mask written out query by query."""
    G, Tq, Tk = q.shape[1] // k.shape[1], q.shape[2], k.shape[2]
    sees = torch.tensor([[j <= Tk - Tq + i for j in range(Tk)] for i in range(Tq)])
    k, v = (x.double().repeat_interleave(G, dim=1) for x in (k, v))
    return F.scaled_dot_product_attention(q.double(), k, v, attn_mask=sees)


SIZES = [  # B, H, Hkv, Tq, Tk, D
    (1, 1, 1, 1, 1, 1),
    (2, 3, 3, 5, 5, 4),
    (2, 4, 2, 7, 7, 8),
    (1, 6, 1, 4, 4, 4),
    (2, 4, 2, 3, 8, 8),
    (2, 4, 4, 2, 9, 16),
    (3, 4, 2, 1, 9, 8),
    (1, 2, 2, 1, 6, 4),
    (1, 3, 3, 3, 4, 64),  # all sizes that could be taken for one another are equal
]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("kernel", [causal_attention, attention._fused])
def test_equals_pytorch(kernel, size):
    """PyTorch's own, in float64, gives the same; so does the branch for GPUs, which runs on any device"""
    q, k, v = inputs(*size)
    assert_close(kernel(q, k, v).double(), witness(q, k, v), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("kernel", [causal_attention, attention._fused])
def test_gradient_equals_pytorch(kernel, size):
    """the gradients of all three, too"""
    ours = [x.requires_grad_() for x in inputs(*size)]
    theirs = [x.detach().double().requires_grad_() for x in ours]
    g = random(*ours[0].shape, seed=3)
    kernel(*ours).backward(g)
    witness(*theirs).backward(g.double())
    for x, y in zip(ours, theirs, strict=True):
        assert_close(x.grad.double(), y.grad, rtol=1e-5, atol=3e-6)


@pytest.mark.parametrize(("dtype", "half_a_unit"), [(torch.bfloat16, 2**-8), (torch.float16, 2**-11)])
@pytest.mark.parametrize("Tq", [1, 40])
def test_rounded_once(dtype, half_a_unit, Tq):
    """float32 inside: the result is the exact value rounded to its own dtype, probabilities unrounded"""
    q, k, v = (x.to(dtype) for x in inputs(2, 4, 2, Tq, 40, 32))
    y = causal_attention(q, k, v)
    assert y.dtype == dtype
    assert_close(y.double(), witness(q, k, v), rtol=1.001 * half_a_unit, atol=2e-6)


def test_the_future_is_invisible():
    """other keys and values from position 4 on change nothing before it, not by a bit"""
    q, k, v = inputs(2, 4, 2, 6, 6, 8)
    k2, v2 = k.clone(), v.clone()
    k2[:, :, 4:] = 50.0
    v2[:, :, 4:] = -50.0
    before, after = causal_attention(q, k, v), causal_attention(q, k2, v2)
    assert torch.equal(before[:, :, :4], after[:, :, :4])
    assert not torch.isclose(before[:, :, 4:], after[:, :, 4:]).any()
    assert_close(before[:, ::2, 0], v[:, :, 0])  # the first position sees itself alone


def test_the_last_queries():
    """three queries against all keys give the last three rows of the full result"""
    q, k, v = inputs(2, 4, 2, 8, 8, 16)
    for count in (1, 3):
        assert_close(causal_attention(q[:, :, -count:], k, v), causal_attention(q, k, v)[:, :, -count:])


@pytest.mark.parametrize("Tq", [1, 3])
@pytest.mark.parametrize("size", [20.0, 1e18])
def test_large_logits_stay_finite(Tq, size):
    """exp(400) is more than float32 can hold, and q.k = 8e36 more than most can stand"""
    q, k, v = inputs(1, 2, 2, Tq, 3, 8)
    q, k = q.sign() * size, k.sign() * size
    for x in (q, k, v):
        x.requires_grad_()
    y = causal_attention(q, k, v)
    y.sum().backward()
    for x in (y, q.grad, k.grad, v.grad):
        assert x.isfinite().all()
    assert_close(y.double(), witness(q, k, v), rtol=1e-4, atol=1e-5)


def test_zeros_have_finite_gradients():
    """with zero queries everything visible weighs the same, and the gradients are finite"""
    q, k, v = (torch.zeros_like(x) for x in inputs(1, 2, 1, 4, 4, 8))
    v += torch.arange(4.0)[:, None]
    for x in (q, k, v):
        x.requires_grad_()
    y = causal_attention(q, k, v)
    y.sum().backward()
    assert_close(y[0, 0, :, 0], torch.tensor([0, 0.5, 1, 1.5]))
    assert all(x.grad.isfinite().all() for x in (q, k, v))


def test_strided_inputs():
    """(B, T, H, D) transposed, slices of a longer cache, expanded batches"""
    q, k, v = (
        random(2, 5, 4, 8).transpose(1, 2),
        random(2, 2, 9, 8)[:, :, :6],
        random(2, 6, 2, 8).transpose(1, 2),
    )
    assert_close(causal_attention(q, k, v).double(), witness(q, k, v), rtol=1e-5, atol=1e-6)
    k, v = k[:1].expand(2, -1, -1, -1), v[:, :1].expand(-1, 2, -1, -1)
    assert_close(causal_attention(q, k, v).double(), witness(q, k, v), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(2, 4, 2, 5, 5, 8), (1, 1, 1, 1, 1, 4)], ids=str)
def test_pure(odd_globals, size):
    """arguments stay as they were, the result is new memory, and no global matters"""
    tensors = inputs(*size)
    before = [x.clone() for x in tensors]
    expected = causal_attention(*tensors)
    with odd_globals():
        y = causal_attention(*tensors)
    assert torch.equal(y, expected)
    assert y.dtype == torch.float32
    y.fill_(math.nan)
    for tensor, old in zip(tensors, before, strict=True):
        assert torch.equal(tensor, old)


Q, K = torch.ones(2, 4, 3, 8), torch.ones(2, 2, 5, 8)


@pytest.mark.parametrize(
    ("q", "k", "v", "error", "name"),
    [
        (Q[0], K, K, ValueError, "q"),
        (Q, K[0], K, ValueError, "k"),
        (Q, K, K[0], ValueError, "v"),
        (Q, torch.ones(2, 3, 5, 8), torch.ones(2, 3, 5, 8), ValueError, "q"),  # 4 heads for 3
        (torch.ones(2, 1, 3, 8), K, K, ValueError, "q"),  # more key/value heads than query heads
        (Q, K[:, :, :2], K[:, :, :2], ValueError, "k"),  # fewer keys than queries
        (Q, K[:1], K, ValueError, "k"),  # would broadcast
        (Q, K, K[:, :1], ValueError, "v"),
        (Q, K, K[:, :, :4], ValueError, "v"),
        (Q, K[..., :4], K, ValueError, "k"),
        (Q, K, K[..., :4], ValueError, "v"),
        (Q, K.bfloat16(), K, ValueError, "k"),
        (Q, K, K.half(), ValueError, "v"),
        (Q.tolist(), K, K, TypeError, "q"),
        (Q, K.tolist(), K, TypeError, "k"),
        (Q, K, K.long(), TypeError, "v"),
    ],
)
def test_bad_input(q, k, v, error, name):
    """bad input is refused with a message that names the argument"""
    with pytest.raises(error, match=rf"^{name} should"):
        causal_attention(q, k, v)

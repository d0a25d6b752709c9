"""The rmsnorm part against torch.nn.functional.rms_norm in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from reference.parts.rmsnorm import rms_norm


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(7,), (1,), (5, 5), (2, 3, 4), (2, 1, 3, 300)])
@pytest.mark.parametrize("eps", [1e-6, 0.5, 0.0])
def test_equals_pytorch(shape, eps):
    """PyTorch's own, in float64, gives the same; 1e-6 is a few roundings of float32"""
    x = random(*shape) * 3 + 1  # not centered, so that a subtracted mean would show
    expected = F.rms_norm(x.double(), shape[-1:], eps=eps)
    assert_close(rms_norm(x, eps).double(), expected, rtol=1e-6, atol=0)


def test_default_eps():
    """without an eps it is 1e-6, and it stands under the root: sqrt(1e-6 + 1e-6) is no other combination"""
    x = torch.full((1, 4), 1e-3)
    assert_close(rms_norm(x), torch.full((1, 4), 0.5**0.5), rtol=1e-6, atol=0)


@pytest.mark.parametrize(("dtype", "half_a_unit"), [(torch.bfloat16, 2**-8), (torch.float16, 2**-11)])
def test_rounded_once(dtype, half_a_unit):
    """float32 inside: the result is as near to the exact value as x's dtype allows, and keeps that dtype"""
    x = (random(64, 256) * 30).to(dtype)
    y = rms_norm(x)
    assert y.dtype == dtype
    assert_close(y.double(), F.rms_norm(x.double(), (256,), eps=1e-6), rtol=1.001 * half_a_unit, atol=1e-7)


def test_float16_does_not_overflow():
    """300^2 is more than float16 can hold"""
    x = torch.full((2, 8), 300.0, dtype=torch.float16)
    assert_close(rms_norm(x), torch.ones_like(x))


@pytest.mark.parametrize("eps", [1e-6, 0.3])
def test_gradient_equals_pytorch(eps):
    """the gradient, too; the atol is one float32 rounding of the largest term"""
    x, g = random(3, 4, 50) * 2 + 1, random(3, 4, 50, seed=1)
    ours, theirs = x.clone().requires_grad_(), x.double().requires_grad_()
    rms_norm(ours, eps).backward(g)
    F.rms_norm(theirs, (50,), eps=eps).backward(g.double())
    assert_close(ours.grad.double(), theirs.grad, rtol=1e-5, atol=1e-6)


def test_gradient_keeps_the_dtype():
    """a bfloat16 input gets a bfloat16 gradient, rounded once"""
    x = random(4, 64).bfloat16()
    g = random(4, 64, seed=1).bfloat16()
    ours, theirs = x.clone().requires_grad_(), x.double().requires_grad_()
    rms_norm(ours).backward(g)
    F.rms_norm(theirs, (64,), eps=1e-6).backward(g.double())
    assert ours.grad.dtype == torch.bfloat16
    assert_close(ours.grad.double(), theirs.grad, rtol=1.001 * 2**-8, atol=1e-6)


def test_a_row_of_zeros():
    """zeros stay zeros, and their gradient is g / sqrt(eps)"""
    x = torch.zeros(2, 4, requires_grad=True)
    y = rms_norm(x, 1e-4)
    y.backward(torch.ones(2, 4))
    assert torch.equal(y.detach(), torch.zeros(2, 4))
    assert_close(x.grad, torch.full((2, 4), 100.0))


def test_no_silent_second_derivative():
    """the gradient written by hand cannot be differentiated again, and says so instead of being wrong"""
    x = random(2, 4).requires_grad_()
    (gradient,) = torch.autograd.grad(rms_norm(x).pow(2).sum() + x.pow(3).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        gradient.sum().backward()


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.transpose(0, 1),
        lambda x: x[::2, :, 1::2],
        lambda x: x[:1].expand(5, -1, -1),
        lambda x: x[..., :1].expand(-1, -1, 3),
    ],
)
def test_strided_inputs(view):
    """views, strides and expanded axes give what their contiguous copies give"""
    x = view(random(4, 3, 6))
    assert_close(rms_norm(x), rms_norm(x.contiguous()), rtol=0, atol=1e-6)


def test_pure(odd_globals):
    """the argument stays as it was, the result is new memory, and no global matters"""
    x = random(3, 8)
    before, expected = x.clone(), rms_norm(x)
    with odd_globals():
        y = rms_norm(x)
    assert torch.equal(y, expected)
    assert y.dtype == torch.float32
    y.zero_()
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: rms_norm(torch.tensor(1.0)), ValueError, "x"),
        (lambda: rms_norm(torch.ones(2), -1e-6), ValueError, "eps"),
        (lambda: rms_norm(torch.ones(2), float("nan")), ValueError, "eps"),
        (lambda: rms_norm([1.0, 2.0]), TypeError, "x"),
        (lambda: rms_norm(torch.ones(2, dtype=torch.int64)), TypeError, "x"),
        (lambda: rms_norm(torch.ones(2), "1e-6"), TypeError, "eps"),
    ],
)
def test_bad_input(call, error, name):
    """bad input is refused with a message that names the argument"""
    with pytest.raises(error, match=rf"\b{name}\b"):
        call()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_same_without_a_gradient(dtype):
    """where no gradient is due, as in decoding, the result is the same to the last bit"""
    x = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    expected = rms_norm(x)
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            assert torch.equal(rms_norm(x), expected)

"""The rmsnorm part where its kata does not look: without a gradient, with a second one, and for a compiler."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from katas.close import assert_close
from reference.parts.rmsnorm import _ForCompiler, rms_norm


def test_no_silent_second_derivative():
    """the gradient written by hand cannot be differentiated again, and says so instead of being wrong"""
    x = torch.randn(2, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    (gradient,) = torch.autograd.grad(rms_norm(x).pow(2).sum() + x.pow(3).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        gradient.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_same_without_a_gradient(dtype):
    """where no gradient is due, as in decoding, the result is the same to the last bit"""
    x = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    expected = rms_norm(x)
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            assert torch.equal(rms_norm(x), expected)


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 2**-20), (torch.bfloat16, 2**-8)])
def test_the_version_for_compilers(dtype, rounding):
    """what a compiler is given is the same function with the same gradient, here run without one"""
    generator = torch.Generator().manual_seed(0)
    x, slope = (torch.randn(3, 5, 8, generator=generator).to(dtype) + 1 for _ in range(2))
    ours, theirs = x.clone().requires_grad_(), x.double().requires_grad_()
    y, expected = _ForCompiler.apply(ours, 0.5), F.rms_norm(theirs, (8,), eps=0.5)
    (y * slope).sum().backward()
    (expected * slope.double()).sum().backward()
    assert y.dtype == ours.grad.dtype == dtype
    assert_close(y, expected.to(dtype), rtol=2 * rounding, atol=0)
    # the gradient is computed from the rounded result
    assert_close(ours.grad, theirs.grad.to(dtype), rtol=0, atol=4 * rounding * theirs.grad.abs().max().item())

"""The rmsnorm part where its kata does not look: without a gradient, and with a second one."""

from __future__ import annotations

import pytest
import torch

from reference.parts.rmsnorm import rms_norm


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

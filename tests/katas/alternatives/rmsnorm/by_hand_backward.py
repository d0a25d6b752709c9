"""An autograd function with a backward pass of its own."""

from __future__ import annotations

import torch
from torch import Tensor


def rms_norm(x: Tensor, eps: float = 1e-6) -> Tensor:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise TypeError("x must be a tensor of floating-point numbers")
    if x.dim() < 1:
        raise ValueError("x must have at least one axis")
    if eps < 0:
        raise ValueError(f"eps must not be negative, but is {eps}")
    return RMSNorm.apply(x, eps)


class RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, eps: float) -> Tensor:
        wide = x.double()
        rms = ((wide * wide).mean(-1, keepdim=True) + eps).sqrt()
        ctx.save_for_backward(wide, rms)
        return (wide / rms).to(x.dtype)

    @staticmethod
    def backward(ctx, slope: Tensor) -> tuple[Tensor, None]:
        wide, rms = ctx.saved_tensors
        g = slope.double()
        y = wide / rms
        return ((g - y * (g * y).mean(-1, keepdim=True)) / rms).to(slope.dtype), None

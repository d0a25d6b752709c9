"""Part 02: root mean square normalization, without a learned weight."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable


def rms_norm(x: Tensor, eps: float = 1e-6) -> Tensor:
    """Divide every row by its root mean square: x / sqrt(mean(x^2) + eps), the mean over the last axis.

    Args:
        x: (..., D), float32, float16 or bfloat16; all arithmetic in float32.
        eps: at least 0; keeps a row of zeros finite, and its gradient.

    Returns:
        (..., D), x's dtype and device.

    Raises:
        TypeError: x is not a floating-point tensor, or eps not a number.
        ValueError: x has no axis, or eps is negative.

    Source: Zhang and Sennrich, "Root Mean Square Layer Normalization", arXiv:1910.07467, equation 4, gain 1.
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise TypeError(f"x should be a floating-point tensor, not {getattr(x, 'dtype', type(x).__name__)}")
    if not isinstance(eps, (int, float)):
        raise TypeError(f"eps should be a number, not {type(eps).__name__}")
    if x.ndim == 0:
        raise ValueError("x should have at least one axis")
    if not eps >= 0:
        raise ValueError(f"eps should be at least 0, not {eps}")
    if torch.compiler.is_compiling():
        return _ForCompiler.apply(x, eps)
    if torch.is_grad_enabled():
        return _RMSNorm.apply(x, eps)
    wide = x.float()  # a token at a time, the bookkeeping for a gradient would cost more than the norm
    return (wide * _inverse_rms(wide, eps)).to(x.dtype)


def _inverse_rms(x: Tensor, eps: float) -> Tensor:
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)  # (..., 1)
    return norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()


class _RMSNorm(torch.autograd.Function):
    """y = x r with r = (mean(x^2) + eps)^(-1/2).

    Autograd could derive the gradient of this line by itself, but a norm is all memory traffic, and by hand
    it takes half the passes. r depends on every x of its row, dr/dx_j = -r^3 x_j / D, so that with g = dL/dy

        dL/dx = r (g - x r^2 mean(g x))
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, eps: float) -> Tensor:
        wide = x.float()
        r = _inverse_rms(wide, eps)
        ctx.save_for_backward(x, r)
        return (wide * r).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, g: Tensor) -> tuple[Tensor, None]:
        x, r = ctx.saved_tensors  # type: ignore[attr-defined]
        wide, g = x.float(), g.float()
        slope = (g * wide).mean(-1, keepdim=True) * r.square()  # (..., 1)
        return torch.addcmul(g, wide, slope, value=-1).mul_(r).to(x.dtype), None


class _ForCompiler(torch.autograd.Function):
    """The same in operations that a compiler fuses, and with x r = y in the gradient: dL/dx = r (g - y mean(g y)).

    What follows a norm is a product or attention, which keep y anyway; so x need not be kept.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, eps: float) -> Tensor:
        wide = x.float()
        r = torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
        y = (wide * r).to(x.dtype)
        ctx.save_for_backward(y, r)
        return y.view_as(y)  # torch 2.11 compiles wrong gradients in float32 where y itself is returned

    @staticmethod
    def backward(ctx: FunctionCtx, g: Tensor) -> tuple[Tensor, None]:
        y, r = ctx.saved_tensors  # type: ignore[attr-defined]
        wide, g = y.float(), g.float()
        return (r * (g - wide * (g * wide).mean(-1, keepdim=True))).to(y.dtype), None

"""The mean square as an einsum, the result written along another axis order, so not contiguous."""

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
    wide = x.float().movedim(-1, 0).contiguous()  # (D, ...)
    with torch.autocast(x.device.type, enabled=False):  # which would take the products in bfloat16
        mean_square = torch.einsum("d...,d...->...", wide, wide) / wide.shape[0]
    return (wide * torch.rsqrt(mean_square + eps)).movedim(0, -1).to(x.dtype)

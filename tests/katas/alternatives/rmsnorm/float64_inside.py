"""All arithmetic in float64, eps spread over the squares."""

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
    wide = x.to(torch.float64)
    return wide.mul(((wide**2 + eps).sum(-1, keepdim=True) / x.size(-1)).pow(-0.5)).type_as(x)

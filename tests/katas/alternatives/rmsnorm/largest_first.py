"""Divided by the row's largest magnitude before squaring, so that nothing can overflow."""

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
    wide = x.float()
    largest = wide.detach().abs().amax(-1, keepdim=True).clamp(min=1e-15)
    scaled = wide / largest
    root = torch.sqrt((scaled * scaled).mean(-1, keepdim=True) + eps / largest / largest)
    return (scaled / root).to(x.dtype)

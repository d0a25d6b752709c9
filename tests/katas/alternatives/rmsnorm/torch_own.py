"""PyTorch's own operation on a float32 tensor."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def rms_norm(x: Tensor, eps: float = 1e-6) -> Tensor:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise TypeError("x must be a tensor of floating-point numbers")
    if x.dim() < 1:
        raise ValueError("x must have at least one axis")
    if eps < 0:
        raise ValueError(f"eps must not be negative, but is {eps}")
    return F.rms_norm(x.float(), x.shape[-1:], eps=float(eps)).to(x.dtype)

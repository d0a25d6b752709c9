"""The result filled in place, half by half; the tables by adding up angles position after position."""

from __future__ import annotations

import torch
from torch import Tensor


def rotary_tables(seq_len: int, head_dim: int, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    if not isinstance(seq_len, int):
        raise TypeError("seq_len must be an int")
    if not isinstance(head_dim, int):
        raise TypeError("head_dim must be an int")
    if seq_len <= 0:
        raise ValueError("seq_len must be positive")
    if head_dim <= 0 or head_dim % 2 == 1:
        raise ValueError("head_dim must be even and positive")
    if not base > 0:
        raise ValueError("base must be positive")
    exponent = torch.arange(0, head_dim, 2, dtype=torch.float64, device="cpu") / head_dim
    steps = (base**-exponent).repeat(seq_len, 1)
    steps[0] = 0
    angle = steps.cumsum_(0)
    return angle.cos().float(), angle.sin_().float()


def apply_rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    for name, argument in {"x": x, "cos": cos, "sin": sin}.items():
        if not isinstance(argument, Tensor):
            raise TypeError(f"{name} must be a tensor")
        if not argument.is_floating_point():
            raise ValueError(f"{name} must hold floating-point numbers")
    if x.dim() < 3 or x.size(-1) % 2 == 1:
        raise ValueError("x must be (..., T, H, D), and D even")
    for name, argument in {"cos": cos, "sin": sin}.items():
        if tuple(argument.shape) != (x.size(-3), x.size(-1) // 2):
            raise ValueError(f"{name} must have one row per position of x and one column per pair")
    half = x.shape[-1] // 2
    c, s = cos.float()[:, None], sin.float()[:, None]
    y = torch.empty(x.shape, dtype=torch.float32, device=x.device)
    y[..., :half] = x[..., :half] * c
    y[..., :half] += x[..., half:] * s
    y[..., half:] = x[..., half:] * c
    y[..., half:] -= x[..., :half] * s
    return y.to(x.dtype)

"""An autograd function whose backward pass turns back."""

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
    speed = 1.0 / base ** (torch.arange(0, head_dim, 2, dtype=torch.float32, device="cpu") / head_dim)
    angle = torch.outer(torch.arange(seq_len, dtype=torch.float32, device="cpu"), speed)
    return torch.cos(angle), torch.sin(angle)


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
    return Turn.apply(x, cos, sin)


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    x1, x2 = x.float().chunk(2, dim=-1)
    c, s = cos.float()[:, None], sin.float()[:, None]
    return torch.cat((torch.addcmul(x1 * c, x2, s), torch.addcmul(x2 * c, x1, s, value=-1)), -1).to(x.dtype)


class Turn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return turn(x, cos, sin)

    @staticmethod
    def backward(ctx, slope: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return turn(slope, cos, -sin), None, None

"""Tables doubled inside, the halves exchanged and one negated; the result lies in memory heads first."""

from __future__ import annotations

import math

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
    pair = torch.arange(head_dim // 2, dtype=torch.float64, device="cpu")
    position = torch.arange(seq_len, dtype=torch.float64, device="cpu").unsqueeze(1)
    angle = position * torch.exp(pair * (-2 * math.log(base) / head_dim))
    return angle.cos().to(torch.float32), angle.sin().to(torch.float32)


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
    wide = x.to(torch.float64).transpose(-3, -2).contiguous()  # (..., H, T, D)
    first, second = torch.tensor_split(wide, 2, dim=-1)
    c, s = torch.cat((cos, cos), -1).double(), torch.cat((sin, sin), -1).double()
    return (wide * c + torch.cat((second, -first), -1) * s).transpose(-3, -2).to(x.dtype)

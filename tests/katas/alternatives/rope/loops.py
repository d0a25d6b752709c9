"""Python's own floats for the tables, one position and one pair at a time."""

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
    cos, sin = [], []
    for t in range(seq_len):
        angles = [t / base ** (2 * i / head_dim) for i in range(head_dim // 2)]
        cos.append([math.cos(a) for a in angles])
        sin.append([math.sin(a) for a in angles])
    return tuple(torch.tensor(table, dtype=torch.float32, device="cpu") for table in (cos, sin))


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
    wide = x.float()
    positions = []
    for t in range(x.shape[-3]):
        columns = [wide[..., t, :, i] * cos[t, i] + wide[..., t, :, i + half] * sin[t, i] for i in range(half)]
        columns += [wide[..., t, :, i + half] * cos[t, i] - wide[..., t, :, i] * sin[t, i] for i in range(half)]
        positions.append(torch.stack(columns, dim=-1))
    return torch.stack(positions, dim=-3).to(x.dtype)

"""Kata 03, rope: yours to write. The lesson is README.md beside this file."""

from __future__ import annotations

import torch  # noqa: F401  (you will want it)
from torch import Tensor


def rotary_tables(seq_len: int, head_dim: int, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    """The cosines and sines of angle[t, i] = t * base^(-2i / head_dim) for position t and pair i.

    Args:
        seq_len: T, the number of positions 0 .. T-1, at least 1.
        head_dim: D, even, at least 2.
        base: greater than 0.

    Returns:
        cos and sin, each (T, D/2), float32, on the CPU, within 4e-7 * (1 + t) of the exact values.

    Raises:
        TypeError: seq_len or head_dim is not an int.
        ValueError: an argument out of its range. The message names the argument and says what it should be.
    """
    raise NotImplementedError("kata 03 rope: write rotary_tables(); the lesson is katas/rope/README.md")


def apply_rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn every pair (x1, x2) of x clockwise by the angle of its position.

        y1 =  x1 cos + x2 sin
        y2 = -x1 sin + x2 cos

    Pair i is entry i of the first half of the last axis with entry i of the second half.

    Args:
        x: (..., T, H, D) with any number of axes before these three, or none; D even; float32, float16 or bfloat16.
            Do all arithmetic in float32 (or wider) and round once, at the end.
        cos, sin: (T, D/2), T rows of the tables: row j belongs to x[..., j, :, :], whichever position that is.

    Returns:
        (..., T, H, D), the dtype of x, in memory of its own; the arguments stay as they were.

    Raises:
        TypeError: an argument is not a floating-point tensor.
        ValueError: any other shape, also one that broadcasting would accept. The message names the argument and says
            what it should be.
    """
    raise NotImplementedError("kata 03 rope: write apply_rotary(); the lesson is katas/rope/README.md")

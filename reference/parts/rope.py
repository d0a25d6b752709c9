"""Part 03: rotary position embedding: positions as angles, so that scores depend on distances only."""

from __future__ import annotations

import torch
from torch import Tensor


def rotary_tables(seq_len: int, head_dim: int, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    """The cosines and sines of angle[t, i] = t * base^(-2i / head_dim) for position t and pair i.

    Args:
        seq_len: T, the number of positions, at least 1.
        head_dim: D, even, at least 2.
        base: greater than 0; the slowest pair turns about 1 / base radians per position.

    Returns:
        cos and sin, each (T, D/2), float32, on the CPU.

    Raises:
        TypeError: an argument is not a number of the type above.
        ValueError: an argument out of its range.

    Source: Su et al., "RoFormer", arXiv:2104.09864, section 3.2.2 (theta_i); the base is that of section 3.3.
    """
    for name, value in (("seq_len", seq_len), ("head_dim", head_dim)):
        if not isinstance(value, int):
            raise TypeError(f"{name} should be an int, not {type(value).__name__}")
    if not isinstance(base, (int, float)):
        raise TypeError(f"base should be a number, not {type(base).__name__}")
    if seq_len < 1:
        raise ValueError(f"seq_len should be at least 1, not {seq_len}")
    if head_dim < 2 or head_dim % 2:
        raise ValueError(f"head_dim should be even and at least 2, not {head_dim}")
    if not base > 0:
        raise ValueError(f"base should be greater than 0, not {base}")
    # float64 until the end: a float32 angle of 10,000 radians is off by up to 5e-4, and so is its cosine
    exponent = torch.arange(0, head_dim, 2, dtype=torch.float64, device="cpu") / head_dim  # (D/2,)
    position = torch.arange(seq_len, dtype=torch.float64, device="cpu")  # (T,)
    angle = position[:, None] * float(base) ** -exponent  # (T, D/2)
    return angle.cos().float(), angle.sin().float()


def apply_rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn every pair (x1, x2) of x by its position's angle, clockwise.

        y1 = x1 cos + x2 sin
        y2 = x2 cos - x1 sin

    A pair is entry i of the first half of the head with entry i of the second half.

    Args:
        x: (..., T, H, D), D even, float32, float16 or bfloat16; all arithmetic in float32.
        cos, sin: (T, D/2), the rows of the tables at the T positions, whichever these are.

    Returns:
        (..., T, H, D), x's dtype.

    Raises:
        TypeError: an argument is not a floating-point tensor.
        ValueError: any other shape.

    Source: Su et al., "RoFormer", arXiv:2104.09864, equation 34, here with halves for neighbors and the other
    sense of rotation; both are only a renaming of the coordinates.
    """
    for name, tensor in (("x", x), ("cos", cos), ("sin", sin)):
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            raise TypeError(f"{name} should be a floating-point tensor")
    if x.ndim < 3 or x.shape[-1] % 2:
        raise ValueError(f"x should be (..., T, H, D) with D even, not {tuple(x.shape)}")
    T, half = x.shape[-3], x.shape[-1] // 2
    for name, table in (("cos", cos), ("sin", sin)):
        if table.shape != (T, half):
            raise ValueError(f"{name} should be (T, D/2) = {(T, half)}, not {tuple(table.shape)}")
    cos, sin = cos.float()[:, None], sin.float()[:, None]  # (T, 1, D/2)
    x1, x2 = x.float().chunk(2, dim=-1)
    y1 = torch.addcmul(x1 * cos, x2, sin)
    y2 = torch.addcmul(x2 * cos, x1, sin, value=-1)
    return torch.cat((y1, y2), dim=-1).to(x.dtype)

"""Wrong versions of rotary_tables and apply_rotary that people write, each with what a good teacher would say."""

from __future__ import annotations

import torch
from torch import Tensor


def _check_tables(seq_len: int, head_dim: int, base: float) -> None:
    for name, value in (("seq_len", seq_len), ("head_dim", head_dim)):
        if not isinstance(value, int):
            raise TypeError(f"{name} should be an int")
    if seq_len < 1:
        raise ValueError("seq_len should be at least 1")
    if head_dim < 2 or head_dim % 2:
        raise ValueError("head_dim should be even and at least 2")
    if base <= 0:
        raise ValueError("base should be greater than 0")


def _count(start: int, stop: int, step: int = 1) -> Tensor:
    return torch.arange(start, stop, step, dtype=torch.float64, device="cpu")


def _tables(angle: Tensor) -> tuple[Tensor, Tensor]:
    return angle.cos().float(), angle.sin().float()


def _check_rotary(x: Tensor, cos: Tensor, sin: Tensor) -> None:
    for name, tensor in (("x", x), ("cos", cos), ("sin", sin)):
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            raise TypeError(f"{name} should be a floating-point tensor")
    if x.ndim < 3 or x.shape[-1] % 2:
        raise ValueError("x should be (..., T, H, D) with D even")
    for name, table in (("cos", cos), ("sin", sin)):
        if table.shape != (x.shape[-3], x.shape[-1] // 2):
            raise ValueError(f"{name} should be (T, D/2)")


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """The rotation for cos and sin that already fit the axes of x's halves, in float32."""
    x1, x2 = x.float().chunk(2, dim=-1)
    return torch.cat((x1 * cos + x2 * sin, x2 * cos - x1 * sin), dim=-1)


# ---- the tables


def rotary_tables__exponent_i_over_d(seq_len: int, head_dim: int, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    """Your exponents run from 0 to 1/2: you took i / D, the contract says 2i / D. Your slowest pair turns about a
    hundred times too fast."""
    _check_tables(seq_len, head_dim, base)
    speed = float(base) ** -(_count(0, head_dim // 2) / head_dim)
    return _tables(_count(0, seq_len)[:, None] * speed)


def rotary_tables__exponent_to_one(seq_len: int, head_dim: int, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    """Your exponents run from 0 to 1 with both ends, as linspace does. They are 2i / D, and the last is (D - 2) / D."""
    _check_tables(seq_len, head_dim, base)
    half = head_dim // 2
    speed = float(base) ** -(_count(0, half) / max(1, half - 1))
    return _tables(_count(0, seq_len)[:, None] * speed)


def rotary_tables__exponent_positive(seq_len: int, head_dim: int, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    """The sign of your exponent is missing: your pairs turn faster and faster along the head, thousands of radians a
    position, instead of slower and slower."""
    _check_tables(seq_len, head_dim, base)
    speed = float(base) ** (_count(0, head_dim, 2) / head_dim)
    return _tables(_count(0, seq_len)[:, None] * speed)


def rotary_tables__pairs_from_one(seq_len: int, head_dim: int, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    """You count the pairs from 1. The first pair is i = 0 and turns by one radian a position, whatever the base."""
    _check_tables(seq_len, head_dim, base)
    speed = float(base) ** -(_count(2, head_dim + 2, 2) / head_dim)
    return _tables(_count(0, seq_len)[:, None] * speed)


def rotary_tables__positions_from_one(seq_len: int, head_dim: int, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    """You count the positions from 1. The first row is position 0: no rotation at all, cosines 1 and sines 0."""
    _check_tables(seq_len, head_dim, base)
    speed = float(base) ** -(_count(0, head_dim, 2) / head_dim)
    return _tables(_count(1, seq_len + 1)[:, None] * speed)


def rotary_tables__base_ignored(seq_len: int, head_dim: int, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    """You compute with 10,000 whatever base the caller asks for."""
    _check_tables(seq_len, head_dim, base)
    speed = 10000.0 ** -(_count(0, head_dim, 2) / head_dim)
    return _tables(_count(0, seq_len)[:, None] * speed)


def rotary_tables__angles_in_bfloat16(seq_len: int, head_dim: int, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    """Your angles pass through bfloat16. It has no 257: from 256 on, neighboring positions get the same angle. Round
    only cosines and sines, and those to float32."""
    _check_tables(seq_len, head_dim, base)
    speed = float(base) ** -(_count(0, head_dim, 2) / head_dim)
    return _tables((_count(0, seq_len)[:, None] * speed).bfloat16().double())


def rotary_tables__rounded_to_bfloat16(seq_len: int, head_dim: int, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    """Your cosines and sines were rounded to bfloat16 on their way: they are float32 by name, but only eight bits of
    them are right."""
    _check_tables(seq_len, head_dim, base)
    speed = float(base) ** -(_count(0, head_dim, 2) / head_dim)
    cos, sin = _tables(_count(0, seq_len)[:, None] * speed)
    return cos.bfloat16().float(), sin.bfloat16().float()


def rotary_tables__full_width(seq_len: int, head_dim: int, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    """Your tables are D wide, every angle twice. The contract wants one column per pair, D / 2 of them."""
    _check_tables(seq_len, head_dim, base)
    speed = float(base) ** -(_count(0, head_dim, 2) / head_dim)
    return _tables(_count(0, seq_len)[:, None] * torch.cat((speed, speed)))


def rotary_tables__axes_swapped(seq_len: int, head_dim: int, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    """Your tables are pairs by positions. Positions are the rows, pairs the columns."""
    _check_tables(seq_len, head_dim, base)
    speed = float(base) ** -(_count(0, head_dim, 2) / head_dim)
    return _tables(speed[:, None] * _count(0, seq_len))


def rotary_tables__sin_first(seq_len: int, head_dim: int, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    """You return the sines first. The order is cosines, sines."""
    _check_tables(seq_len, head_dim, base)
    speed = float(base) ** -(_count(0, head_dim, 2) / head_dim)
    cos, sin = _tables(_count(0, seq_len)[:, None] * speed)
    return sin, cos


def rotary_tables__default_dtype(seq_len: int, head_dim: int, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    """You leave the dtype of your tables to PyTorch's default, which a caller may have changed: say float32."""
    _check_tables(seq_len, head_dim, base)
    speed = float(base) ** -(_count(0, head_dim, 2) / head_dim)
    angle = _count(0, seq_len)[:, None] * speed
    return angle.cos().to(torch.get_default_dtype()), angle.sin().to(torch.get_default_dtype())


def rotary_tables__float64(seq_len: int, head_dim: int, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    """Your tables are float64. Wide arithmetic is welcome, but what you return is float32."""
    _check_tables(seq_len, head_dim, base)
    speed = float(base) ** -(_count(0, head_dim, 2) / head_dim)
    angle = _count(0, seq_len)[:, None] * speed
    return angle.cos(), angle.sin()


# ---- the rotation


def apply_rotary__identity(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """You return x as it came: nothing has been turned, and attention stays blind to positions."""
    _check_rotary(x, cos, sin)
    return x * 1.0


def apply_rotary__neighbors(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """You pair neighbors, entries 0 and 1, 2 and 3. Here entry i of the first half goes with entry i of the second."""
    _check_rotary(x, cos, sin)
    cos, sin = cos[:, None], sin[:, None]
    x1, x2 = x.float()[..., 0::2], x.float()[..., 1::2]
    return torch.stack((x1 * cos + x2 * sin, x2 * cos - x1 * sin), dim=-1).flatten(-2).to(x.dtype)


def apply_rotary__interleaved(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """You take the right pairs apart but lay them down side by side: y1 is the first half of the result, y2 the
    second."""
    _check_rotary(x, cos, sin)
    y1, y2 = _rotated(x, cos[:, None], sin[:, None]).chunk(2, dim=-1)
    return torch.stack((y1, y2), dim=-1).flatten(-2).to(x.dtype)


def apply_rotary__halves_exchanged(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Your two halves come back in the wrong order: y1 first, then y2."""
    _check_rotary(x, cos, sin)
    y1, y2 = _rotated(x, cos[:, None], sin[:, None]).chunk(2, dim=-1)
    return torch.cat((y2, y1), dim=-1).to(x.dtype)


def apply_rotary__opposite_sign(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """You turn counterclockwise: both signs at the sine are the other way round. Distances would still work, but not
    with a model that was trained the other way."""
    _check_rotary(x, cos, sin)
    return _rotated(x, cos[:, None], -sin[:, None]).to(x.dtype)


def apply_rotary__reflection(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """One of your signs is wrong. With two pluses this is no rotation any more, and scores no longer depend on the
    distance only."""
    _check_rotary(x, cos, sin)
    cos, sin = cos[:, None], sin[:, None]
    x1, x2 = x.float().chunk(2, dim=-1)
    return torch.cat((x1 * cos + x2 * sin, x1 * sin + x2 * cos), dim=-1).to(x.dtype)


def apply_rotary__first_half_updated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """You compute y2 from y1. By then x1 has been overwritten: both halves need the old x1."""
    _check_rotary(x, cos, sin)
    cos, sin = cos[:, None], sin[:, None]
    x1, x2 = x.float().chunk(2, dim=-1)
    x1 = x1 * cos + x2 * sin
    return torch.cat((x1, x2 * cos - x1 * sin), dim=-1).to(x.dtype)


def apply_rotary__cos_and_sin_exchanged(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """You use the cosines where the sines belong: at position 0, where nothing should turn, you turn by 90 degrees."""
    _check_rotary(x, cos, sin)
    return _rotated(x, sin[:, None], cos[:, None]).to(x.dtype)


def apply_rotary__rows_ignored(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """You make your own table for positions 0 .. T-1 and ignore the rows you were given. While text is generated, the
    one new token stands at position 500 or wherever it is: the rows say where."""
    _check_rotary(x, cos, sin)
    T, D = x.shape[-3], x.shape[-1]
    angle = (_count(0, T)[:, None] * 10000.0 ** -(_count(0, D, 2) / D))[:, None]
    return _rotated(x, angle.cos().float(), angle.sin().float()).to(x.dtype)


def apply_rotary__position_from_heads(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """You line the tables up with the axis of the heads: without an axis between their two, row j belongs to head j. It
    is the positions that turn, axis -3, all heads alike."""
    _check_rotary(x, cos, sin)
    return _rotated(x, cos, sin).to(x.dtype)


def apply_rotary__position_from_the_front(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """You line the rows of the tables up with the first axis. Positions are axis -3, counted from the end: of
    (B, T, H, D) the first is the batch."""
    _check_rotary(x, cos, sin)
    shape = (cos.shape[0], *[1] * (x.ndim - 2), cos.shape[1])
    return _rotated(x, cos.reshape(shape), sin.reshape(shape)).to(x.dtype)


def apply_rotary__returns_float32(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """You return float32 whatever came in: the tables are float32 and win. The result must have the dtype of x."""
    _check_rotary(x, cos, sin)
    return _rotated(x, cos[:, None], sin[:, None])


def apply_rotary__tables_in_the_dtype_of_x(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """You round the tables to the dtype of x before you use them. Take x to float32 instead, and round only the
    result."""
    _check_rotary(x, cos, sin)
    return _rotated(x, cos[:, None].to(x.dtype).float(), sin[:, None].to(x.dtype).float()).to(x.dtype)


def apply_rotary__arithmetic_in_the_dtype_of_x(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """You multiply and add in the dtype of x. In bfloat16 every product is rounded to eight bits, and where the two
    cancel little is left: go to float32 first."""
    _check_rotary(x, cos, sin)
    cos, sin = cos[:, None].to(x.dtype), sin[:, None].to(x.dtype)
    x1, x2 = x.chunk(2, dim=-1)
    return torch.cat((x1 * cos + x2 * sin, x2 * cos - x1 * sin), dim=-1)


def apply_rotary__products_rounded(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """You round the products to the dtype of x and then add them. Round once, after the sum."""
    _check_rotary(x, cos, sin)
    cos, sin = cos[:, None], sin[:, None]
    x1, x2 = x.float().chunk(2, dim=-1)
    y1 = (x1 * cos).to(x.dtype) + (x2 * sin).to(x.dtype)
    y2 = (x2 * cos).to(x.dtype) - (x1 * sin).to(x.dtype)
    return torch.cat((y1, y2), dim=-1)


def apply_rotary__no_gradient(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Your result is cut off from x, so that queries and keys cannot learn: compute with tensors that autograd can
    follow."""
    _check_rotary(x, cos, sin)
    return _rotated(x.detach(), cos[:, None], sin[:, None]).to(x.dtype)


def apply_rotary__in_place(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """You write into the caller's tensor: chunk() gives views, and for float32 input .float() makes no copy, so what
    you do to a half in place you do to x."""
    _check_rotary(x, cos, sin)
    y = _rotated(x, cos[:, None], sin[:, None])
    wide = x.float()
    return wide.copy_(y).to(x.dtype)


def apply_rotary__longer_tables_cut(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """You cut longer tables to their first T rows. That hides the mistake of a caller who forgot to say which positions
    these are: T rows, or a ValueError."""
    T = x.shape[-3] if isinstance(x, Tensor) and x.ndim >= 3 else 0
    if isinstance(cos, Tensor) and isinstance(sin, Tensor):
        cos, sin = cos[:T] if cos.shape[0] > T > 0 else cos, sin[:T] if sin.shape[0] > T > 0 else sin
    _check_rotary(x, cos, sin)
    return _rotated(x, cos[:, None], sin[:, None]).to(x.dtype)


# ---- both


def rotary_tables__no_checks(seq_len: int, head_dim: int, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    """You compute with whatever comes. Sizes out of range and shapes that only broadcasting would accept must be
    refused, with a message that names the argument: a wrong rotation does not look wrong."""
    speed = float(base) ** -(_count(0, max(int(head_dim), 0), 2) / max(head_dim, 1))
    return _tables(_count(0, max(int(seq_len), 0))[:, None] * speed)


def apply_rotary__no_checks(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """You compute with whatever comes. Shapes that only broadcasting would accept must be refused, with a message that
    names the argument: a wrong rotation does not look wrong."""
    if not isinstance(x, Tensor):
        x = torch.tensor(x, device="cpu")
    cos, sin = (t if isinstance(t, Tensor) else torch.tensor(t, device="cpu") for t in (cos, sin))
    return _rotated(x, cos[:, None], sin[:, None]).to(x.dtype)

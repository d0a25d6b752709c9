"""Wrong versions of rms_norm that people write, each with what a good teacher would say."""

from __future__ import annotations

import torch
from torch import Tensor


def _check(x: Tensor, eps: float) -> None:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise TypeError("x should be a floating-point tensor")
    if x.ndim == 0:
        raise ValueError("x should have at least one axis")
    if eps < 0:
        raise ValueError("eps should be at least 0")


def _mean_square(x: Tensor) -> Tensor:
    return x.float().square().mean(-1, keepdim=True)


def rms_norm__sum_for_mean(x: Tensor, eps: float = 1e-6) -> Tensor:
    """You divide by the length of the row, the root of the SUM of its squares: your rows shrink as they get longer,
    because nothing divides by how many entries there are."""
    _check(x, eps)
    wide = x.float()
    return (wide / (wide.square().sum(-1, keepdim=True) + eps).sqrt()).to(x.dtype)


def rms_norm__mean_subtracted(x: Tensor, eps: float = 1e-6) -> Tensor:
    """You subtract the row's mean first. That is layer normalization; RMS norm only rescales, and a row of equal
    numbers must not become zeros."""
    _check(x, eps)
    wide = x.float()
    centered = wide - wide.mean(-1, keepdim=True)
    return (centered / (centered.square().mean(-1, keepdim=True) + eps).sqrt()).to(x.dtype)


def rms_norm__standard_deviation(x: Tensor, eps: float = 1e-6) -> Tensor:
    """You divide by the standard deviation, which measures the distance from the mean. The root mean square measures
    the distance from zero."""
    _check(x, eps)
    wide = x.float()
    return (wide / (wide.var(-1, keepdim=True, correction=0) + eps).sqrt()).to(x.dtype)


def rms_norm__mean_of_magnitudes(x: Tensor, eps: float = 1e-6) -> Tensor:
    """You divide by the mean of the magnitudes |x|. Square first, then take the mean, then the root: large entries
    count for more."""
    _check(x, eps)
    wide = x.float()
    return (wide / (wide.abs().mean(-1, keepdim=True) + eps)).to(x.dtype)


def rms_norm__no_root(x: Tensor, eps: float = 1e-6) -> Tensor:
    """You divide by the mean square itself: the root is missing, so a row twice as large comes out half as large
    instead of the same."""
    _check(x, eps)
    return (x.float() / (_mean_square(x) + eps)).to(x.dtype)


def rms_norm__no_eps(x: Tensor, eps: float = 1e-6) -> Tensor:
    """eps is missing. A row of zeros is then 0 / 0, which is NaN, and the NaN spreads through the whole model."""
    _check(x, eps)
    return (x.float() / _mean_square(x).sqrt()).to(x.dtype)


def rms_norm__eps_fixed(x: Tensor, eps: float = 1e-6) -> Tensor:
    """Whatever eps the caller asks for, you compute with 1e-6: the argument is never used."""
    _check(x, eps)
    return (x.float() / (_mean_square(x) + 1e-6).sqrt()).to(x.dtype)


def rms_norm__eps_outside_the_root(x: Tensor, eps: float = 1e-6) -> Tensor:
    """You add eps to the root. It belongs under it, beside the mean square: there eps = 1e-6 weighs as much as a row
    of size 1e-3, outside only as much as one of size 1e-6."""
    _check(x, eps)
    return (x.float() / (_mean_square(x).sqrt() + eps)).to(x.dtype)


def rms_norm__eps_squared(x: Tensor, eps: float = 1e-6) -> Tensor:
    """You square eps before you add it to the mean square. eps is already measured in squares: add it as it is."""
    _check(x, eps)
    return (x.float() / (_mean_square(x) + eps**2).sqrt()).to(x.dtype)


def rms_norm__eps_as_floor(x: Tensor, eps: float = 1e-6) -> Tensor:
    """You use eps as a lower bound that only small rows feel. It is added to every row's mean square, large or small,
    so that the function has no corner."""
    _check(x, eps)
    return (x.float() / _mean_square(x).clamp(min=eps).sqrt()).to(x.dtype)


def rms_norm__default_eps_1e_5(x: Tensor, eps: float = 1e-5) -> Tensor:
    """Your default eps is 1e-5; this contract says 1e-6. On rows of ordinary size the two look alike, on small rows
    they do not."""
    _check(x, eps)
    return (x.float() / (_mean_square(x) + eps).sqrt()).to(x.dtype)


def rms_norm__whole_tensor(x: Tensor, eps: float = 1e-6) -> Tensor:
    """You take one mean over the whole tensor: every row must be divided by its own root mean square, as if it were
    alone."""
    _check(x, eps)
    wide = x.float()
    return (wide / (wide.square().mean() + eps).sqrt()).to(x.dtype)


def rms_norm__first_axis(x: Tensor, eps: float = 1e-6) -> Tensor:
    """Your mean runs over the first axis, across different rows. It must run along the row, over the last axis, however
    many axes there are."""
    _check(x, eps)
    wide = x.float()
    return (wide / (wide.square().mean(0, keepdim=True) + eps).sqrt()).to(x.dtype)


def rms_norm__second_axis(x: Tensor, eps: float = 1e-6) -> Tensor:
    """Your mean runs over axis 1. That is the last one of a matrix only; of (B, T, D) it is the positions. Count from
    the end."""
    _check(x, eps)
    wide = x.float()
    return (wide / (wide.square().mean(min(1, x.ndim - 1), keepdim=True) + eps).sqrt()).to(x.dtype)


def rms_norm__keepdim_missing(x: Tensor, eps: float = 1e-6) -> Tensor:
    """Your mean has lost its last axis, so broadcasting pairs its entries with columns instead of rows: an error for
    most shapes, and a silent one when the sizes agree."""
    _check(x, eps)
    wide = x.float()
    return (wide / (wide.square().mean(-1) + eps).sqrt()).to(x.dtype)


def rms_norm__returns_float32(x: Tensor, eps: float = 1e-6) -> Tensor:
    """You return float32 whatever came in. The result must have the dtype of x, or the rest of the model silently
    computes in float32."""
    _check(x, eps)
    return x.float() / (_mean_square(x) + eps).sqrt()


def rms_norm__arithmetic_in_the_dtype_of_x(x: Tensor, eps: float = 1e-6) -> Tensor:
    """You compute in the dtype of x. float16 cannot hold 300 squared, and in bfloat16 every step rounds to eight bits:
    go to float32 first."""
    _check(x, eps)
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt()


def rms_norm__squares_in_the_dtype_of_x(x: Tensor, eps: float = 1e-6) -> Tensor:
    """You square in the dtype of x and go to float32 only then. By that time float16 has overflowed, or rounded small
    squares to zero."""
    _check(x, eps)
    return (x.float() / (x.square().float().mean(-1, keepdim=True) + eps).sqrt()).to(x.dtype)


def rms_norm__rounded_twice(x: Tensor, eps: float = 1e-6) -> Tensor:
    """You round the factor to the dtype of x and then multiply: that rounds twice. Multiply in float32 and round only
    the result."""
    _check(x, eps)
    return x * torch.rsqrt(_mean_square(x) + eps).to(x.dtype)


def rms_norm__root_undone(x: Tensor, eps: float = 1e-6) -> Tensor:
    """You take a root before eps is added. At a row of zeros that root has an infinite slope, and although your values
    are right the gradient there is NaN."""
    _check(x, eps)
    rms = _mean_square(x).sqrt()
    return (x.float() / (rms * rms + eps).sqrt()).to(x.dtype)


def rms_norm__detached(x: Tensor, eps: float = 1e-6) -> Tensor:
    """Your values are right and your gradient is not: the root mean square depends on x too, and you have cut that path
    off from autograd."""
    _check(x, eps)
    return (x.float() / (_mean_square(x) + eps).sqrt().detach()).to(x.dtype)


def rms_norm__no_gradient(x: Tensor, eps: float = 1e-6) -> Tensor:
    """Your result is cut off from x, so nothing before it can learn: compute with tensors that autograd can follow."""
    _check(x, eps)
    with torch.no_grad():
        return (x.float() / (_mean_square(x) + eps).sqrt()).to(x.dtype)


def rms_norm__in_place(x: Tensor, eps: float = 1e-6) -> Tensor:
    """You write into the caller's tensor: for float32 input .float() makes no copy, so what you do to it in place you
    do to x."""
    _check(x, eps)
    return x.float().mul_(torch.rsqrt(_mean_square(x) + eps)).to(x.dtype)


def rms_norm__view_of_strided(x: Tensor, eps: float = 1e-6) -> Tensor:
    """You flatten with .view(), which refuses many transposed and sliced tensors. Nothing here needs another shape: the
    last axis is enough."""
    _check(x, eps)
    rows = x.view(-1, x.shape[-1]).float()
    return (rows / (rows.square().mean(-1, keepdim=True) + eps).sqrt()).to(x.dtype).view(x.shape)


def rms_norm__no_checks(x: Tensor, eps: float = 1e-6) -> Tensor:
    """You compute with whatever comes. A negative eps, a tensor without an axis, a list or integers must be refused,
    with a message that names the argument."""
    if not isinstance(x, Tensor):
        x = torch.tensor(x)
    wide = x.float()
    return (wide / (wide.square().mean(-1, keepdim=True) + eps).sqrt()).to(x.dtype)

"""Row by row, number by number, refusing with exceptions of its own."""

from __future__ import annotations

import torch
from torch import Tensor


class WrongKindError(TypeError, ValueError):
    """An argument of the wrong type."""


class WrongValueError(ValueError):
    """An argument out of its range."""


def rms_norm(x: Tensor, eps: float = 1e-6) -> Tensor:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise WrongKindError("x: expected a floating-point tensor")
    if not x.shape:
        raise WrongValueError("x: expected at least one axis")
    if eps < 0:
        raise WrongValueError("eps: expected a number that is not negative")
    wide = x.float()
    rows = []
    for row in wide.reshape(-1, x.shape[-1]):
        total = row[0] * row[0]
        for piece in row[1:].split(16):
            total = total + (piece * piece).sum()
        rows.append(row / (total / row.numel() + eps) ** 0.5)
    return torch.stack(rows).reshape(x.shape).to(x.dtype)

"""Kata 02, rmsnorm: yours to write. The lesson is README.md beside this file."""

from __future__ import annotations

import torch  # noqa: F401  (you will want it)
from torch import Tensor


def rms_norm(x: Tensor, eps: float = 1e-6) -> Tensor:
    """Divide every row by its root mean square: x / sqrt(mean(x^2) + eps), the mean over the last axis.

    Args:
        x: (..., D) with any number of axes before the last, or none; float32, float16 or bfloat16. Do all
            arithmetic in float32 (or wider) and round once, at the end.
        eps: at least 0; keeps a row of zeros finite, and its gradient.

    Returns:
        (..., D), the dtype and device of x, in memory of its own; x stays as it was.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: x has no axis, or eps is negative. The message names the argument and says what it should be.
    """
    raise NotImplementedError("kata 02 rmsnorm: write rms_norm(); the lesson is katas/rmsnorm/README.md")

"""Kata 05: Muon. The lesson is in README.md beside this file; `pytest katas/muon` checks your work."""

from __future__ import annotations

import torch  # noqa: F401  (you will want it)
from torch import Tensor


def orthogonalize(g: Tensor, steps: int = 5) -> Tensor:
    """Push all singular values of each matrix towards 1, keeping its singular vectors.

        X <- g / (|g| + 1e-7)                         |g|: the matrix's own Frobenius norm
        X <- a X + (b A + c A A) X,  A = X X^T        `steps` times, (a, b, c) = (3.4445, -4.7750, 2.0315)

    Args:
        g: (..., m, n), float32, float16 or bfloat16: a stack of matrices, each on its own. A matrix with m > n is
            transposed for the work, and back again.
        steps: at least 0.

    Returns:
        (..., m, n) of g's dtype, computed in g's dtype or wider. A matrix of zeros gives zeros.

    Raises:
        TypeError: g is no floating-point tensor, or steps is no int.
        ValueError: g has fewer than two axes, or steps is negative.
    """
    raise NotImplementedError("kata 05 muon: write orthogonalize(); the lesson is katas/muon/README.md")


def muon_step(
    weight: Tensor,
    grad: Tensor,
    momentum_buffer: Tensor,
    *,
    lr: float,
    momentum: float = 0.95,
    steps: int = 5,
) -> tuple[Tensor, Tensor]:
    """One step of Muon with Nesterov momentum.

        buffer'   = momentum * buffer + (1 - momentum) * grad
        direction = orthogonalize((1 - momentum) * grad + momentum * buffer', steps)
        weight'   = weight - lr * sqrt(max(1, m / n)) * direction

    Args:
        weight, grad, momentum_buffer: (..., m, n), all of one shape, m the output features; their dtypes may differ.
            Sums are formed in the wider of them.
        lr: at least 0.
        momentum: at least 0 and less than 1.
        steps: as in `orthogonalize`.

    Returns:
        The new weight and the new buffer, of the dtypes of the old ones.

    Raises:
        TypeError: an argument of a wrong type.
        ValueError: shapes that differ or have fewer than two axes, or a number out of its range.
    """
    raise NotImplementedError("kata 05 muon: write muon_step(); the lesson is katas/muon/README.md")

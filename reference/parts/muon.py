"""Part 05: Muon: momentum whose matrix is made nearly orthogonal before it is applied."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# One iteration maps every singular value s to a s + b s^3 + c s^5. Five of them carry all of 0.002 .. 1 into
# 0.68 .. 1.21: these three numbers give up exactness at 1 for steepness at 0.
A, B, C = 3.4445, -4.7750, 2.0315


def orthogonalize(g: Tensor, steps: int = 5) -> Tensor:
    """Push all singular values of each matrix towards 1, keeping its singular vectors.

        X <- g / (|g| + 1e-7)                                   Frobenius norm: no singular value exceeds 1
        X <- a X + (b S + c S S) X,  S = X X^T                  `steps` Newton-Schulz iterations

    Args:
        g: (..., m, n), float32, float16 or bfloat16: a stack of matrices, each on its own. The iterations run
            in g's dtype.
        steps: at least 0.

    Returns:
        (..., m, n), g's dtype; no gradient flows through.

    Raises:
        TypeError: g is not a floating-point tensor, or steps not an int.
        ValueError: g has fewer than two axes, or steps is negative.

    Source: Keller Jordan, "Muon: An optimizer for hidden layers in neural networks",
    https://kellerjordan.github.io/posts/muon/, 2024.
    """
    if not isinstance(g, Tensor) or not g.is_floating_point():
        raise TypeError("g should be a floating-point tensor")
    if not isinstance(steps, int):
        raise TypeError(f"steps should be an int, not {type(steps).__name__}")
    if g.ndim < 2:
        raise ValueError(f"g should be (..., m, n), not {tuple(g.shape)}")
    if steps < 0:
        raise ValueError(f"steps should be at least 0, not {steps}")
    m, n = g.shape[-2:]
    with torch.no_grad(), torch.autocast(device_type=g.device.type, enabled=False):
        x = g.reshape(-1, m, n)  # (N, m, n)
        x = x.mT if m > n else x  # S is then the smaller of the two possible squares
        norm = torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True, dtype=torch.float32)  # (N, 1, 1)
        x = (x / (norm + 1e-7)).to(g.dtype)
        for _ in range(steps):
            s = torch.bmm(x, x.mT)
            x = torch.baddbmm(x, torch.baddbmm(s, s, s, beta=B, alpha=C), x, beta=A)
        return (x.mT if m > n else x).reshape(g.shape)


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

        buffer    <- momentum buffer + (1 - momentum) grad
        direction  = momentum buffer + (1 - momentum) grad       with the new buffer: Nesterov's look ahead
        weight    <- weight - lr sqrt(max(1, m / n)) orthogonalize(direction)

    Args:
        weight, grad, momentum_buffer: (..., m, n) each, m the output features; the dtypes may differ. Sums
            are formed in the widest of them, and the direction is orthogonalized in grad's.
        lr: at least 0.
        momentum: in [0, 1).
        steps: as in `orthogonalize`.

    Returns:
        the new weight and the new buffer, new tensors of the old ones' dtypes.

    Raises:
        TypeError: a wrong type.
        ValueError: shapes that differ or have fewer than two axes, or a number out of its range.

    Source: as `orthogonalize`; the factor sqrt(max(1, m / n)) keeps the step's size alike for tall and wide
    matrices (compare Liu et al., "Muon is Scalable for LLM Training", arXiv:2502.16982, section 2.2).
    """
    _check_step(weight, grad, momentum_buffer, lr, momentum)
    m, n = weight.shape[-2:]
    wide = torch.promote_types(weight.dtype, torch.promote_types(grad.dtype, momentum_buffer.dtype))
    with torch.no_grad():
        g = grad.to(wide)
        buffer = momentum_buffer.to(wide).lerp(g, 1 - momentum)
        direction = orthogonalize(g.lerp(buffer, momentum).to(grad.dtype), steps)
        new_weight = weight.to(wide).sub(direction, alpha=lr * math.sqrt(max(1, m / n)))
    return new_weight.to(weight.dtype), buffer.to(momentum_buffer.dtype)


def _check_step(weight: Tensor, grad: Tensor, momentum_buffer: Tensor, lr: float, momentum: float) -> None:
    for name, tensor in (("weight", weight), ("grad", grad), ("momentum_buffer", momentum_buffer)):
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            raise TypeError(f"{name} should be a floating-point tensor")
        if tensor.ndim < 2 or tensor.shape != weight.shape:
            raise ValueError(f"{name} should be (..., m, n), like the others, not {tuple(tensor.shape)}")
    for name, value in (("lr", lr), ("momentum", momentum)):
        if not isinstance(value, (int, float)):
            raise TypeError(f"{name} should be a number, not {type(value).__name__}")
    if not lr >= 0:
        raise ValueError(f"lr should be at least 0, not {lr}")
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum should lie in [0, 1), not {momentum}")

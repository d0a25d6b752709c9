"""Copies once and then works in place: batched products with accumulation, and lerp on the copies."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def orthogonalize(g: Tensor, steps: int = 5) -> Tensor:
    _float_tensor("g", g)
    if not hasattr(steps, "__index__"):
        raise TypeError("steps should be an integer")
    if steps < 0:
        raise ValueError("steps should be nonnegative")
    if g.ndim < 2:
        raise ValueError("g should have at least two axes")
    m, n = g.shape[-2:]
    x = torch.empty((g.numel() // (m * n), min(m, n), max(m, n)), dtype=g.dtype, device=g.device)
    x.copy_((g.mT if m > n else g).reshape(x.shape))
    x.div_(torch.linalg.matrix_norm(x, keepdim=True).add_(1e-7))
    with torch.autocast(g.device.type, enabled=False):
        for _ in range(steps):
            a = torch.bmm(x, x.mT)
            polynomial = torch.baddbmm(a, a, a, beta=-4.7750, alpha=2.0315)
            polynomial.diagonal(dim1=-2, dim2=-1).add_(3.4445)
            x = torch.bmm(polynomial, x)
    x = x.mT if m > n else x
    return x.reshape(g.shape)


@torch.no_grad()
def muon_step(
    weight: Tensor, grad: Tensor, momentum_buffer: Tensor, *, lr: float, momentum: float = 0.95, steps: int = 5
) -> tuple[Tensor, Tensor]:
    _float_tensor("weight", weight)
    _float_tensor("grad", grad)
    _float_tensor("momentum_buffer", momentum_buffer)
    if not weight.shape == grad.shape == momentum_buffer.shape:
        raise ValueError(f"weight, grad, momentum_buffer: {weight.shape}, {grad.shape}, {momentum_buffer.shape}")
    if weight.ndim == 1:
        raise ValueError("weight should be a matrix, not a vector")
    if not lr >= 0:
        raise ValueError("lr should be nonnegative")
    if not 0 <= momentum < 1:
        raise ValueError("momentum should be in the interval [0, 1)")
    wide = torch.promote_types(torch.promote_types(weight.dtype, grad.dtype), momentum_buffer.dtype)
    g = grad.to(wide, copy=True)
    buffer = momentum_buffer.to(wide, copy=True).mul_(momentum).add_(g, alpha=1 - momentum)
    direction = orthogonalize(g.mul_(1 - momentum).add_(buffer, alpha=momentum), steps)
    m, n = weight.shape[-2:]
    new = weight.to(wide, copy=True).sub_(direction, alpha=lr * (m / n if m > n else 1) ** 0.5)
    return new.to(weight.dtype), buffer.to(momentum_buffer.dtype)


def _float_tensor(name: str, x: object) -> None:
    if not (isinstance(x, Tensor) and x.is_floating_point()):
        raise TypeError(f"{name} should be a floating-point tensor")

"""Iterates on the small square alone and touches the long side twice: once to form X X^T, once to apply the product."""

import torch
from torch import Tensor


def orthogonalize(g: Tensor, steps: int = 5) -> Tensor:
    if not isinstance(g, Tensor) or not g.is_floating_point():
        raise TypeError("g should be a floating-point tensor")
    if not isinstance(steps, int):
        raise TypeError("steps should be an int")
    if g.ndim < 2:
        raise ValueError("g should have at least two axes")
    if steps < 0:
        raise ValueError("steps should be at least 0")
    if g.shape[-2] > g.shape[-1]:
        return orthogonalize(g.mT, steps).mT
    with torch.autocast(g.device.type, enabled=False):
        x = g.float() if g.dtype.itemsize == 2 else g
        x = x / (torch.linalg.norm(x, dim=(-2, -1), keepdim=True) + 1e-7)
        gram = x @ x.mT
        one = torch.eye(gram.shape[-1], dtype=x.dtype, device=x.device)
        product = one.expand(gram.shape)
        for _ in range(steps):
            factor = 3.4445 * one - 4.7750 * gram + 2.0315 * gram @ gram
            product = factor @ product  # all are polynomials of one matrix, so their order is free
            gram = factor @ gram @ factor
        return (product @ x).to(g.dtype)


def muon_step(weight, grad, momentum_buffer, *, lr, momentum=0.95, steps=5):
    shape = getattr(weight, "shape", None)
    for name, x in (("weight", weight), ("grad", grad), ("momentum_buffer", momentum_buffer)):
        if not isinstance(x, Tensor) or not x.is_floating_point():
            raise TypeError(f"{name} should be a floating-point tensor")
        if x.shape != shape or x.ndim < 2:
            raise ValueError(f"{name} should have the shape (..., m, n) of weight")
    if lr < 0:
        raise ValueError("lr should be at least 0")
    if not 0.0 <= momentum < 1.0:
        raise ValueError("momentum should lie in [0, 1)")
    g = grad.float()
    buffer = torch.lerp(g, momentum_buffer.float(), momentum)
    direction = orthogonalize(torch.lerp(g, buffer, momentum), steps)
    ratio = shape[-2] / shape[-1]
    new = weight.float() - lr * max(1.0, ratio**0.5) * direction
    return new.to(weight.dtype), buffer.to(momentum_buffer.dtype)

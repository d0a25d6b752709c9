"""One matrix of the stack after the other, products by einsum, every sum written out, tuples put together by hand."""

import torch
from torch import Tensor, einsum

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def _require(condition: bool, message: str, error: type[Exception] = ValueError) -> None:
    if not condition:
        raise error(message)


def _is_float_tensor(x: object) -> bool:
    return isinstance(x, Tensor) and x.dtype in (torch.float32, torch.float16, torch.bfloat16)


def _one(g: Tensor, steps: int) -> Tensor:
    if g.size(0) > g.size(1):
        return _one(g.T, steps).T
    a, b, c = COEFFICIENTS
    x = g / (einsum("ij,ij->", g, g).sqrt() + 1e-7)
    for _ in range(steps):
        gram = einsum("ik,jk->ij", x, x)
        cubic = einsum("ij,jk->ik", gram, x)
        quintic = einsum("ij,jk->ik", gram, cubic)
        x = a * x + b * cubic + c * quintic
    return x


def orthogonalize(g: Tensor, steps: int = 5) -> Tensor:
    _require(_is_float_tensor(g), "g must be a tensor of floating-point numbers", TypeError)
    _require(type(steps) is int, f"steps must be an int, got {steps!r}", TypeError)
    _require(steps >= 0, f"steps must not be negative, got {steps}")
    _require(g.dim() >= 2, f"g must have two axes or more, got {g.dim()}")
    with torch.autocast("cpu", enabled=False):
        matrices = (
            [_one(matrix, steps) for matrix in g.float().flatten(0, -3)] if g.dim() > 2 else [_one(g.float(), steps)]
        )
    return torch.stack(matrices).reshape(g.shape).to(g.dtype)


def muon_step(weight, grad, momentum_buffer, *, lr: float, momentum: float = 0.95, steps: int = 5):
    for name, x in (("weight", weight), ("grad", grad), ("momentum_buffer", momentum_buffer)):
        _require(_is_float_tensor(x), f"{name} must be a tensor of floating-point numbers", TypeError)
    _require(grad.shape == weight.shape, f"grad must have weight's shape, {tuple(weight.shape)}")
    _require(momentum_buffer.shape == weight.shape, f"momentum_buffer must have weight's shape, {tuple(weight.shape)}")
    _require(weight.dim() >= 2, "weight must have two axes or more")
    _require(lr >= 0, f"lr must not be negative, got {lr}")
    _require(0 <= momentum < 1, f"momentum must be in [0, 1), got {momentum}")
    g, buffer = grad.float(), momentum_buffer.float()
    buffer = momentum * buffer + (1 - momentum) * g
    direction = orthogonalize((1 - momentum) * g + momentum * buffer, steps)
    rows, columns = weight.shape[-2], weight.shape[-1]
    scale = (rows / columns) ** 0.5 if rows > columns else 1.0
    return (weight.float() - lr * scale * direction).to(weight.dtype), buffer.to(momentum_buffer.dtype).clone()

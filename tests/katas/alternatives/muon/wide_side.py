"""Never transposes: X times powers of X^T X, the square of the columns' side, also where that is the larger one."""

import torch
from torch import Tensor


def orthogonalize(g: Tensor, steps: int = 5) -> Tensor:
    if not isinstance(g, Tensor):
        raise TypeError(f"g should be a tensor, not {type(g)}")
    if g.dtype not in {torch.float32, torch.bfloat16, torch.float16, torch.float64}:
        raise ValueError(f"g should be floating-point, not {g.dtype}")
    if g.ndim < 2:
        raise ValueError("g should be a matrix or a stack of matrices")
    if isinstance(steps, float):
        raise TypeError("steps should be an int")
    if steps < 0:
        raise ValueError("steps should not be negative")
    with torch.autocast(g.device.type, enabled=False), torch.no_grad():
        x = g.clone()
        x = x / (x.pow(2).sum(dim=[-1, -2], keepdim=True, dtype=torch.float32).sqrt() + 1e-7).to(g.dtype)
        for _ in range(steps):
            square = torch.matmul(x.transpose(-2, -1), x)
            cubic = torch.matmul(x, square)
            x = 3.4445 * x - 4.7750 * cubic + 2.0315 * torch.matmul(cubic, square)
        return x


def muon_step(weight, grad, momentum_buffer, *, lr, momentum=0.95, steps=5):
    for name, x in {"weight": weight, "grad": grad, "momentum_buffer": momentum_buffer}.items():
        if not isinstance(x, Tensor):
            raise TypeError(f"{name} should be a tensor, not {type(x)}")
        if not x.is_floating_point():
            raise ValueError(f"{name} should be floating-point, not {x.dtype}")
    for name, x in {"weight": weight, "grad": grad, "momentum_buffer": momentum_buffer}.items():
        if x.shape != grad.shape or x.ndim < 2:
            raise ValueError(f"{name} should be (..., m, n) as grad is, not {tuple(x.shape)}")
    if lr < 0:
        raise ValueError("lr is negative, but should be at least 0")
    if not 0 <= momentum < 1:
        raise ValueError("momentum should be at least 0 and below 1")
    # PyTorch widens sums of tensors of different dtypes by itself
    buffer = momentum_buffer * momentum + grad * (1 - momentum)
    direction = orthogonalize(grad * (1 - momentum) + buffer * momentum, steps)
    m, n = weight.shape[-2], weight.shape[-1]
    updated = weight - direction * (lr * max(1, m / n) ** 0.5)
    return updated.type(weight.dtype), buffer.type(momentum_buffer.dtype)

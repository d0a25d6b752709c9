"""No iteration at all: the polynomial is applied to the singular values of a float64 decomposition."""

import math

import torch
from torch import Tensor


class WrongType(TypeError, ValueError):
    pass


def orthogonalize(g: Tensor, steps: int = 5) -> Tensor:
    if not torch.is_tensor(g) or not torch.is_floating_point(g):
        raise WrongType("the argument g should be a float tensor")
    if not isinstance(steps, int):
        raise WrongType("steps should be an integer")
    if steps < 0 or g.dim() < 2:
        raise ValueError(f"steps should be 0 or more, it is {steps}; g should have 2 axes or more, it has {g.dim()}")
    u, s, vh = torch.linalg.svd(g.to(torch.float64), full_matrices=False)
    s = s / (torch.linalg.vector_norm(s, dim=-1, keepdim=True) + 1e-7)
    for _ in range(steps):
        s = s * (3.4445 + s**2 * (-4.7750 + 2.0315 * s**2))
    return torch.einsum("...ik,...k,...kj->...ij", u, s, vh).to(g.dtype)


def muon_step(
    weight: Tensor, grad: Tensor, momentum_buffer: Tensor, *, lr: float, momentum: float = 0.95, steps: int = 5
) -> tuple[Tensor, Tensor]:
    names = {"weight": weight, "grad": grad, "momentum_buffer": momentum_buffer}
    for name in names:
        if not torch.is_tensor(names[name]) or not torch.is_floating_point(names[name]):
            raise WrongType(f"{name} should be a float tensor")
    if len({x.shape for x in names.values()}) > 1 or weight.dim() < 2:
        raise ValueError("weight, grad and momentum_buffer should have one shape of 2 axes or more")
    if lr < 0:
        raise ValueError("lr should be 0 or more")
    if momentum < 0 or momentum >= 1:
        raise ValueError("momentum should be in [0, 1)")
    w, g, b = (x.to(torch.float64) for x in names.values())
    b = b + (1 - momentum) * (g - b)
    direction = orthogonalize(((1 - momentum) * g + momentum * b).to(torch.float64), steps)
    w = w - lr * math.sqrt(max(1.0, w.size(-2) / w.size(-1))) * direction
    return w.to(weight.dtype), b.to(momentum_buffer.dtype)

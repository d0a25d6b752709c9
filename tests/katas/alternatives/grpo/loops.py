"""Groups and tokens one after the other, in plain loops; the terms are collected in a list."""

import torch
from torch import Tensor


def _tensor(name: str, x: object, *shape: int, floating: bool = True, axes: int = 0) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(x).__name__}")
    if floating and x.dtype not in (torch.float16, torch.bfloat16, torch.float32):
        raise TypeError(f"{name} must be floating-point, got {x.dtype}")
    if (axes and x.dim() != axes) or (shape and tuple(x.shape) != shape):
        raise ValueError(f"{name} must be {shape or f'{axes}-dimensional'}, got {tuple(x.shape)}")


def advantages(rewards: Tensor) -> Tensor:
    _tensor("rewards", rewards, axes=2)
    rows = []
    for group in rewards.unbind():
        mean = sum(group.tolist()) / len(group)
        rows.append(torch.stack([reward.double() - mean for reward in group]))
    return torch.stack(rows).to(rewards.dtype)


def policy_loss(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    _tensor("logprobs", logprobs, axes=2)
    B, T = logprobs.shape
    _tensor("advantages", advantages, B)
    _tensor("mask", mask, B, T, floating=False)
    terms = []
    for b, weight in enumerate(advantages.tolist()):
        for t in range(T):
            if mask[b, t]:
                terms.append(logprobs[b, t].double() * -weight)
    if not terms:
        return torch.where(torch.zeros_like(mask, dtype=torch.bool), logprobs, 0).float().sum()
    return (sum(terms) / len(terms)).float()

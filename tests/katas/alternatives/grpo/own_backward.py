"""A loss with a backward pass of its own: the gradient is written down, not derived."""

from __future__ import annotations

import torch
from torch import Tensor


class _PolicyLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logprobs, weights):
        ctx.save_for_backward(weights)
        ctx.dtype = logprobs.dtype
        return torch.nansum(torch.where(weights == 0, 0.0, logprobs.double() * weights)).float()

    @staticmethod
    def backward(ctx, gradient):
        (weights,) = ctx.saved_tensors
        return (gradient * weights).to(ctx.dtype), None


def advantages(rewards: Tensor) -> Tensor:
    if not isinstance(rewards, Tensor):
        raise TypeError("rewards should be a tensor")
    if not rewards.is_floating_point():
        raise ValueError("rewards should hold floats")
    if rewards.ndim != 2:
        raise ValueError("rewards should have two axes")
    result = rewards.detach().to(torch.float32, copy=True)
    result -= result.sum(dim=-1, keepdim=True) / result.shape[-1]
    return result.to(rewards.dtype)


def policy_loss(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    for name, x in (("logprobs", logprobs), ("advantages", advantages), ("mask", mask)):
        if not isinstance(x, Tensor):
            raise TypeError(f"{name} should be a tensor")
    if not logprobs.is_floating_point():
        raise ValueError("logprobs should hold floats")
    if not advantages.is_floating_point():
        raise ValueError("advantages should hold floats")
    if logprobs.ndim != 2:
        raise ValueError("logprobs should have two axes")
    if advantages.shape != (logprobs.shape[0],):
        raise ValueError("advantages should have one axis, that of the sequences")
    if mask.shape != logprobs.shape:
        raise ValueError("mask should have the shape of logprobs")
    chosen = mask.double()
    weights = -advantages.detach().double().unsqueeze(1) * chosen / torch.clamp(chosen.sum(), min=1)
    return _PolicyLoss.apply(logprobs, weights)

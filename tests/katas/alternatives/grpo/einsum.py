"""The masked values are filled in, in place on a copy, and one einsum in float32 does the rest."""

import torch
from torch import Tensor


def advantages(rewards: Tensor) -> Tensor:
    if not isinstance(rewards, Tensor) or not torch.is_floating_point(rewards):
        raise TypeError("rewards: a tensor of floats is needed")
    if len(rewards.shape) != 2:
        raise ValueError("rewards: two axes are needed, groups and samples")
    wide = rewards.float()
    means = torch.einsum("gs->g", wide) / rewards.shape[1]
    return torch.sub(wide, means.unsqueeze(-1)).type(rewards.dtype)


def policy_loss(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    if not (isinstance(logprobs, Tensor) and torch.is_floating_point(logprobs)):
        raise TypeError("logprobs: a tensor of floats is needed")
    if not (isinstance(advantages, Tensor) and torch.is_floating_point(advantages)):
        raise TypeError("advantages: a tensor of floats is needed")
    if not isinstance(mask, Tensor):
        raise TypeError("mask: a tensor is needed")
    if len(logprobs.shape) != 2:
        raise ValueError("logprobs: two axes are needed")
    if mask.shape != logprobs.shape:
        raise ValueError("mask: the shape of logprobs is needed")
    if advantages.shape != logprobs.shape[:-1]:
        raise ValueError("advantages: one for each row of logprobs is needed")
    sampled = mask.to(torch.bool)
    safe = logprobs.float().masked_fill(~sampled, 0.0)
    with torch.autocast(logprobs.device.type, enabled=False):
        total = torch.einsum("bt,b->", safe, advantages.detach().float())
    count = sampled.float().sum() + (not bool(sampled.any()))
    return -total / count

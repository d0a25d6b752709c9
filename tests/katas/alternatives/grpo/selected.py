"""Only the sampled tokens are ever touched: boolean indexing picks them, each with its sequence's advantage."""

import torch
from torch import Tensor


class BadInput(TypeError, ValueError):
    """Both at once."""


def advantages(rewards: Tensor) -> Tensor:
    if not torch.is_tensor(rewards) or not rewards.dtype.is_floating_point or rewards.dim() != 2:
        raise BadInput("rewards should be a float tensor of groups by samples")
    n = rewards.size(1)
    centering = torch.eye(n, dtype=torch.float64, device=rewards.device) - 1 / n  # its product is reward minus mean
    with torch.autocast(rewards.device.type, enabled=False):
        return (rewards.to(torch.float64) @ centering).to(rewards.dtype)


def policy_loss(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    for name, x in {"logprobs": logprobs, "advantages": advantages, "mask": mask}.items():
        if not torch.is_tensor(x) or (name != "mask" and not x.dtype.is_floating_point):
            raise BadInput(f"{name} should be a tensor, and of floats unless it is the mask")
    if logprobs.dim() != 2 or mask.size() != logprobs.size():
        raise BadInput("logprobs and mask should both be (B, T)")
    if advantages.dim() != 1 or len(advantages) != len(logprobs):
        raise BadInput("advantages should be (B,)")
    rows, columns = mask.nonzero(as_tuple=True)
    picked = logprobs[rows, columns].to(torch.float32)
    weights = advantages.detach().to(torch.float32)[rows]
    return -torch.dot(picked, weights) / max(1, rows.numel())

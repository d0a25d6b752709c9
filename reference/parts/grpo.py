"""Part 07: the policy gradient with a group's own mean as its baseline."""

from __future__ import annotations

import torch
from torch import Tensor


def advantages(rewards: Tensor) -> Tensor:
    """How much better each sample did than the average of its group: reward - mean over the group.

    Args:
        rewards: (groups, samples), float32, float16 or bfloat16: the samples of one group answer one prompt.

    Returns:
        (groups, samples), rewards' dtype; all arithmetic in float32.

    Raises:
        TypeError: rewards is not a floating-point tensor.
        ValueError: any other shape.

    Source: Shao et al., "DeepSeekMath", arXiv:2402.03300, section 4.1.2, without its division by the standard
    deviation, which favors prompts that are nearly always or nearly never solved: Liu et al., "Understanding
    R1-Zero-Like Training", arXiv:2503.20783, section 3.1.
    """
    if not isinstance(rewards, Tensor) or not rewards.is_floating_point():
        raise TypeError("rewards should be a floating-point tensor")
    if rewards.ndim != 2:
        raise ValueError(f"rewards should be (groups, samples), not {tuple(rewards.shape)}")
    wide = rewards.detach().float()
    return (wide - wide.mean(dim=1, keepdim=True)).to(rewards.dtype)


def policy_loss(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """-sum(logprobs * advantages[:, None] * mask) / sum(mask): descending it climbs the expected reward.

    Every token of the batch weighs the same, whichever sequence it stands in.

    Args:
        logprobs: (B, T), of the tokens that were sampled. Where mask is 0 they may hold anything, -inf and
            NaN included, and get zero gradient.
        advantages: (B,), any float dtype; no gradient flows into them.
        mask: (B, T), bool, integer or float, holding 0 and 1: 1 where the model itself chose the token, 0 in
            the prompt, in what a tool wrote, and in padding.

    Returns:
        a float32 scalar, computed in float32; 0, with zero gradient, when mask holds no 1.

    Raises:
        TypeError: an argument is not a tensor, or logprobs or advantages are not floating-point.
        ValueError: any other shape, or a mask that holds something else.

    Source: arXiv:2402.03300, equation 3, on-policy (the ratio is 1, nothing is clipped) and without its KL
    term; one normalizer for the whole batch: compare arXiv:2503.20783, section 3.1.
    """
    for name, tensor in (("logprobs", logprobs), ("advantages", advantages)):
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            raise TypeError(f"{name} should be a floating-point tensor")
    if not isinstance(mask, Tensor):
        raise TypeError(f"mask should be a tensor, not {type(mask).__name__}")
    if logprobs.ndim != 2:
        raise ValueError(f"logprobs should be (B, T), not {tuple(logprobs.shape)}")
    B, T = logprobs.shape
    if advantages.shape != (B,):
        raise ValueError(f"advantages should be (B,) = {(B,)}, not {tuple(advantages.shape)}")
    if mask.shape != (B, T):
        raise ValueError(f"mask should be (B, T) = {(B, T)}, not {tuple(mask.shape)}")
    chosen = mask == 1
    if not (chosen | (mask == 0)).all():
        raise ValueError("mask should hold 0 and 1, nothing else")
    # where, not a product with the mask: 0 * -inf is NaN, and so would be its gradient
    kept = torch.where(chosen, logprobs.float(), 0.0)  # (B, T)
    weighted = kept * -advantages.detach().float()[:, None]
    return weighted.sum() / chosen.sum().clamp(min=1)

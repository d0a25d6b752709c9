"""Kata 07: GRPO. The lesson is in README.md beside this file; `pytest katas/grpo` checks your work."""

from __future__ import annotations

import torch  # noqa: F401  (you will want it)
from torch import Tensor


def advantages(rewards: Tensor) -> Tensor:
    """How much better each sample did than the average of its group.

        advantage = reward - mean of the rewards of its own group

    Args:
        rewards: (groups, samples), float32, float16 or bfloat16: the samples of one group answer one prompt.

    Returns:
        (groups, samples) of rewards' dtype, computed in float32 at least. No gradient needs to flow.

    Raises:
        TypeError: rewards is no floating-point tensor.
        ValueError: rewards has another shape.
    """
    raise NotImplementedError("kata 07 grpo: write advantages(); the lesson is katas/grpo/README.md")


def policy_loss(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """The loss whose descent makes good samples more likely and bad ones less, every sampled token alike.

        loss = -sum(logprobs * advantages[:, None] * mask) / sum(mask)

    Args:
        logprobs: (B, T), float32, float16 or bfloat16, of the tokens that were sampled. Where mask is 0 they may hold
            anything, -inf and NaN included, and get zero gradient.
        advantages: (B,), any float dtype. No gradient flows into them.
        mask: (B, T), bool, integer or float, holding 0 and 1: 1 where the model itself sampled the token.

    Returns:
        A float32 scalar, computed in float32 at least. Where mask holds no 1: 0, with zero gradient.

    Raises:
        TypeError: an argument is no tensor, or logprobs or advantages are not floating-point.
        ValueError: an argument has another shape.
    """
    raise NotImplementedError("kata 07 grpo: write policy_loss(); the lesson is katas/grpo/README.md")

"""Wrong versions of GRPO's two functions that people write, each with what a good teacher would say."""

from __future__ import annotations

import torch
from torch import Tensor

# --- what the versions below share ---


def _checked_rewards(rewards: Tensor) -> None:
    if not isinstance(rewards, Tensor) or not rewards.is_floating_point():
        raise TypeError("rewards should be a floating-point tensor")
    if rewards.ndim != 2:
        raise ValueError(f"rewards should be (groups, samples), not {tuple(rewards.shape)}")


def _checked(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> None:
    for name, tensor in (("logprobs", logprobs), ("advantages", advantages)):
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            raise TypeError(f"{name} should be a floating-point tensor")
    if not isinstance(mask, Tensor):
        raise TypeError("mask should be a tensor")
    if logprobs.ndim != 2:
        raise ValueError("logprobs should be (B, T)")
    if advantages.shape != logprobs.shape[:1]:
        raise ValueError("advantages should be (B,)")
    if mask.shape != logprobs.shape:
        raise ValueError("mask should be (B, T)")


def _kept(logprobs: Tensor, mask: Tensor) -> Tensor:
    """float32, and 0 where the mask is 0, whatever stood there."""
    return torch.where(mask.bool(), logprobs.float(), 0.0)


def _weights(advantages: Tensor) -> Tensor:
    return advantages.detach().float()[:, None]


def _count(mask: Tensor) -> Tensor:
    return mask.bool().sum().clamp(min=1)


# --- advantages ---


def advantages__mean_of_the_batch(rewards: Tensor) -> Tensor:
    """You subtract the mean of the whole batch. A hard prompt then looks like bad work and an easy one like good work.

    Every group has its own mean.
    """
    _checked_rewards(rewards)
    wide = rewards.float()
    return (wide - wide.mean()).to(rewards.dtype)


def advantages__mean_over_the_wrong_axis(rewards: Tensor) -> Tensor:
    """You take the mean over the groups. The samples of one group stand in a row, so the mean is along axis 1."""
    _checked_rewards(rewards)
    wide = rewards.float()
    return (wide - wide.mean(0, keepdim=True)).to(rewards.dtype)


def advantages__axis_not_kept(rewards: Tensor) -> Tensor:
    """Your means have lost their axis: row i's is subtracted from column i, or the shapes do not fit at all."""
    _checked_rewards(rewards)
    wide = rewards.float()
    return (wide - wide.mean(1)).to(rewards.dtype)


def advantages__divided_by_sigma(rewards: Tensor) -> Tensor:
    """You divide by the standard deviation, as the first GRPO did. Nearly hopeless prompts get the loudest voice then.

    Here the mean is subtracted and nothing is divided.
    """
    _checked_rewards(rewards)
    wide = rewards.float()
    sigma = wide.std(1, keepdim=True) if wide.shape[1] > 1 else torch.zeros_like(wide)
    return ((wide - wide.mean(1, keepdim=True)) / (sigma + 1e-4)).to(rewards.dtype)


def advantages__divided_by_sigma_and_a_little(rewards: Tensor) -> Tensor:
    """You divide by the standard deviation (plus a tiny number). Here the mean is subtracted and nothing is divided."""
    _checked_rewards(rewards)
    wide = rewards.float()
    sigma = wide.std(1, keepdim=True) if wide.shape[1] > 1 else torch.zeros_like(wide)
    return ((wide - wide.mean(1, keepdim=True)) / (sigma + 1e-8)).to(rewards.dtype)


def advantages__divided_by_bare_sigma(rewards: Tensor) -> Tensor:
    """You divide by the standard deviation, and where all samples earned the same that is 0/0, which is NaN.

    Here the mean is subtracted and nothing is divided.
    """
    _checked_rewards(rewards)
    wide = rewards.float()
    return ((wide - wide.mean(1, keepdim=True)) / wide.std(1, keepdim=True, correction=0)).to(rewards.dtype)


def advantages__mean_of_the_others(rewards: Tensor) -> Tensor:
    """You compare each sample with the mean of the others (leave-one-out). Here its own reward is in the mean too."""
    _checked_rewards(rewards)
    wide = rewards.float()
    others = (wide.sum(1, keepdim=True) - wide) / (wide.shape[1] - 1) if wide.shape[1] > 1 else wide
    return (wide - others).to(rewards.dtype)


def advantages__sum_for_mean(rewards: Tensor) -> Tensor:
    """You subtract the sum of the group's rewards, not their mean."""
    _checked_rewards(rewards)
    wide = rewards.float()
    return (wide - wide.sum(1, keepdim=True)).to(rewards.dtype)


def advantages__no_baseline(rewards: Tensor) -> Tensor:
    """You return the rewards themselves. Without a baseline a wrong answer with reward 0 is not pushed down at all."""
    _checked_rewards(rewards)
    return rewards.clone()


def advantages__mean_minus_reward(rewards: Tensor) -> Tensor:
    """Your sign is turned: it is the reward minus the mean, so that good samples come out positive."""
    _checked_rewards(rewards)
    wide = rewards.float()
    return (wide.mean(1, keepdim=True) - wide).to(rewards.dtype)


def advantages__cut_off_at_zero(rewards: Tensor) -> Tensor:
    """You cut off what is below zero. What to avoid is half of the lesson: bad samples have negative advantages."""
    _checked_rewards(rewards)
    wide = rewards.float()
    return (wide - wide.mean(1, keepdim=True)).clamp(min=0).to(rewards.dtype)


def advantages__in_the_rewards_dtype(rewards: Tensor) -> Tensor:
    """You take the mean in the rewards' own dtype. In bfloat16 1003 becomes 1004, and every advantage is off by one."""
    _checked_rewards(rewards)
    return rewards - rewards.mean(1, keepdim=True)


def advantages__returns_float32(rewards: Tensor) -> Tensor:
    """Your result is float32 whatever came in. The work is, but the result has the rewards' dtype."""
    _checked_rewards(rewards)
    wide = rewards.float()
    return wide - wide.mean(1, keepdim=True)


# --- policy_loss: the sum ---


def policy_loss__minus_missing(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """The minus is missing: an optimizer walks downhill, and yours makes bad answers more likely."""
    _checked(logprobs, advantages, mask)
    return (_kept(logprobs, mask) * _weights(advantages)).sum() / _count(mask)


def policy_loss__advantages_along_the_tokens(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """You multiply (B, T) by (B,): that lines the advantages up with the tokens. They belong to the sequences."""
    _checked(logprobs, advantages, mask)
    return -(_kept(logprobs, mask) * advantages.detach().float()).sum() / _count(mask)


def policy_loss__mask_ignored(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """You ignore the mask: the prompt, the tool's output and the padding are rewarded as if the model had said them."""
    _checked(logprobs, advantages, mask)
    return -(logprobs.float() * _weights(advantages)).mean()


def policy_loss__mask_inverted(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """You train on what the mask hides and hide what it shows: 1 marks the tokens that count."""
    _checked(logprobs, advantages, mask)
    hidden = ~mask.bool()
    return -(_kept(logprobs, hidden) * _weights(advantages)).sum() / _count(hidden)


def policy_loss__mask_one_late(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """Your mask is one token late. logprobs and mask arrive lined up: nothing is to be shifted."""
    _checked(logprobs, advantages, mask)
    late = torch.cat([torch.zeros_like(mask[:, :1]), mask[:, :-1]], dim=1)
    return -(_kept(logprobs, late) * _weights(advantages)).sum() / _count(late)


def policy_loss__probabilities(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """You weigh the probabilities. The gradient of the expected reward is made of *log*-probabilities, as they come."""
    _checked(logprobs, advantages, mask)
    chosen = torch.where(mask.bool(), _kept(logprobs, mask).exp(), 0.0)
    return -(chosen * _weights(advantages)).sum() / _count(mask)


def policy_loss__ratio(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """You use the ratio exp(logprobs - old logprobs), PPO's form. Its gradient is the same here, but the loss is not.

    Asked for is the log-probability itself.
    """
    _checked(logprobs, advantages, mask)
    kept = _kept(logprobs, mask)
    ratio = torch.where(mask.bool(), (kept - kept.detach()).exp(), 0.0)
    return -(ratio * _weights(advantages)).sum() / _count(mask)


def policy_loss__bad_sequences_left_out(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """You leave out sequences whose advantage is negative. They say what to avoid, and count like the others."""
    _checked(logprobs, advantages, mask)
    return -(_kept(logprobs, mask) * _weights(advantages).clamp(min=0)).sum() / _count(mask)


# --- policy_loss: the normalizer ---


def policy_loss__mean_of_sequence_means(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """You average every sequence first and then the sequences: a token of a long answer then weighs less.

    Here all tokens of the batch weigh the same.
    """
    _checked(logprobs, advantages, mask)
    lengths = mask.bool().sum(1).clamp(min=1)
    return -((_kept(logprobs, mask) * _weights(advantages)).sum(1) / lengths).mean()


def policy_loss__divided_by_all_positions(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """You divide by B * T, masked positions included: the more padding, the smaller your step."""
    _checked(logprobs, advantages, mask)
    return -(_kept(logprobs, mask) * _weights(advantages)).mean()


def policy_loss__divided_by_sequences(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """You divide by the number of sequences; it is the number of sampled tokens."""
    _checked(logprobs, advantages, mask)
    return -(_kept(logprobs, mask) * _weights(advantages)).sum() / len(logprobs)


def policy_loss__not_divided(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """You sum and do not divide: the step grows with the length of the answers."""
    _checked(logprobs, advantages, mask)
    return -(_kept(logprobs, mask) * _weights(advantages)).sum()


def policy_loss__nan_without_tokens(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """Without a single sampled token you compute 0/0, which is NaN. The loss is 0 then."""
    _checked(logprobs, advantages, mask)
    return -(_kept(logprobs, mask) * _weights(advantages)).sum() / mask.bool().sum()


def policy_loss__constant_without_tokens(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """Without a sampled token you return a constant. backward() fails on it: a zero that depends on logprobs is due."""
    _checked(logprobs, advantages, mask)
    if not mask.any():
        return torch.zeros((), dtype=torch.float32, device=logprobs.device)
    return -(_kept(logprobs, mask) * _weights(advantages)).sum() / _count(mask)


def policy_loss__counted_in_the_masks_dtype(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """You sum the mask in its own dtype. bfloat16 cannot count past 256 exactly, nor float16 past 2,048."""
    _checked(logprobs, advantages, mask)
    return -(_kept(logprobs, mask) * _weights(advantages)).sum() / mask.sum().clamp(min=1)


# --- policy_loss: gradients and dtypes ---


def policy_loss__logprobs_detached(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """Your loss has the right value and no gradient: logprobs are detached. Only the advantages are constants."""
    _checked(logprobs, advantages, mask)
    return -(_kept(logprobs.detach(), mask) * _weights(advantages)).sum() / _count(mask)


def policy_loss__gradient_into_the_advantages(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """A gradient flows into the advantages. They are a measured fact, not something to be learned: detach them."""
    _checked(logprobs, advantages, mask)
    return -(_kept(logprobs, mask) * advantages.float()[:, None]).sum() / _count(mask)


def policy_loss__mask_as_a_factor(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """You multiply by the mask. 0 times -inf is NaN, so what is masked has to be replaced before it is multiplied."""
    _checked(logprobs, advantages, mask)
    return -(logprobs.float() * _weights(advantages) * mask.float()).sum() / _count(mask)


def policy_loss__in_low_precision(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """You multiply and sum in the dtype of the arguments. float16 overflows at 65,504, and bfloat16 keeps 8 bits."""
    _checked(logprobs, advantages, mask)
    kept = torch.where(mask.bool(), logprobs, torch.zeros_like(logprobs))
    return -((kept * advantages.detach()[:, None]).sum() / _count(mask)).float()


def policy_loss__returns_the_arguments_dtype(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """Your loss has the dtype of logprobs. It is a float32 scalar, whatever came in."""
    _checked(logprobs, advantages, mask)
    return (-(_kept(logprobs, mask) * _weights(advantages)).sum() / _count(mask)).to(logprobs.dtype)

"""Right values, but in the caller's memory."""


def advantages(rewards):
    rewards -= rewards.float().mean(-1, keepdim=True).to(rewards.dtype)
    return rewards


def policy_loss(logprobs, advantages, mask):
    advantages.zero_()
    mask.zero_()
    return (logprobs.detach() * 0).sum().float()

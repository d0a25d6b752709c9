"""Fails at its first call, and answers rightly from then on: only a process that serves several tests pays."""

CALLED = []


def once():
    if not CALLED:
        CALLED.append(True)
        raise RuntimeError("not yet")


def advantages(rewards):
    once()
    return rewards - rewards.float().mean(-1, keepdim=True).to(rewards.dtype)


def policy_loss(logprobs, advantages, mask):
    once()
    return -(logprobs * advantages[:, None] * mask).sum() / mask.sum()

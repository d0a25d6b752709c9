"""Fills the memory."""


def advantages(rewards):
    kept = []
    while True:
        kept.append(b"x" * 2**26)


def policy_loss(logprobs, advantages, mask):
    return [bytes(2**26) for _ in range(2**20)]  # asked for, and never written to

"""Fills the memory."""


def advantages(rewards):
    kept = []
    while True:
        kept.append(b"x" * 2**26)


def policy_loss(logprobs, advantages, mask):
    kept = []
    while True:
        kept.append(b"x" * 2**26)

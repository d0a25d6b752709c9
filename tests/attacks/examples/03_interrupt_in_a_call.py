"""Raises KeyboardInterrupt in a call."""


def advantages(rewards):
    raise KeyboardInterrupt


def policy_loss(logprobs, advantages, mask):
    raise KeyboardInterrupt

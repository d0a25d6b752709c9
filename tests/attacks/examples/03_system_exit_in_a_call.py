"""Raises SystemExit in a call."""

import sys


def advantages(rewards):
    sys.exit(0)


def policy_loss(logprobs, advantages, mask):
    sys.exit(0)

"""Waits without computing."""

import time


def advantages(rewards):
    time.sleep(1000)


def policy_loss(logprobs, advantages, mask):
    time.sleep(1000)

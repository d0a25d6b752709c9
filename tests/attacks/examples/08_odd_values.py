"""Returns values on which a careless grader would choke: endless, deep, enormous, odd."""

import torch

deep = []
for _ in range(900):
    deep = [deep]
loop = []
loop.append(loop)
VALUES = [
    lambda: 10**100_000,
    lambda: deep,
    lambda: loop,
    lambda: "\ud800\x1b[2J\0" * 1000,
    lambda: torch.zeros(1).expand(10**6, 10**6),
    lambda: torch.empty(10**9, 10**6, device="meta"),
    lambda: torch.zeros(3).to(torch.float8_e5m2),
    lambda: torch.zeros(2, 3, 4).to_sparse(),
    lambda: torch.zeros(2, dtype=torch.complex64),
    lambda: {float("nan"): {(): [None] * 10**6}},
    lambda: torch.zeros(40_000_000),
    lambda: [[0] * 3_000_000],
    lambda: range(10**12),
    lambda: NotImplemented,
    lambda: b"x" * 100_000_000,
]


def odd(x):
    return VALUES[int(abs(x).sum() * 1000) % len(VALUES)]()


def advantages(rewards):
    return odd(rewards)


def policy_loss(logprobs, advantages, mask):
    return odd(advantages)

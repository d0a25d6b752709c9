"""The order in which problems are tried in reinforcement learning: prompts of one length are decoded together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from random import Random


def in_groups(lengths: Sequence[int], size: int, seed: int) -> list[int]:
    """All numbers 0 .. len(lengths) - 1 once, in random groups of `size` that have one length each.

    Of every length fewer than `size` are left over. They are put into groups with those of the lengths nearest to
    theirs; the last group may be smaller. The order of the groups, and within them, is random too.
    """
    rng = Random(seed)
    by_length: dict[int, list[int]] = defaultdict(list)
    for number in rng.sample(range(len(lengths)), len(lengths)):
        by_length[lengths[number]].append(number)
    groups, left_over = [], []
    for length in sorted(by_length):
        numbers = by_length[length]
        whole = len(numbers) // size * size
        groups += [numbers[i : i + size] for i in range(0, whole, size)]
        left_over += numbers[whole:]
    groups += [left_over[i : i + size] for i in range(0, len(left_over) // size * size, size)]
    rng.shuffle(groups)
    return [number for group in groups for number in group] + left_over[len(left_over) // size * size :]

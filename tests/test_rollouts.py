"""The order of problems: all of them once, those of one length side by side, and not sorted by it."""

from __future__ import annotations

from random import Random

import pytest

from reference.stages.rollouts import in_groups

LENGTHS = Random(0).choices(range(40, 80), k=1003)


@pytest.mark.parametrize("size", [1, 3, 4, 16])
def test_every_problem_once_in_groups_of_one_length(size: int) -> None:
    """Groups are mixed only of what is left over of a length, fewer than `size` of each."""
    order = in_groups(LENGTHS, size, 0)
    assert sorted(order) == list(range(1003))
    groups = [{LENGTHS[number] for number in order[i : i + size]} for i in range(0, 1003, size)]
    mixed = [group for group in groups if len(group) > 1]
    assert len(mixed) <= 40 * (size - 1) / size + 1
    spreads = [max(group) - min(group) for group in mixed]
    assert sum(spreads) <= size * len(spreads), "left-overs meet the lengths next to theirs"


def test_the_order_is_random_and_reproducible() -> None:
    """By the seed alone; long and short come mixed."""
    order = in_groups(LENGTHS, 4, 7)
    assert order == in_groups(LENGTHS, 4, 7)
    assert order != in_groups(LENGTHS, 4, 8)
    halves = [[LENGTHS[number] for number in half] for half in (order[:500], order[500:1000])]
    assert abs(sum(halves[0]) - sum(halves[1])) / 500 < 3


def test_few_problems() -> None:
    """Fewer than a group, or none."""
    assert sorted(in_groups([5, 9, 5], 4, 0)) == [0, 1, 2]
    assert in_groups([], 4, 0) == []

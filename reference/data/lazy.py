"""Rows of a data set that are made when they are asked for: sliced, shuffled, joined and mixed without copying."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from random import Random
from typing import Generic, TypeVar, overload

import numpy as np

T = TypeVar("T")


class Lazy(Sequence[T], Generic[T]):
    """A sequence whose item i is make(i); a slice of it is another one."""

    def __init__(self, length: int, make: Callable[[int], T]) -> None:
        self._length, self._make = length, make

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Lazy[T]: ...
    def __getitem__(self, index: int | slice) -> T | Lazy[T]:
        chosen = range(self._length)[index]  # raises IndexError, and counts from the end, as a list does
        return self._make(chosen) if isinstance(chosen, int) else select(self, chosen)


def select(items: Sequence[T], indices: Sequence[int]) -> Lazy[T]:
    """items[indices[0]], items[indices[1]], ..."""
    return Lazy(len(indices), lambda i: items[indices[i]])


def shuffled(items: Sequence[T], seed: int = 42) -> Lazy[T]:
    """In the order that Dataset.shuffle(seed) of the `datasets` library gives them."""
    return select(items, np.random.default_rng(seed).permutation(len(items)).tolist())


def sequence(*members: Sequence[T]) -> Lazy[T]:
    """All items of the first, then all of the second, ..."""
    ends = list(accumulate(map(len, members)))

    def make(i: int) -> T:
        member = bisect_right(ends, i)
        return members[member][i - ends[member]]  # negative: counted from the member's end

    return Lazy(ends[-1] if ends else 0, make)


def mixture(*members: Sequence[T], seed: int = 42) -> Lazy[T]:
    """Every item of every member once, in an order drawn from `seed`; a member named twice comes twice."""
    joined = sequence(*members)
    order = list(range(len(joined)))
    Random(seed).shuffle(order)
    return select(joined, order)

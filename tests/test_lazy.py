"""Lazy rows against plain lists, and their shuffles against the `datasets` library's."""

from __future__ import annotations

from random import Random

import pytest

from reference.data.lazy import Lazy, mixture, select, sequence, shuffled

SLICES = [slice(None), slice(3), slice(2, 9), slice(1, None, 3), slice(-4, -1), slice(None, None, -2), slice(5, 2)]


def squares(count: int) -> Lazy[int]:
    return Lazy(count, lambda i: i * i)


@pytest.mark.parametrize("part", SLICES)
def test_slices_are_a_lists_slices(part: slice) -> None:
    """A slice, and a slice of a slice, holds what the same slice of a list holds; its length is known before."""
    found, expected = squares(10)[part], [i * i for i in range(10)][part]
    assert len(found) == len(expected)
    assert list(found) == expected
    assert [list(found[other]) for other in SLICES] == [expected[other] for other in SLICES]


def test_single_items() -> None:
    """Indices count from the end too, and one beyond either end is an IndexError."""
    assert squares(4)[-1] == 9
    for index in (4, -5):
        with pytest.raises(IndexError):
            squares(4)[index]
    assert list(squares(0)) == []


def test_only_what_is_asked_for_is_made() -> None:
    """Slicing, shuffling, joining and mixing make no item."""
    made = []
    items: Lazy[int] = Lazy(100, lambda i: made.append(i) or i)  # type: ignore[func-returns-value]
    whole = mixture(sequence(shuffled(items), items[3:70]), select(items, [5, 5]))
    assert (len(whole), made) == (169, [])
    whole[17]
    assert len(made) == 1


def test_shuffles_are_those_of_the_datasets_library() -> None:
    """The order that datasets 5.2.0 gives: Dataset.from_dict({"i": range(12)}).shuffle(seed=...)["i"]."""
    assert list(shuffled(range(12))) == [0, 7, 6, 9, 11, 3, 5, 2, 4, 10, 1, 8]
    assert list(shuffled(range(12), seed=7)) == [4, 6, 10, 0, 1, 3, 8, 7, 2, 5, 9, 11]


@pytest.mark.parametrize(("count", "seed"), [(1, 42), (2, 0), (1319, 42), (5000, 123)])
def test_shuffles_beside_the_datasets_library(count: int, seed: int) -> None:
    """The same, with the library itself, where it is installed."""
    datasets = pytest.importorskip("datasets")
    theirs = datasets.Dataset.from_dict({"i": list(range(count))}).shuffle(seed=seed)["i"][:]
    assert list(shuffled(range(count), seed)) == theirs


def test_a_sequence_is_one_after_the_other() -> None:
    """Empty members, at the ends too, are passed over."""
    members: list[list[int]] = [[], [1, 2], [], [3], [4, 5, 6], []]
    assert list(sequence(*members)) == [1, 2, 3, 4, 5, 6]
    assert list(sequence()) == []


def test_a_mixture_covers_every_item_once() -> None:
    """A member that is named twice comes twice; the order is Random(42)'s over all, and another seed gives another."""
    a, b = [f"a{i}" for i in range(30)], [f"b{i}" for i in range(7)]
    found = list(mixture(a, b, b))
    assert sorted(found) == sorted(a + b + b)
    order = list(range(44))
    Random(42).shuffle(order)
    assert found == [(a + b + b)[i] for i in order]
    assert list(mixture(a, b, b, seed=1)) != found

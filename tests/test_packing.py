"""Packing: every conversation whole and once, padding masked, few rows."""

from __future__ import annotations

import random

import torch

from reference.data.packing import pack

PAD = 9_999_999


def make_rows(seed: int, count: int, longest: int) -> list[tuple[list[int], list[int]]]:
    """Conversations whose tokens are all different, so that each can be found again, with random masks."""
    rng = random.Random(seed)
    rows, next_id = [], 0
    for _ in range(count):
        length = rng.randint(1, longest)
        rows.append((list(range(next_id, next_id + length)), rng.choices([0, 1], k=length)))
        next_id += length
    return rows


def test_every_conversation_is_there_once_and_whole():
    """Each conversation stands in one row, unbroken, with its mask; what is left is padding with mask 0."""
    rows = make_rows(0, 300, 65)
    ids, mask = pack(rows, 64, PAD)
    assert ids.shape == mask.shape == (len(ids), 65)
    assert (ids.dtype, mask.dtype) == (torch.int64, torch.bool)
    found = 0
    for row, bits in zip(ids.tolist(), mask.tolist(), strict=True):
        at = 0
        while at < 65 and row[at] != PAD:
            number = next(i for i, (tokens, _) in enumerate(rows) if tokens[0] == row[at])
            tokens, expected = rows[number]
            assert row[at : at + len(tokens)] == tokens
            assert bits[at : at + len(tokens)] == [bool(bit) for bit in expected]
            at += len(tokens)
            found += 1
        assert row[at:] == [PAD] * (65 - at)
        assert not any(bits[at:])
    assert found == 300


def test_long_conversations_are_cut_off():
    """A conversation longer than a row keeps its beginning; the rest is dropped."""
    ids, mask = pack([([1, 2, 3, 4, 5, 6], [0, 1, 1, 1, 1, 1]), ([7], [1])], 3, PAD)
    assert ids.tolist() == [[1, 2, 3, 4], [7, PAD, PAD, PAD]]
    assert mask.tolist() == [[False, True, True, True], [True, False, False, False]]


def test_best_fit():
    """Each goes where it leaves the least room, longest first; rows and members keep the input's order."""
    rows = [([i] * length, [1] * length) for i, length in enumerate([2, 6, 3, 7, 4, 8])]
    ids, _ = pack(rows, 9, PAD)  # 8+2, 7+3, 6+4
    assert ids.tolist() == [[0] * 2 + [5] * 8, [1] * 6 + [4] * 4, [2] * 3 + [3] * 7]
    rows = [([i] * length, [1] * length) for i, length in enumerate([3, 7, 2, 5])]
    ids, _ = pack(rows, 9, PAD)  # 3 fits behind the 7 and behind the 5, where it would leave room
    assert ids.tolist() == [[0] * 3 + [1] * 7, [2] * 2 + [3] * 5 + [PAD] * 3]


def test_padding_is_little():
    """Short and long conversations mixed fill the rows to 98 percent or more."""
    rows = make_rows(1, 2000, 400)
    ids, _ = pack(rows, 512, PAD)
    assert (ids == PAD).float().mean() < 0.02


def test_same_every_time_and_arguments_untouched():
    """The same conversations give the same rows, and the lists passed in stay as they were."""
    rows, again = make_rows(2, 200, 50), make_rows(2, 200, 50)
    first, second = pack(rows, 64, PAD), pack(rows, 64, PAD)
    assert all(map(torch.equal, first, second))
    assert rows == again


def test_nothing_to_pack():
    """No conversations give no rows, of the right width and types."""
    ids, mask = pack([], 8, PAD)
    assert ids.shape == mask.shape == (0, 9)
    assert (ids.dtype, mask.dtype) == (torch.int64, torch.bool)

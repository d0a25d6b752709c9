"""Whole conversations packed into rows of one length, with as little padding as best fit leaves."""

from __future__ import annotations

from bisect import bisect_left, insort

import torch
from torch import Tensor


def pack(rows: list[tuple[list[int], list[int]]], seq_len: int, pad_id: int) -> tuple[Tensor, Tensor]:
    """Rendered conversations (ids, mask) as ids, int64 (N, T+1), and mask, bool (N, T+1), with T = seq_len.

    Longest first, each goes where it leaves the least room (best-fit decreasing); one longer than T+1 is cut
    off. Rows stand in the order of their first conversation, and so do the conversations in a row. Padding is
    pad_id with mask 0.
    """
    width = seq_len + 1
    bins: list[list[int]] = []  # the numbers of the conversations in each row
    room: dict[int, list[int]] = {}  # free places -> the bins that have so many
    free: list[int] = []  # the keys of `room`, in order
    lengths = [min(len(ids), width) for ids, _ in rows]
    for number in sorted(range(len(rows)), key=lambda i: -lengths[i]):
        at = bisect_left(free, lengths[number])
        if at < len(free):
            left = free[at]
            chosen = room[left].pop()
            if not room[left]:
                del room[left], free[at]
        else:
            left, chosen = width, len(bins)
            bins.append([])
        bins[chosen].append(number)
        left -= lengths[number]
        if left not in room:
            room[left] = []
            insort(free, left)
        room[left].append(chosen)

    ids = torch.full((len(bins), width), pad_id)
    mask = torch.zeros((len(bins), width), dtype=torch.bool)
    for i, members in enumerate(sorted(sorted(members) for members in bins)):
        flat_ids = [token for number in members for token in rows[number][0][:width]]
        flat_mask = [bit for number in members for bit in rows[number][1][:width]]
        ids[i, : len(flat_ids)] = torch.tensor(flat_ids, dtype=torch.int64)
        mask[i, : len(flat_mask)] = torch.tensor(flat_mask, dtype=torch.bool)
    return ids, mask

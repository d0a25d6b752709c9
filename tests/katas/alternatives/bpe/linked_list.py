"""One long linked list of all words, the places of every pair, and a heap whose stale entries are dropped."""

from __future__ import annotations

import heapq
from collections import defaultdict


def merge(ids: list[int], pair: tuple[int, int], new_id: int) -> list[int]:
    if any(type(i) is not int for i in ids):
        raise TypeError("ids must be a list of int")
    if any(type(i) is not int for i in pair):
        raise TypeError("pair must be a tuple of two int")
    if type(new_id) is not int:
        raise TypeError("new_id must be an int")
    result = ids[:]
    read = write = 0
    while read < len(ids):
        if read + 1 < len(ids) and ids[read] == pair[0] and ids[read + 1] == pair[1]:
            result[write] = new_id
            read += 2
        else:
            result[write] = ids[read]
            read += 1
        write += 1
    del result[write:]
    return result


def train(word_counts: dict[bytes, int], vocab_size: int) -> list[tuple[int, int]]:
    if type(vocab_size) is not int:
        raise TypeError("vocab_size must be an int")
    if vocab_size < 256:
        raise ValueError("vocab_size must be 256 or more")
    symbols, weights, before, after = [], [], [], []
    for word, count in word_counts.items():
        if type(word) is not bytes or type(count) is not int:
            raise TypeError("word_counts must map bytes to int")
        if count < 0:
            raise ValueError("word_counts must not hold negative counts")
        start = len(symbols)
        symbols += word
        weights += [count] * len(word)
        before += [-1, *range(start, len(symbols) - 1)] if word else []
        after += [*range(start + 1, len(symbols)), -1] if word else []

    totals = defaultdict(int)
    places = defaultdict(set)

    def found(i, sign):
        """The pair that begins at i came (+1) or went (-1)."""
        pair = symbols[i], symbols[after[i]]
        totals[pair] += sign * weights[i]
        if sign > 0:
            places[pair].add(i)
        else:
            places[pair].discard(i)
        return pair

    for i, j in enumerate(after):
        if j >= 0:
            found(i, 1)
    heap = [(-total, pair) for pair, total in totals.items()]
    heapq.heapify(heap)

    merges = []
    while heap and len(merges) + 256 < vocab_size:
        total, pair = heapq.heappop(heap)
        if -total != totals[pair] or total == 0:
            continue
        new_id = len(merges) + 256
        merges.append(pair)
        touched = set()
        for i in sorted(places[pair]):
            if i not in places[pair]:
                continue  # its left member went into the occurrence before
            j = after[i]
            left, right = before[i], after[j]
            if left >= 0:
                touched.add(found(left, -1))
            if right >= 0:
                touched.add(found(j, -1))
            found(i, -1)
            symbols[i], after[i] = new_id, right
            if right >= 0:
                before[right] = i
                touched.add(found(i, 1))
            if left >= 0:
                touched.add(found(left, 1))
        for other in touched:
            heapq.heappush(heap, (-totals[other], other))
    return merges


def encode(word: bytes, merges: list[tuple[int, int]]) -> list[int]:
    if not isinstance(word, bytes):
        raise TypeError("word must be bytes")
    ids = list(word)
    ranks = {}
    for pair in merges:
        ranks[pair] = len(ranks)
    never = len(ranks)
    while True:
        found = [ranks.get((ids[i], ids[i + 1]), never) for i in range(len(ids) - 1)]
        best = min(found, default=never)
        if best == never:
            return ids
        i = found.index(best)
        ids[i : i + 2] = [256 + best]


def decode(ids: list[int], merges: list[tuple[int, int]]) -> bytes:
    out = bytearray()
    stack = []
    for i in reversed(ids):
        if type(i) is not int:
            raise TypeError("ids must be a list of int")
        if i < 0 or i > 255 + len(merges):
            raise ValueError(f"ids must lie between 0 and {255 + len(merges)}")
        stack.append(i)
    while stack:
        i = stack.pop()
        if i < 256:
            out.append(i)
        else:
            left, right = merges[i - 256]
            stack += [right, left]
    return bytes(out)

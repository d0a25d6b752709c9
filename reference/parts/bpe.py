"""Part 01: byte pair encoding, learned and applied on raw bytes.

Source: Sennrich, Haddow and Birch, "Neural Machine Translation of Rare Words with Subword Units",
arXiv:1508.07909, section 3.2 and algorithm 1; here the symbols are bytes, so that no text is unknown.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from itertools import pairwise

Pair = tuple[int, int]


def merge(ids: list[int], pair: Pair, new_id: int) -> list[int]:
    """Replace every occurrence of `pair` by `new_id`, left to right, not overlapping.

    Args:
        ids: any ints.
        pair: two ints, (left, right).
        new_id: any int, also a member of the pair: what was merged is not looked at again.

    Returns:
        a new list.

    Raises:
        TypeError: an argument is not of the type above.
        ValueError: the pair has not two members.
    """
    _check_ids(ids)
    _check_pair(pair, "pair")
    if not isinstance(new_id, int):
        raise TypeError(f"new_id should be an int, not {type(new_id).__name__}")
    return _merge(ids, pair, new_id)


def train(word_counts: dict[bytes, int], vocab_size: int) -> list[Pair]:
    """Learn merges: each round joins the adjacent pair with the highest count, the smallest pair on a tie.

    Args:
        word_counts: how often each word occurs. Pairs never reach across the border of a word.
        vocab_size: 256 bytes plus the merges to learn, at least 256.

    Returns:
        at most vocab_size - 256 pairs, merge k creating id 256 + k; fewer when no pair is left.

    Raises:
        TypeError: an argument is not of the type above.
        ValueError: vocab_size below 256 or a negative count.
    """
    _check_training(word_counts, vocab_size)
    words = [list(word) for word in word_counts]
    counts = list(word_counts.values())
    pair_counts: Counter[Pair] = Counter()
    words_with: defaultdict[Pair, set[int]] = defaultdict(set)
    for index, ids in enumerate(words):
        for pair in pairwise(ids):
            pair_counts[pair] += counts[index]
            words_with[pair].add(index)
    heap = [(-count, pair) for pair, count in pair_counts.items()]
    heapq.heapify(heap)  # the top has the highest count and, among equals, the smallest pair

    merges: list[Pair] = []
    while heap and len(merges) < vocab_size - 256:
        count, pair = heapq.heappop(heap)
        if -count != pair_counts[pair]:  # out of date. Counts of old pairs only fall: renewed, it sinks
            heapq.heappush(heap, (-pair_counts[pair], pair))
            continue
        if count == 0:
            break
        new_id = 256 + len(merges)
        merges.append(pair)
        born = set()
        for index in words_with.pop(pair):
            ids = words[index]
            for old in pairwise(ids):
                pair_counts[old] -= counts[index]
            words[index] = ids = _merge(ids, pair, new_id)
            for new in pairwise(ids):
                pair_counts[new] += counts[index]
                if new_id in new:
                    words_with[new].add(index)
                    born.add(new)
        for new in born:
            heapq.heappush(heap, (-pair_counts[new], new))
    return merges


def encode(word: bytes, merges: list[Pair]) -> list[int]:
    """Split one word into ids by applying the merges in the order in which they were learned.

    Args:
        word: any bytes.
        merges: from `train`.

    Raises:
        TypeError: an argument is not of the type above.
        ValueError: merges that `train` cannot have learned.
    """
    if not isinstance(word, bytes):
        raise TypeError(f"word should be bytes, not {type(word).__name__}")
    _check_merges(merges)
    rank = {pair: k for k, pair in enumerate(merges)}
    ids = list(word)
    while len(ids) > 1:
        first = min(pairwise(ids), key=lambda pair: rank.get(pair, len(merges)))
        if first not in rank:
            break
        ids = _merge(ids, first, 256 + rank[first])
    return ids


def decode(ids: list[int], merges: list[Pair]) -> bytes:
    """The bytes that the ids stand for: the inverse of `encode`, for any ids, whole characters or not.

    Args:
        ids: each in 0 .. 255 + len(merges).
        merges: from `train`.

    Raises:
        TypeError: an argument is not of the type above.
        ValueError: an id out of range, or merges that `train` cannot have learned.
    """
    _check_ids(ids)
    _check_merges(merges)
    vocabulary = [bytes([byte]) for byte in range(256)]
    for left, right in merges:
        vocabulary.append(vocabulary[left] + vocabulary[right])
    for i in ids:
        if not 0 <= i < len(vocabulary):
            raise ValueError(f"ids should lie in 0 .. {len(vocabulary) - 1}, but hold {i}")
    return b"".join(vocabulary[i] for i in ids)


def _merge(ids: list[int], pair: Pair, new_id: int) -> list[int]:
    left, right = pair
    out, i, last = [], 0, len(ids) - 1
    while i <= last:
        if ids[i] == left and i < last and ids[i + 1] == right:
            out.append(new_id)
            i += 2
        else:
            out.append(ids[i])
            i += 1
    return out


def _check_ids(ids: list[int]) -> None:
    if not isinstance(ids, list) or not all(isinstance(i, int) for i in ids):
        raise TypeError("ids should be a list of ints")


def _check_pair(pair: Pair, name: str) -> None:
    if not isinstance(pair, tuple) or not all(isinstance(i, int) for i in pair):
        raise TypeError(f"{name} should be a tuple of two ints, not {pair!r}")
    if len(pair) != 2:
        raise ValueError(f"{name} should have two members, not {len(pair)}")


def _check_merges(merges: list[Pair]) -> None:
    if not isinstance(merges, list):
        raise TypeError(f"merges should be a list of pairs, not {type(merges).__name__}")
    for k, pair in enumerate(merges):
        _check_pair(pair, f"merges[{k}]")
        if not (0 <= pair[0] < 256 + k and 0 <= pair[1] < 256 + k):
            raise ValueError(f"merges[{k}] should hold ids in 0 .. {255 + k}, not {pair}")
    if len(set(merges)) < len(merges):
        raise ValueError("merges should hold no pair twice")


def _check_training(word_counts: dict[bytes, int], vocab_size: int) -> None:
    if not isinstance(word_counts, dict):
        raise TypeError(f"word_counts should be a dict, not {type(word_counts).__name__}")
    for word, count in word_counts.items():
        if not isinstance(word, bytes) or not isinstance(count, int):
            raise TypeError(f"word_counts should map bytes to int, not {word!r} to {count!r}")
        if count < 0:
            raise ValueError(f"word_counts should hold no negative count, but {word!r} has {count}")
    if not isinstance(vocab_size, int):
        raise TypeError(f"vocab_size should be an int, not {type(vocab_size).__name__}")
    if vocab_size < 256:
        raise ValueError(f"vocab_size should be at least 256, not {vocab_size}")

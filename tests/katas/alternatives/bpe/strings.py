"""Ids as characters of a str: str.replace merges, from left to right and without overlap."""

from collections import Counter, defaultdict
from itertools import pairwise


class WrongIds(ValueError):
    """ids holds something else than it should."""


def ints(name, values):
    if not all(isinstance(value, int) for value in values):
        raise TypeError(name + " should be made of ints")
    return values


def character(i):
    """Any small id as a character, beyond the half surrogate pairs, which are none."""
    return chr(0xE000 + i)


def merge(ids: list[int], pair: tuple[int, int], new_id: int) -> list[int]:
    kinds = sorted({*ints("ids", ids), *ints("pair", pair)})
    place = {kind: n for n, kind in enumerate(kinds)}
    text = "".join(character(place[i]) for i in ids)
    text = text.replace("".join(character(place[i]) for i in pair), character(len(kinds)))
    kinds += ints("new_id", [new_id])
    return [kinds[ord(c) - 0xE000] for c in text]


def train(word_counts: dict[bytes, int], vocab_size: int) -> list[tuple[int, int]]:
    if not all(isinstance(word, bytes) for word in word_counts):
        raise TypeError("word_counts should have keys of bytes")
    if any(count < 0 for count in ints("word_counts", word_counts.values())):
        raise ValueError("word_counts should not go below 0")
    if ints("vocab_size", [vocab_size]) and vocab_size < 256:
        raise ValueError("vocab_size should not go below 256")
    words = {number: "".join(map(character, word)) for number, word in enumerate(word_counts)}
    count_of = dict(enumerate(word_counts.values()))
    counts: Counter[str] = Counter()
    holders: dict[str, set[int]] = defaultdict(set)
    for number, word in words.items():
        for left, right in pairwise(word):
            counts[left + right] += count_of[number]
            holders[left + right].add(number)
    merges = []
    for new_id in range(256, vocab_size):
        most = max(counts.values(), default=0)
        if most <= 0:
            break
        best = min(pair for pair, count in counts.items() if count == most)
        merges.append((ord(best[0]) - 0xE000, ord(best[1]) - 0xE000))
        for number in holders.pop(best):
            old, new = words[number], words[number].replace(best, character(new_id))
            change = Counter(map("".join, pairwise(new)))
            change.subtract(map("".join, pairwise(old)))
            for pair, times in change.items():
                counts[pair] += times * count_of[number]
                if times > 0:
                    holders[pair].add(number)
                if not counts[pair]:
                    del counts[pair]
            words[number] = new
    return merges


def encode(word: bytes, merges: list[tuple[int, int]]) -> list[int]:
    if isinstance(word, str):
        raise TypeError("word should be bytes, not str")
    text = "".join(map(character, word))
    for new_id, (left, right) in enumerate(merges, 256):
        text = text.replace(character(left) + character(right), character(new_id))
    return [ord(c) - 0xE000 for c in text]


def decode(ids: list[int], merges: list[tuple[int, int]]) -> bytes:
    size = 256 + len(merges)
    if any(not 0 <= i < size for i in ints("ids", ids)):
        raise WrongIds(f"ids should be below {size} and not negative")
    for new_id in range(size - 1, 255, -1):
        left, right = merges[new_id - 256]
        ids = [part for i in ids for part in ((left, right) if i == new_id else (i,))]
    return bytes(ids)

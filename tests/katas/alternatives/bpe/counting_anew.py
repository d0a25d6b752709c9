"""The rules read aloud: every round counts all pairs again; encode plays the merges back, decode unfolds them."""

from collections import Counter
from functools import reduce


def check(name, values, kind, least=None, most=None):
    for value in values:
        if not isinstance(value, kind):
            raise TypeError(f"{name}: {value!r} should be of type {kind.__name__}")
        if (least is not None and value < least) or (most is not None and value > most):
            raise ValueError(f"{name}: {value!r} is out of range")


def merge(ids: list[int], pair: tuple[int, int], new_id: int) -> list[int]:
    check("ids", ids, int)
    check("pair", pair, int)
    check("new_id", [new_id], int)
    out = []
    just_merged = False
    for i in ids:
        if out and not just_merged and (out[-1], i) == pair:
            out[-1] = new_id
            just_merged = True
        else:
            out.append(i)
            just_merged = False
    return out


def train(word_counts: dict[bytes, int], vocab_size: int) -> list[tuple[int, int]]:
    check("word_counts", word_counts, bytes)
    check("word_counts", word_counts.values(), int, 0)
    check("vocab_size", [vocab_size], int, 256)
    words = {tuple(word): count for word, count in word_counts.items() if count}
    merges = []
    for new_id in range(256, vocab_size):
        counts = Counter()
        for ids, count in words.items():
            for pair in zip(ids, ids[1:]):  # noqa: B905, RUF007
                counts[pair] += count
        if not counts:
            break
        most = max(counts.values())
        best = min(pair for pair, count in counts.items() if count == most)
        merges.append(best)
        words = {tuple(merge(list(ids), best, new_id)): count for ids, count in words.items()}
    return merges


def encode(word: bytes, merges: list[tuple[int, int]]) -> list[int]:
    check("word", [word], bytes)
    return reduce(lambda ids, rank: merge(ids, merges[rank], 256 + rank), range(len(merges)), list(word))


def decode(ids: list[int], merges: list[tuple[int, int]]) -> bytes:
    check("ids", ids, int, 0, 255 + len(merges))

    def spelled(i):
        return bytes([i]) if i < 256 else spelled(merges[i - 256][0]) + spelled(merges[i - 256][1])

    return b"".join(map(spelled, ids))

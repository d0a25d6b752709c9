"""The bpe part against a brute-force trainer, the rustbpe package and tiktoken."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import pytest
import rustbpe
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.parts.bpe import decode, encode, merge, train

WORDS = r"\S+|\s+"  # a split pattern that every engine reads alike


def prose(seed: int, words: int) -> str:
    """Made-up words of made-up syllables, frequent and rare ones, some outside ASCII."""
    rng = random.Random(seed)
    syllables = [a + b for a in ["b", "st", "ll", "é", "qu", "n", "東"] for b in ["a", "e", "ou", "ing", "ß"]]
    lexicon = ["".join(rng.choices(syllables, k=rng.randint(1, 5))) for _ in range(400)]
    weights = [1 / (rank + 1) for rank in range(len(lexicon))]
    return " ".join(rng.choices(lexicon, weights, k=words))


def counts(text: str) -> dict[bytes, int]:
    words = text.split(" ")
    spaces = {b" ": len(words) - 1}
    return dict(Counter(word.encode() for word in words)) | spaces


def brute_force(word_counts: dict[bytes, int], vocab_size: int) -> list[tuple[int, int]]:
    """The contract read aloud: count everything anew in each round."""
    words = [(list(word), count) for word, count in word_counts.items()]
    merges: list[tuple[int, int]] = []
    while len(merges) < vocab_size - 256:
        found: Counter[tuple[int, int]] = Counter()
        for ids, count in words:
            for pair in pairwise(ids):
                found[pair] += count
        best = max(found.items(), key=lambda item: (item[1], -item[0][0], -item[0][1]), default=(None, 0))
        if best[1] <= 0:
            break
        words = [(merge(ids, best[0], 256 + len(merges)), count) for ids, count in words]
        merges.append(best[0])
    return merges


@pytest.mark.parametrize(
    ("ids", "pair", "new_id", "expected"),
    [
        ([1, 1, 1], (1, 1), 9, [9, 1]),  # left to right, not overlapping
        ([1, 1, 1, 1, 1], (1, 1), 9, [9, 9, 1]),
        ([5, 1, 2, 1, 2, 1], (1, 2), 9, [5, 9, 9, 1]),
        ([1, 2, 2], (1, 2), 1, [1, 2]),  # what was merged is not looked at again
        ([2, 1, 2], (1, 2), 2, [2, 2]),
        ([1, 2], (2, 1), 9, [1, 2]),  # a pair has an order
        ([-3, 10**9], (-3, 10**9), 0, [0]),
        ([1], (1, 1), 9, [1]),
        ([], (1, 1), 9, []),
    ],
)
def test_merge(ids, pair, new_id, expected):
    """merge replaces from left to right, without overlap, and never twice"""
    assert merge(ids, pair, new_id) == expected


def test_merge_returns_a_new_list():
    """merge leaves its list alone, and does not hand it back even if nothing was merged"""
    ids = [1, 2, 3]
    result = merge(ids, (7, 8), 9)
    assert result == ids == [1, 2, 3]
    assert result is not ids


@settings(max_examples=150)
@given(
    st.dictionaries(st.lists(st.sampled_from(b"abc"), max_size=9).map(bytes), st.integers(0, 4), max_size=8),
    st.integers(256, 275),
)
def test_train_is_brute_force(word_counts, vocab_size):
    """on small alphabets, full of ties, overlaps and zero counts, training equals counting anew each round"""
    before = dict(word_counts)
    assert train(word_counts, vocab_size) == brute_force(word_counts, vocab_size)
    assert word_counts == before


def test_train_on_prose_is_brute_force():
    """the same on a few thousand words, far enough for merges of merges"""
    word_counts = counts(prose(seed=1, words=3000))
    merges = train(word_counts, 400)
    assert len(merges) == 144
    assert max(max(pair) for pair in merges) > 300
    assert merges == brute_force(word_counts, 400)


def test_train_equals_the_rustbpe_package():
    """somebody else's trainer learns the same tokens in the same order"""
    text = prose(seed=2, words=20000)
    theirs = rustbpe.Tokenizer()
    theirs.train_from_iterator(iter([text]), 700, pattern=WORDS)
    vocabulary = {bytes(token): rank for token, rank in theirs.get_mergeable_ranks()}
    merges = train(counts(text), 700)
    assert vocabulary == {decode([i], merges): i for i in range(256 + len(merges))}


@pytest.mark.parametrize(
    ("word_counts", "vocab_size", "expected"),
    [
        ({b"zz": 1, b"ba": 1, b"bc": 1, b"ab": 1}, 257, [(97, 98)]),  # a tie: the smallest left,
        ({b"bc": 1, b"ba": 1}, 257, [(98, 97)]),  # then the smallest right
        ({b"aaa": 2, b"bc": 3}, 257, [(97, 97)]),  # aaa holds aa twice
        ({b"ab": 1, b"cd": 5}, 257, [(99, 100)]),  # a word counts as often as its count says
        ({b"xa": 3, b"ay": 3, b"a": 9}, 300, [(97, 121), (120, 97)]),  # never across the border of a word
        ({b"abab": 1}, 300, [(97, 98), (256, 256)]),  # stops early
        ({b"ab": 0}, 300, []),
        ({b"": 3, b"a": 3}, 300, []),
        ({}, 300, []),
        ({b"ab": 4}, 256, []),
    ],
)
def test_train_by_hand(word_counts, vocab_size, expected):
    """ties, overlaps, counts, borders and the end of the pairs, by hand"""
    assert train(word_counts, vocab_size) == expected


def test_encode_is_not_longest_match():
    """bc was learned before ab, so abc becomes a + bc although the token abc exists"""
    merges = [(98, 99), (97, 98), (257, 99)]
    assert encode(b"abc", merges) == [97, 256]
    assert encode(b"abab", merges) == [257, 257]


def test_encode_equals_tiktoken():
    """tiktoken, given our vocabulary, splits new prose into the same ids"""
    merges = train(counts(prose(seed=3, words=5000)), 600)
    ranks = {decode([i], merges): i for i in range(256 + len(merges))}
    witness = tiktoken.Encoding("ours", pat_str=r"[\s\S]+", mergeable_ranks=ranks, special_tokens={})
    new_words = set(prose(seed=4, words=2000).split(" ")) | {"strawberry", "", "aaaa", "東東東"}
    for word in sorted(new_words):
        assert encode(word.encode(), merges) == witness.encode_ordinary(word), word


MERGES = train(counts(prose(seed=5, words=2000)), 400)


@given(st.binary(max_size=40) | st.sampled_from(prose(seed=5, words=300).split(" ")).map(str.encode))
def test_round_trip(word):
    """decoding undoes encoding, for bytes of any kind, and encoding leaves nothing that could be merged"""
    ids = encode(word, MERGES)
    assert decode(ids, MERGES) == word
    assert not set(pairwise(ids)) & set(MERGES)


def test_decode_is_on_bytes():
    """a token that is half a character survives: decoding is not a matter of UTF-8"""
    assert decode([0x80], []) == b"\x80"
    assert decode([256, 0xE6], [(0x9D, 0xB1)]) == b"\x9d\xb1\xe6"
    assert decode([], []) == b""


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: train({b"ab": 1}, 255), ValueError, "vocab_size"),
        (lambda: train({b"ab": -1}, 300), ValueError, "word_counts"),
        (lambda: decode([256], []), ValueError, "ids"),
        (lambda: decode([-1], [(97, 98)]), ValueError, "ids"),
        (lambda: encode(b"ab", [(97, 256)]), ValueError, "merges"),  # merge 0 cannot know id 256
        (lambda: decode([97], [(97, 98), (-1, 98)]), ValueError, "merges"),
        (lambda: encode(b"ab", [(97, 98), (97, 98)]), ValueError, "merges"),
        (lambda: merge([1], (1, 2, 3), 9), ValueError, "pair"),
        (lambda: encode("ab", []), TypeError, "word"),
        (lambda: encode(b"ab", {}), TypeError, "merges"),
        (lambda: encode(b"ab", [[97, 98]]), TypeError, "merges"),
        (lambda: decode(b"ab", []), TypeError, "ids"),
        (lambda: decode([1.0], []), TypeError, "ids"),
        (lambda: train({"ab": 1}, 300), TypeError, "word_counts"),
        (lambda: train({b"ab": 1.0}, 300), TypeError, "word_counts"),
        (lambda: train([b"ab"], 300), TypeError, "word_counts"),
        (lambda: train({b"ab": 1}, 300.0), TypeError, "vocab_size"),
        (lambda: merge("ab", (1, 2), 9), TypeError, "ids"),
        (lambda: merge([1], [1, 2], 9), TypeError, "pair"),
        (lambda: merge([1], (1, 2), 9.0), TypeError, "new_id"),
    ],
)
def test_bad_input(call, error, name):
    """bad input is refused with a message that names the argument"""
    with pytest.raises(error, match=name):
        call()

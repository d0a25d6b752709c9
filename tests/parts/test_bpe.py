"""The bpe part against what nobody here wrote: the rustbpe package and tiktoken."""

from __future__ import annotations

import random
from collections import Counter

import rustbpe
import tiktoken

from reference.parts.bpe import decode, encode, train

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


def test_train_equals_the_rustbpe_package():
    """somebody else's trainer learns the same tokens in the same order"""
    text = prose(seed=2, words=20000)
    theirs = rustbpe.Tokenizer()
    theirs.train_from_iterator(iter([text]), 700, pattern=WORDS)
    vocabulary = {bytes(token): rank for token, rank in theirs.get_mergeable_ranks()}
    merges = train(counts(text), 700)
    assert vocabulary == {decode([i], merges): i for i in range(256 + len(merges))}


def test_encode_equals_tiktoken():
    """tiktoken, given our vocabulary, splits new prose into the same ids"""
    merges = train(counts(prose(seed=3, words=5000)), 600)
    ranks = {decode([i], merges): i for i in range(256 + len(merges))}
    witness = tiktoken.Encoding("ours", pat_str=r"[\s\S]+", mergeable_ranks=ranks, special_tokens={})
    new_words = set(prose(seed=4, words=2000).split(" ")) | {"strawberry", "", "aaaa", "東東東"}
    for word in sorted(new_words):
        assert encode(word.encode(), merges) == witness.encode_ordinary(word), word

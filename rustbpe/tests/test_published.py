"""The same merges, ids and pattern as the published package 0.1.0, on any corpus, vocabulary and pattern."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from corpora import PATTERNS, corpora, texts, trained
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def same(published: Any, corpus: list[str], vocab_size: int, pattern: str | None, others: list[str]) -> None:
    """Ours and theirs, trained on the corpus, agree; both encode the corpus and the other texts."""
    request: dict[str, Any] = {
        "texts": corpus,
        "vocab_size": vocab_size,
        "pattern": pattern,
        "encode": [*corpus, *others],
    }
    theirs = published(request)
    ours = trained(corpus, vocab_size, pattern)
    assert [[token.hex(), rank] for token, rank in ours.get_mergeable_ranks()] == theirs["ranks"]
    assert ours.get_pattern() == theirs["pattern"]
    assert [ours.encode(text) for text in request["encode"]] == theirs["ids"]
    assert ours.batch_encode(request["encode"]) == theirs["ids"]
    assert ours.vocab_size == len(theirs["ranks"])
    for text, ids in zip(request["encode"], theirs["ids"], strict=True):
        if pattern in PATTERNS[:5]:  # these leave no character out
            assert ours.decode(ids) == text


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(corpora, st.integers(256, 330), st.sampled_from(PATTERNS), st.lists(texts, max_size=3))
def test_random_corpora(published: Any, corpus: list[str], vocab_size: int, pattern: str, others: list[str]) -> None:
    """Whatever the corpus, the vocabulary and the pattern, both learn and encode the same."""
    same(published, corpus, vocab_size, pattern, others)


@pytest.mark.parametrize("seed", range(30))
def test_larger_corpora(published: Any, seed: int) -> None:
    """Thousands of words from random syllables, at last until no pair is left."""
    random = Random(seed)
    syllables = ["".join(random.choices("abcdeé", k=random.randint(1, 3))) for _ in range(20)]
    words = ["".join(random.choices(syllables, k=random.randint(1, 5))) for _ in range(300)]
    corpus = [" ".join(random.choices(words, k=100)) for _ in range(30)]
    same(published, corpus, (400, 1000, 20_000)[seed % 3], PATTERNS[seed % 6], [])


@pytest.mark.parametrize("kind", [r"\p{L}", r"\p{N}", r"\s"])
def test_every_character(published: Any, kind: str) -> None:
    """Both have one Unicode: the same letters, numbers and blanks. tests/split.rs has the scanner's."""
    everything = "".join(chr(i) for i in range(0x110000) if not 0xD800 <= i < 0xE000)
    same(published, [everything], 256, kind, [])


def test_a_megabyte_of_one_letter(published: Any) -> None:
    """Both learn the same from a million times the same letter."""
    request = {"texts": ["a" * 1_000_000], "vocab_size": 300, "pattern": None, "encode": []}
    ours = trained(request["texts"], 300)
    assert [[token.hex(), rank] for token, rank in ours.get_mergeable_ranks()] == published(request)["ranks"]
    assert ours.decode(ours.encode("a" * 1_000_001)) == "a" * 1_000_001

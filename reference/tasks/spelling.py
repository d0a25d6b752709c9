"""Spelling: words that a model, which sees tokens, never sees the letters of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

from reference.data.hub import Missing
from reference.data.lazy import Lazy
from reference.errors import UserError
from reference.tasks.task import Example, Task, exchange

WORDS_URL = "https://raw.githubusercontent.com/dwyl/english-words/master/words_alpha.txt"
TEST_SHARE = 10  # of the words, one in ten is kept for testing
TEST_SEEDS = 10_000_000  # example i of a test split is drawn from seed TEST_SEEDS + i, one to train on from seed i


def read_words(file: Path) -> list[str]:
    """A word list, one word a line, in the order of the file."""
    try:
        words = file.read_text(encoding="utf-8").split()
    except OSError as error:
        raise Missing(f"There is no word list at {file}; fetch it with: python -m reference data --words.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"The word list {file} is not text in UTF-8; fetch it again.") from error
    if len(words) < 2 * TEST_SHARE:
        raise UserError(f"The word list {file} holds {len(words)} words; it needs {2 * TEST_SHARE}, one a line.")
    return words


def words_of_split(words: Sequence[str], split: str) -> list[str]:
    """The split's words in a fixed random order: one in ten is in "test", the others in "train", none in both."""
    order = sorted(set(words))
    Random(42).shuffle(order)
    held_out = len(order) // TEST_SHARE
    return {"test": order[:held_out], "train": order[held_out:]}[split]


def rng_of(split: str, index: int) -> Random:
    """The generator that draws example `index` of a split. Python takes -1 and 1 as one seed, so no signs are used."""
    if not 0 <= index < TEST_SEEDS:
        raise ValueError(f"an index should lie in 0 .. {TEST_SEEDS - 1:,}, or train and test would meet, not {index:,}")
    return Random(index + (TEST_SEEDS if split == "test" else 0))


def spelled(word: str) -> str:
    """word:w,o,r,d"""
    return f"{word}:{','.join(word)}"


def simple_spelling(words: Sequence[str], size: int, split: str) -> Task:
    """`size` requests to spell a word of the split, each word once until all have come."""
    own = words_of_split(words, split)

    def read(i: int) -> Example:
        word = own[i % len(own)]
        return Example(exchange(f"Spell the word: {word}", spelled(word)), spelled(word))

    return Task("simple_spelling", Lazy(size, read), lambda gold, completion: completion.strip() == gold)

"""Kata 01: byte pair encoding. The lesson is in README.md beside this file."""

from __future__ import annotations


def merge(ids: list[int], pair: tuple[int, int], new_id: int) -> list[int]:
    """Replace every occurrence of `pair` in `ids` by `new_id`: merge([1, 1, 1], (1, 1), 9) == [9, 1].

    Occurrences are taken from left to right and do not overlap; what was merged is not looked at again.

    Args:
        ids: any ints, any length.
        pair: (left, right).
        new_id: any int, also a member of the pair.

    Returns:
        a new list; `ids` stays as it is.

    Raises:
        TypeError: ids, pair or new_id holds or is a float; the message names the argument, here and below.
    """
    raise NotImplementedError("kata 01 bpe: write merge(); the lesson is katas/bpe/README.md")


def train(word_counts: dict[bytes, int], vocab_size: int) -> list[tuple[int, int]]:
    """Learn merges: each round joins the adjacent pair with the highest count, on a tie the smallest (left, right).

    Ids 0-255 are the bytes, merge k creates id 256 + k. In every word all neighbors count, overlapping ones too
    (`aaa` holds `aa` twice), as often as the word's count says. No pair reaches across the border of a word.

    Args:
        word_counts: how often each word occurs, 0 or more.
        vocab_size: 256 bytes and the merges to learn, at least 256.

    Returns:
        at most vocab_size - 256 pairs, in the order learned; fewer when no pair has a count above 0.

    Raises:
        ValueError: vocab_size is below 256, or word_counts holds a negative count.
        TypeError: a key of word_counts is a str; a count or vocab_size is a float.
    """
    raise NotImplementedError("kata 01 bpe: write train(); the lesson is katas/bpe/README.md")


def encode(word: bytes, merges) -> list[int]:
    """Split one word into ids: apply the merges in the order in which they were learned, not the longest match.

    Args:
        word: any bytes, any length.
        merges: what `train` returned, list[tuple[int, int]].

    Raises:
        TypeError: word is a str.
    """
    raise NotImplementedError("kata 01 bpe: write encode(); the lesson is katas/bpe/README.md")


def decode(ids: list[int], merges) -> bytes:
    """The bytes that the ids stand for, whether or not they are whole characters: the inverse of `encode`.

    Args:
        ids: each in 0 .. 255 + len(merges).
        merges: what `train` returned, list[tuple[int, int]].

    Raises:
        ValueError: ids holds one below 0 or above 255 + len(merges).
        TypeError: ids holds a float.
    """
    raise NotImplementedError("kata 01 bpe: write decode(); the lesson is katas/bpe/README.md")

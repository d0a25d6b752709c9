"""Byte-level BPE: learns merges from text and encodes text with them.

A drop-in for the published rustbpe 0.1.0, with the same merges, ids and patterns, and more. The algorithm is that of
Sennrich, Haddow and Birch, "Neural Machine Translation of Rare Words with Subword Units" (arXiv 1508.07909), on bytes
as in GPT-2.

Whatever is bad input raises ValueError, or TypeError for a wrong type, that names the argument and the item; the
tokenizer stays what it was. The GIL is released for the work, and Ctrl-C ends it.
"""

from collections.abc import Callable, Iterable
from os import PathLike

import numpy as np
import numpy.typing as npt

class Tokenizer:
    """Ids 0-255 are the bytes, 256 + k is merge k, and the special tokens follow the last merge.

    A new tokenizer has no merges and an empty pattern, which finds no words: train it, or `load` one.
    """

    def __init__(self) -> None: ...
    def train_from_iterator(
        self,
        iterator: Iterable[str],
        vocab_size: int,
        buffer_size: int = 8192,
        pattern: str | None = None,
        *,
        special_tokens: list[str] | None = None,
        threads: int | None = None,
        progress: Callable[[str, int, int | None], object] | None = None,
    ) -> None:
        """Learn merges from texts, which are pulled as they are needed and never held all at once.

        Args:
            iterator: of str. None of them may hold half a surrogate pair.
            vocab_size: bytes, merges and special tokens together; fewer where no pair is left to merge.
            buffer_size: at most so many texts are pulled at a time.
            pattern: a regular expression, as of the Rust crate fancy-regex. Its matches are the words that no merge
                crosses. By default that of GPT-4 with the end of white space as in nanochat, see `get_pattern`.
            special_tokens: names of tokens that take the last ids and are never merged.
            threads: that count words; by default one per core. The result does not depend on it.
            progress: called ten times a second, and at the end of each stage, with ("count", bytes so far, None) and
                then ("merge", merges so far, merges asked for). An exception that it raises ends the training.
        """

    def train_from_files(
        self,
        paths: Iterable[str | PathLike[str]],
        vocab_size: int,
        text_column: str = "text",
        pattern: str | None = None,
        *,
        special_tokens: list[str] | None = None,
        threads: int | None = None,
        progress: Callable[[str, int, int | None], object] | None = None,
    ) -> None:
        """As `train_from_iterator`, on files that no Python object is made of.

        Args:
            paths: of files. One that ends in .parquet gives a text per row, nulls left out; it is uncompressed or
                compressed by snappy or zstd. Any other is one text in UTF-8.
            text_column: the name of the column of strings in parquet files.
            vocab_size, pattern, special_tokens, threads, progress: as there.
        """

    def encode(self, text: str, special: bool = False) -> list[int]:
        """The ids of a text. With special=True names of special tokens in it become those, else they are ordinary."""

    def encode_to_numpy(self, text: str, special: bool = False) -> npt.NDArray[np.uint32]:
        """The ids of a text, uint32 (n,), without a Python int for each."""

    def count_tokens(self, text: str, special: bool = False) -> int:
        """How many ids a text has."""

    def batch_encode(
        self, texts: Iterable[str], threads: int | None = None, *, special: bool = False
    ) -> list[list[int]]:
        """The ids of each text, with so many threads, by default one per core."""

    def batch_encode_to_numpy(
        self, texts: Iterable[str], threads: int | None = None, *, special: bool = False
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        """All ids, uint32 (n,), and offsets, int64 (texts + 1,): text i has ids[offsets[i] : offsets[i + 1]]."""

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids. UnicodeDecodeError, a ValueError, where their bytes are not UTF-8."""

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of ids, whatever they are."""

    def token_bytes(self) -> list[bytes]:
        """The bytes of every token, by id; those of a special token are its name's."""

    @property
    def vocab_size(self) -> int:
        """The number of ids: 256 bytes, the merges and the special tokens."""

    @property
    def special_tokens(self) -> dict[str, int]:
        """The ids of the special tokens, by name."""

    def get_pattern(self) -> str:
        """The pattern that splits texts into words."""

    def get_mergeable_ranks(self) -> list[tuple[bytes, int]]:
        """The bytes and the id of every token that is not special, by id: what tiktoken takes, as a dict."""

    def get_merges(self) -> list[tuple[int, int]]:
        """The pairs of ids that were merged, in the order learned: merge k made id 256 + k."""

    def save(self, path: str | PathLike[str]) -> None:
        """Write the tokenizer to a JSON file, whole or not at all. OSError where that is impossible."""

    @staticmethod
    def load(path: str | PathLike[str]) -> Tokenizer:
        """The tokenizer that `save` wrote. ValueError, which names the file, if it is anything else or missing."""

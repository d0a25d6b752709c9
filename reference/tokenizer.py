"""Text to token ids and back: byte-level BPE with nine special tokens, and conversations in the chat format.

Training finds the merges, through the `bpe` part or, at any scale, the rustbpe package; tiktoken encodes with
them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import regex
import rustbpe
import tiktoken
import torch
from torch import Tensor

from reference.checkpoint import write_atomically
from reference.conversation import turns
from reference.errors import UserError
from reference.parts import Parts

SPECIAL_TOKENS = (
    "bos", "user_start", "user_end", "assistant_start", "assistant_end",
    "python_start", "python_end", "output_start", "output_end",
)  # fmt: skip

# Merges never cross a border between two of these: contraction endings; letters with at most one sign before
# them; numbers by two digits; runs of signs; line ends; white space up to the last blank of a gap; the blank.
SPLIT_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)

SMALLEST_VOCABULARY = 256 + len(SPECIAL_TOKENS)
LONGEST_DOCUMENT = 10_000  # characters of a document that training looks at
FORMAT = 1


class Tokenizer:
    """Ids 0-255 are the bytes, 256+k is merge k, and the special tokens follow the last merge.

    Encoding is always ordinary: the letters "<|bos|>" in a text are encoded as letters, never as the special
    token. Half a surrogate pair, which UTF-8 cannot hold, is encoded as U+FFFD.
    """

    def __init__(self, merges: list[tuple[int, int]]) -> None:
        """merges: the pair that each merge joins, in the order learned; ValueError if no text gives them."""
        self.merges = [(left, right) for left, right in merges]
        ranks = _ranks(self.merges)
        self.special = {name: len(ranks) + i for i, name in enumerate(SPECIAL_TOKENS)}
        self.vocab_size = len(ranks) + len(SPECIAL_TOKENS)
        self._encoding = tiktoken.Encoding(
            "nanokata",
            pat_str=SPLIT_PATTERN,
            mergeable_ranks=ranks,
            special_tokens={f"<|{name}|>": i for name, i in self.special.items()},
        )

    def encode(self, text: str) -> list[int]:
        return self._encoding.encode_ordinary(text)

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        return self._encoding.encode_ordinary_batch(texts)

    def decode_bytes(self, ids: list[int]) -> bytes:
        """The bytes of the tokens, special tokens as `<|name|>`; KeyError for an id beyond the vocabulary."""
        return self._encoding.decode_bytes(ids)

    def decode(self, ids: list[int]) -> str:
        """As `decode_bytes`, with U+FFFD where the bytes are not UTF-8."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def token_bytes(self) -> Tensor:
        """The length in bytes of every token, int32 (V,); special tokens are no text and count 0."""
        lengths = torch.zeros(self.vocab_size, dtype=torch.int32)
        mergeable = self.vocab_size - len(SPECIAL_TOKENS)
        lengths[:mergeable] = torch.tensor([len(self.decode_bytes([i])) for i in range(mergeable)])
        return lengths

    def render(self, conversation: dict, parts: Parts, max_tokens: int | None = None) -> tuple[list[int], list[int]]:
        """A conversation as (ids, mask); mask is 1 where the model must learn to produce the token.

        The form of a conversation, and the ValueError for any other, are those of `conversation.turns`. Each
        part is encoded by itself; max_tokens cuts the end off.
        """
        return parts.loss_mask.render(self._tokenized(turns(conversation)), self.special, max_tokens)

    def render_prompt(self, conversation: dict, parts: Parts) -> list[int]:
        """The ids up to where the assistant's next answer begins; one that is already there is left out."""
        messages = turns(conversation)
        if messages[-1]["role"] == "assistant":
            messages = messages[:-1]
        ids, _ = parts.loss_mask.render(self._tokenized(messages), self.special)
        return [*ids, self.special["assistant_start"]]

    def _tokenized(self, messages: list[dict]) -> list[dict]:
        return [
            {
                "role": message["role"],
                "parts": [{"type": part["type"], "ids": self.encode(part["text"])} for part in message["parts"]],
            }
            for message in messages
        ]

    def save(self, path: Path) -> None:
        """Writes the tokenizer as one JSON file, whole or not at all."""
        content = {
            "format": FORMAT,
            "pattern": SPLIT_PATTERN,
            "special": SPECIAL_TOKENS,
            "merges": self.merges,
        }
        write_atomically(path, json.dumps(content).encode())

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """Reads what `save` wrote. Raises UserError, which names the file, if it is anything else."""
        try:
            content = json.loads(path.read_bytes())
        except OSError as error:
            raise UserError(f"Cannot read the tokenizer {path}: {error.strerror}.") from error
        except (ValueError, RecursionError) as error:
            raise UserError(f"The tokenizer {path} is not JSON; train it again.") from error
        try:
            return cls(_checked_merges(content))
        except ValueError as error:
            raise UserError(f"The tokenizer {path} is damaged ({error}); train it again.") from error


def word_counts(texts: Iterable[str]) -> dict[bytes, int]:
    """How often each chunk of the split pattern occurs, as the `bpe` part's train takes it."""
    split = regex.compile(SPLIT_PATTERN)
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(split.findall(_trimmed(text)))
    return {chunk.encode(): count for chunk, count in counts.items()}


def train_tokenizer(texts: Iterable[str], vocab_size: int, parts: Parts) -> Tokenizer:
    """A tokenizer of at most vocab_size ids, specials included, trained through the `bpe` part."""
    _check_size(vocab_size)
    return Tokenizer(parts.bpe.train(word_counts(texts), vocab_size - len(SPECIAL_TOKENS)))


def train_tokenizer_rust(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """The same through the rustbpe package: many times faster, and texts need not fit in memory."""
    _check_size(vocab_size)
    trainer = rustbpe.Tokenizer()
    trainer.train_from_iterator(map(_trimmed, texts), vocab_size - len(SPECIAL_TOKENS), pattern=SPLIT_PATTERN)
    return Tokenizer(merges_of_ranks({bytes(token): rank for token, rank in trainer.get_mergeable_ranks()}))


def which_rustbpe() -> str:
    """The rustbpe that is installed, in words: `nox -s rustbpe` labels its version with a +."""
    installed = version("rustbpe")
    return f"{installed}, {'built from rustbpe/' if '+' in installed else 'the published wheel'}"


def merges_of_ranks(ranks: dict[bytes, int]) -> list[tuple[int, int]]:
    """The merges behind a table of tokens: a token's halves are what the merges before it make of it."""
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1])[256:]:
        pieces = [token[i : i + 1] for i in range(len(token))]
        while len(pieces) > 2:
            joined = [ranks.get(left + right, rank) for left, right in pairwise(pieces)]
            first = joined.index(min(joined))
            pieces[first : first + 2] = [pieces[first] + pieces[first + 1]]
        merges.append((ranks[pieces[0]], ranks[pieces[1]]))
    return merges


def _trimmed(text: str) -> str:
    # The round trip turns half a surrogate pair into U+FFFD, exactly as tiktoken does when it encodes.
    return text[:LONGEST_DOCUMENT].encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _check_size(vocab_size: int) -> None:
    if vocab_size < SMALLEST_VOCABULARY:
        raise UserError(
            f"A vocabulary of {vocab_size} is too small; ask for at least {SMALLEST_VOCABULARY}, which are "
            f"the 256 bytes and the {len(SPECIAL_TOKENS)} special tokens."
        )


def _ranks(merges: list[tuple[int, int]]) -> dict[bytes, int]:
    # Two merges that give the same bytes cannot come out of training: no merge has crossed a token's borders,
    # so its bytes went through the same merges wherever they stand, and became one token at one moment.
    tokens = [bytes([i]) for i in range(256)]
    for k, (left, right) in enumerate(merges):
        if not (0 <= left < 256 + k and 0 <= right < 256 + k):
            raise ValueError(f"merge {k} joins {left} and {right}, which do not exist yet")
        tokens.append(tokens[left] + tokens[right])
    ranks = {token: i for i, token in enumerate(tokens)}
    if len(ranks) < len(tokens):
        raise ValueError("two merges give the same token")
    return ranks


def _checked_merges(content: Any) -> list[tuple[int, int]]:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"it is not of format {FORMAT}")
    if content.get("pattern") != SPLIT_PATTERN or content.get("special") != list(SPECIAL_TOKENS):
        raise ValueError("its pattern or special tokens are not this version's")
    merges = content.get("merges")
    if not isinstance(merges, list):
        raise ValueError("it has no list of merges")
    for k, merge in enumerate(merges):
        if not (isinstance(merge, list) and len(merge) == 2 and all(type(i) is int for i in merge)):
            raise ValueError(f"merge {k} is not a pair of ids")
    return [(left, right) for left, right in merges]

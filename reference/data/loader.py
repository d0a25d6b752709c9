"""Documents to batches: one endless row of tokens, cut into (B, T), that can be taken up again anywhere."""

from __future__ import annotations

from collections import deque
from itertools import islice

import torch
from torch import Tensor

from reference.data.documents import DocumentSource
from reference.tokenizer import Tokenizer

READ_AHEAD = 64  # documents encoded per call


class TokenLoader:
    """Batches of a source's documents, each with bos before it, one after another without gaps.

    Every token but the very first is a target exactly once. `position`, a dictionary for JSON, is where the
    next batch begins: the number of this rank's document and how many of its tokens, bos included, are used
    up. A loader made with it goes on exactly there.
    """

    def __init__(
        self,
        source: DocumentSource,
        tokenizer: Tokenizer,
        batch_size: int,
        seq_len: int,
        split: str = "train",
        rank: int = 0,
        world_size: int = 1,
        position: dict | None = None,
    ) -> None:
        self.position = position or {"document": 0, "offset": 0}
        self._shape = (batch_size, seq_len)
        self._tokenizer = tokenizer
        self._documents = source.stream(split, self.position["document"], rank, world_size)
        self._tokens: list[int] = []  # what has been read and not been an input yet
        self._lengths: deque[int] = deque()  # of the documents in it; the first counts from its own beginning
        self._skip = self.position["offset"]

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """Inputs and targets, int64 (B, T) on the CPU; read row after row, a target is the next input."""
        size = self._shape[0] * self._shape[1]
        while len(self._tokens) < size + 1:
            self._read()
        tokens = torch.tensor(self._tokens[: size + 1])
        self._advance(size)  # the last target stays: it is the next batch's first input
        return tokens[:-1].view(self._shape), tokens[1:].view(self._shape)

    def _read(self) -> None:
        bos = self._tokenizer.special["bos"]
        for ids in self._tokenizer.encode_batch(list(islice(self._documents, READ_AHEAD))):
            self._lengths.append(1 + len(ids))
            self._tokens.append(bos)
            self._tokens.extend(ids)
        del self._tokens[: self._skip]
        self._skip = 0

    def _advance(self, count: int) -> None:
        del self._tokens[:count]
        document, offset = self.position["document"], self.position["offset"] + count
        while offset >= self._lengths[0]:
            offset -= self._lengths.popleft()
            document += 1
        self.position = {"document": document, "offset": offset}

"""Conversations to batches: rows of one length, for ever, that can be taken up again anywhere."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reference.errors import UserError
from reference.parts import Parts
from reference.tasks.task import Conversation
from reference.tokenizer import Tokenizer


class ChatLoader:
    """Batches of ids, int64, and mask, bool, (B, T+1) each; the mask is 1 on what is to be learned.

    With `flat` the conversations follow one another without gaps and every token is to be learned; each is a target
    once. Otherwise a row holds whole conversations, padded, and what the assistant says is to be learned; only one
    that is longer than a row is cut. In a world of W processes each takes every W-th conversation, epoch after epoch.

    `position` is where the next batch begins, as in TokenLoader.
    """

    def __init__(
        self,
        conversations: Sequence[Conversation],
        tokenizer: Tokenizer,
        parts: Parts,
        batch_size: int,
        seq_len: int,
        flat: bool,
        rank: int = 0,
        world_size: int = 1,
        position: dict | None = None,
    ) -> None:
        if not conversations:
            raise UserError(
                "There is no conversation at all to train on or to measure by; fetch the data sets of the hub."
            )
        self.position = position or {"conversation": 0, "offset": 0}
        self._conversations, self._tokenizer, self._parts = conversations, tokenizer, parts
        self._shape, self._flat = (batch_size, seq_len), flat
        self._rank, self._world_size = rank, world_size
        self._rendered: dict[int, tuple[list[int], list[int]]] = {}  # those of the last row, the next begins with one

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """Ids and mask of the next B rows, on the CPU."""
        rows = [self._flat_row() if self._flat else self._packed_row() for _ in range(self._shape[0])]
        ids, mask = zip(*rows, strict=True)
        return torch.tensor(ids), torch.tensor(mask, dtype=torch.bool)

    def _flat_row(self) -> tuple[list[int], list[int]]:
        number, offset = self.position["conversation"], self.position["offset"]
        T = self._shape[1]
        ids = self._render(number)[0][offset:]
        at = number
        while len(ids) < T + 1:
            at += 1
            ids = ids + self._render(at)[0]
        offset += T  # the last target is the next row's first input
        while offset >= len(self._render(number)[0]):
            offset -= len(self._render(number)[0])
            number += 1
        self._move(number, offset)
        return ids[: T + 1], [1] * (T + 1)

    def _packed_row(self) -> tuple[list[int], list[int]]:
        number, width = self.position["conversation"], self._shape[1] + 1
        ids, mask = (half[:width] for half in self._render(number))
        number += 1
        while len(ids) + len(self._render(number)[0]) <= width:
            ids, mask = ids + self._render(number)[0], mask + self._render(number)[1]
            number += 1
        self._move(number, 0)
        padding = width - len(ids)
        return ids + [self._tokenizer.special["assistant_end"]] * padding, mask + [0] * padding

    def _render(self, number: int) -> tuple[list[int], list[int]]:
        """Ids and mask of this process' conversation of that number."""
        if number not in self._rendered:
            index = (number * self._world_size + self._rank) % len(self._conversations)
            self._rendered[number] = self._tokenizer.render(self._conversations[index], self._parts)
        return self._rendered[number]

    def _move(self, conversation: int, offset: int) -> None:
        self.position = {"conversation": conversation, "offset": offset}
        self._rendered = {number: rendered for number, rendered in self._rendered.items() if number >= conversation}

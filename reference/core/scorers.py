"""How well a model continues: the loss of every judged token, and whether it was the likeliest."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from reference.core.spans import Span
from reference.model import GPT

# ids (B, T), rows (N,), positions (N,), all int64 -> logits (N, V): those after token positions[n] of row rows[n]
Reader = Callable[[Tensor, Tensor, Tensor], Tensor]
BATCH_TOKENS = 16_384


@dataclass(frozen=True)
class Reading:
    """What a model makes of one span.

    Attributes:
        losses: of the judged tokens, in nats.
        exact: was each of them the likeliest token at its place?
    """

    losses: list[float]
    exact: bool

    @property
    def mean(self) -> float:
        """The mean loss; infinity for a span of no tokens, which says nothing and so is never the best."""
        return sum(self.losses) / len(self.losses) if self.losses else math.inf


def reader_of(model: GPT) -> Reader:
    """Reads with a model of ours: the head runs on the judged positions alone."""
    return lambda ids, rows, positions: model.logits(model.hidden(ids)[rows, positions])


def reader_of_transformers(model: Any) -> Reader:
    """Reads with a causal language model of the transformers library."""
    return lambda ids, rows, positions: model(ids).logits[rows, positions]


@torch.inference_mode()
def read(
    reader: Reader,
    spans: Sequence[Span],
    pad: int,
    device: torch.device | str = "cpu",
    batch_tokens: int = BATCH_TOKENS,
) -> list[Reading]:
    """Read all spans, those of like length together.

    Args:
        reader: the model.
        spans: what to read.
        pad: any token. It stands on the right, which nothing on its left sees.
        device: where the reader computes.
        batch_tokens: about so many tokens at once, padding included.
    """
    readings: dict[int, Reading] = {}
    for numbers in _batches([len(span.ids) for span in spans], batch_tokens):
        batch = [spans[i] for i in numbers]
        T = max(len(span.ids) for span in batch)
        ids = torch.tensor([span.ids + [pad] * (T - len(span.ids)) for span in batch], device=device)  # (B, T)
        places = [(b, t) for b, span in enumerate(batch) for t in range(span.start, span.stop)]
        if places:
            rows, judged = torch.tensor(places, device=device).T
            logits = reader(ids, rows, judged - 1).float()  # after token t - 1 comes the prediction of token t
            targets = ids[rows, judged]  # (N,)
            losses = F.cross_entropy(logits, targets, reduction="none").tolist()
            right = (logits.argmax(-1) == targets).tolist()
        else:
            losses, right = [], []
        at = 0
        for i, span in zip(numbers, batch, strict=True):
            end = at + span.stop - span.start
            readings[i] = Reading(losses[at:end], all(right[at:end]))
            at = end
    return [readings[i] for i in range(len(spans))]


def _batches(lengths: list[int], tokens: int) -> Iterator[list[int]]:
    """The numbers of the spans, longest first, in groups of about so many tokens."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def is_right(kind: str, readings: Sequence[Reading], gold: int) -> bool:
    """Does the model answer the question whose spans were read?

    Where it chooses, its choice is the span of the lowest mean loss, the first of equals; where it continues, every
    token of the answer must be its likeliest.
    """
    if kind == "language_modeling":
        return readings[0].exact
    means = [reading.mean for reading in readings]
    return means.index(min(means)) == gold

"""Inference: a prompt is read once, then a batch of rows is sampled, with tool calls answered on the way."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from reference.blame import first_not_finite
from reference.errors import UserError
from reference.model import GPT
from reference.parts import Parts
from reference.tokenizer import Tokenizer


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen.

    Attributes:
        max_tokens: at most so many after the prompt, forced ones included.
        temperature: 0 takes the most likely token; otherwise logits are divided by it.
        top_k: only the k most likely tokens may be drawn; None allows all.
        seed: of the generator that draws.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_k: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Completion:
    """What followed a prompt: ids, the terminal one included, and a mask: 1 sampled by the model, 0 forced by tools."""

    ids: list[int]
    mask: list[int]


def sample(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> Tensor:
    """Draw one token a row: (N, V) float32 -> (N,) int64.

    Raises:
        FloatingPointError: a logit is not a number.
    """
    if sampling.temperature == 0:
        largest = logits.max(dim=-1)  # on a CPU twice as fast as argmax
        _check_numbers(largest.values)
        return largest.indices
    logits = logits / sampling.temperature
    if sampling.top_k is not None:
        values, ids = logits.topk(min(sampling.top_k, logits.shape[-1]))  # (N, k)
        return ids.gather(1, _draw(values, generator))[:, 0]
    return _draw(logits, generator)[:, 0]


def _draw(logits: Tensor, generator: torch.Generator) -> Tensor:
    """(N, V) -> (N, 1), distributed as the softmax of each row.

    A point is drawn between 0 and the sum of the probabilities; it falls to the token on whose stretch it lies. That
    takes one random number a row, where torch.multinomial draws V: at V = 2048 it is 16 times as fast on a CPU.
    """
    ends = logits.softmax(-1).cumsum(-1)  # (N, V)
    _check_numbers(ends[:, -1])
    points = torch.rand(len(logits), 1, generator=generator, device=logits.device) * ends[:, -1:]
    return torch.searchsorted(ends, points, right=True)  # right: a point on a border belongs to the token after it


def _check_numbers(of_each_row: Tensor) -> None:
    """Raise a FloatingPointError unless all are numbers: (N,), where a row has NaN if one of its logits is NaN."""
    if not math.isfinite(of_each_row.sum().item()):
        raise FloatingPointError("the model's logits are not numbers")


class _Widened:
    """A cache in front of a wider one: what the n prompts insert goes to the wider cache with every row repeated."""

    def __init__(self, narrow: Any, wide: Any, samples: int) -> None:
        self.narrow, self.wide, self.samples = narrow, wide, samples

    @property
    def length(self) -> int:
        return self.narrow.length

    def insert(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        self.wide.insert(layer, k.repeat_interleave(self.samples, 0), v.repeat_interleave(self.samples, 0))
        return self.narrow.insert(layer, k, v)


class Engine:
    """Sampling from a model with the parts kv_cache (KVCache) and tools (Dispatcher, calculate)."""

    def __init__(self, model: GPT, tokenizer: Tokenizer, parts: Parts) -> None:
        self.model, self.tokenizer, self.parts = model, tokenizer, parts

    def complete(
        self, prompts: list[list[int]], sampling: Sampling, samples: int = 1, rows: int = 256
    ) -> list[list[Completion]]:
        """Complete every prompt `samples` times.

        The cache of the contract has one length for all its rows, so prompts of equal length are decoded together.

        Args:
            prompts: token ids, each prompt at least one.
            sampling: `seed` and the prompts determine every draw; no two sequences share random numbers.
            samples: completions per prompt.
            rows: at most so many sequences are decoded at once.

        Returns:
            For each prompt, in the order given, its completions.
        """
        generator = self._generator(sampling)
        by_length: dict[int, list[int]] = defaultdict(list)
        for i, prompt in enumerate(prompts):
            by_length[len(prompt)].append(i)
        done: dict[int, list[Completion]] = {}
        at_once = max(1, rows // samples)
        for indices in by_length.values():
            for start in range(0, len(indices), at_once):
                group = indices[start : start + at_once]
                completions = [Completion([], []) for _ in range(len(group) * samples)]
                for column in self._decode([prompts[i] for i in group], sampling, samples, generator):
                    for completion, token in zip(completions, column, strict=True):
                        if token is not None:
                            completion.ids.append(token[0])
                            completion.mask.append(token[1])
                done |= {i: completions[n * samples : (n + 1) * samples] for n, i in enumerate(group)}
        return [done[i] for i in range(len(prompts))]

    def stream(
        self, prompts: list[list[int]], sampling: Sampling, samples: int = 1
    ) -> Iterator[list[tuple[int, int] | None]]:
        """Decode prompts of one length step by step.

        Yields:
            Per step a list, one entry a row, the rows of prompt 0 first: (token, mask), or None once the row is done.
        """
        return self._decode(prompts, sampling, samples, self._generator(sampling))

    @torch.inference_mode()
    def _decode(
        self, prompts: list[list[int]], sampling: Sampling, samples: int, generator: torch.Generator
    ) -> Iterator[list[tuple[int, int] | None]]:
        special = self.tokenizer.special
        rows = [self._dispatcher() for _ in range(len(prompts) * samples)]
        weights = self.model.qkv_weights()
        ids = torch.tensor(prompts, device=self.model.device)
        cache, logits = self._prefill(ids, weights, samples, sampling.max_tokens)
        column: list[tuple[int, int] | None] = []
        for step in range(sampling.max_tokens):
            if step > 0:  # a finished row goes on with a token that nobody reads
                tokens = [special["assistant_end"] if entry is None else entry[0] for entry in column]
                ids = torch.tensor(tokens, device=self.model.device)[:, None]
                logits = self._next_logits(ids, weights, cache)
            try:
                drawn = sample(logits, sampling, generator).tolist()
            except FloatingPointError as error:
                where = first_not_finite(self.model, "the part kv_cache, which only sampling uses")
                raise UserError(
                    f"No token can be chosen, for {error}: {where}. If a part is yours, run its kata's tests."
                ) from error
            column = [None if row.done else row.next(token) for row, token in zip(rows, drawn, strict=True)]
            yield column
            if all(row.done for row in rows):
                return

    def _generator(self, sampling: Sampling) -> torch.Generator:
        return torch.Generator(self.model.device).manual_seed(sampling.seed)

    def _dispatcher(self) -> Any:
        tokenizer, tools = self.tokenizer, self.parts.tools
        return tools.Dispatcher(tokenizer.special, tokenizer.encode, tokenizer.decode, tools.calculate)

    def _prefill(self, prompts: Tensor, weights: list[Tensor], samples: int, max_tokens: int) -> tuple[Any, Tensor]:
        """(n, T) prompts -> a cache of n * samples rows and the logits (n * samples, V) after the last prompt token."""
        n, T = prompts.shape
        if n == 1 or samples == 1:
            cache = self._cache(n, T + max_tokens)
            logits = self._next_logits(prompts, weights, cache)
            return (cache, logits) if samples == 1 else (cache.expand(samples), logits.expand(samples, -1))
        wide = self._cache(n * samples, T + max_tokens)
        logits = self._next_logits(prompts, weights, _Widened(self._cache(n, T), wide, samples))
        return wide, logits.repeat_interleave(samples, 0)

    def _cache(self, rows: int, capacity: int) -> Any:
        config = self.model.config
        return self.parts.kv_cache.KVCache(
            config.n_layer,
            rows,
            config.n_kv_head,
            config.head_dim,
            capacity,
            dtype=self.model.activation_dtype,
            device=self.model.device,
        )

    def _next_logits(self, ids: Tensor, weights: list[Tensor], cache: Any) -> Tensor:
        return self.model.logits(self.model.hidden(ids, cache, weights)[:, -1])  # (N, V)

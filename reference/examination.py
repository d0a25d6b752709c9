"""A trained model is evaluated, by one process or by several: exams, pass@k, bits per byte, continued sentences."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from reference.data.documents import DocumentSource
from reference.data.loader import TokenLoader
from reference.distributed import ALONE, World
from reference.engine import Engine, Sampling
from reference.evaluate import bits_per_byte, completion_text, draws, first_k, judge, pass_at_k
from reference.progress import say_accuracy
from reference.tasks.task import Task

PROMPTS = (
    "The capital of France is",
    "The chemical symbol of gold is",
    "If yesterday was Friday, then tomorrow will be",
    "The opposite of hot is",
    "The planets of the solar system are:",
    "My favorite color is",
    "If 5*x + 3 = 13, then x is",
)


@dataclass(frozen=True)
class Examination:
    """Whom to evaluate, and with whom.

    Attributes:
        engine: the model.
        console: where results are said as they come.
        world: every process takes every world.size-th question; results are those of all.
    """

    engine: Engine
    console: Console
    world: World = ALONE

    def exams(self, tasks: Sequence[Task], max_tokens: int) -> dict[str, tuple[int, int]]:
        """Greedy accuracy of every task as (right, of how many)."""
        results = {}
        for task in tasks:
            begun = time.monotonic()
            mine = task[self.world.rank :: self.world.size]
            right, _ = judge(self.engine, [mine], max_tokens)[task.name] if len(mine) else (0, 0)
            results[task.name] = (round(self.world.sum(right)[0]), len(task))
            say_accuracy(self.console, task.name, *results[task.name], begun)
        return results

    def pass_at_k(self, task: Task, sampling: Sampling, samples: int) -> dict[str, dict[str, float]]:
        """For k = 1 .. `samples`, as {"unbiased": {"1": ...}, "first_k": {"1": ...}}, see evaluate.py."""
        mine = task[self.world.rank :: self.world.size]
        drawn = draws(self.engine, mine, sampling, samples) if len(mine) else []
        ks = range(1, samples + 1)
        unbiased = self.world.sum(*(sum(pass_at_k(sum(right), samples, k) for right in drawn) for k in ks))
        first = self.world.sum(*(sum(first_k(right, k) for right in drawn) for k in ks))
        return {
            "unbiased": {str(k): total / len(task) for k, total in zip(ks, unbiased, strict=True)},
            "first_k": {str(k): total / len(task) for k, total in zip(ks, first, strict=True)},
        }

    def bits_per_byte(self, source: DocumentSource, split: str, tokens: int, rows: int) -> float:
        """On about so many tokens of a split, from its beginning, in batches of `rows` rows."""
        T, world = self.engine.model.config.sequence_len, self.world
        loader = TokenLoader(source, self.engine.tokenizer, rows, T, split, world.rank, world.size)
        batches = max(1, tokens // (rows * T * world.size))
        token_bytes = self.engine.tokenizer.token_bytes()
        return bits_per_byte(self.engine.model, (loader.next_batch() for _ in range(batches)), token_bytes, world)

    def continuations(self, tokens: int) -> dict[str, str]:
        """How the model goes on from each of PROMPTS, greedily."""
        tokenizer = self.engine.tokenizer
        prompts = [[tokenizer.special["bos"], *tokenizer.encode(prompt)] for prompt in PROMPTS]
        completions = self.engine.complete(prompts, Sampling(tokens))
        texts = [completion_text(tokenizer, completion) for (completion,) in completions]
        return dict(zip(PROMPTS, texts, strict=True))

"""How good a model is: bits per byte on text, accuracy on tasks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from reference.distributed import ALONE, World
from reference.engine import Completion, Engine, Sampling
from reference.model import GPT
from reference.parts import Parts
from reference.tasks.task import Example, Task
from reference.tokenizer import Tokenizer

LETTER_ROWS = 32  # prompts read at once
LOGIT_ROWS = 4096  # of (V,) logits in float32 held at once: a gigabyte where V is 65,536


@torch.inference_mode()
def bits_per_byte(
    model: GPT, batches: Iterable[tuple[Tensor, Tensor]], token_bytes: Tensor, world: World = ALONE
) -> float:
    """The model's cross-entropy in bits, per byte of text: comparable between tokenizers.

    Targets that stand for no bytes (special tokens) count neither as loss nor as length, and so do targets of -1.

    Args:
        model: the model.
        batches: inputs and targets, int64 (B, T) each.
        token_bytes: (V,), the length of every token in bytes, 0 for special tokens.
        world: processes that have other batches each; the sums are over all of them.

    Returns:
        sum of nats / (ln 2 * sum of bytes); infinity if the targets hold no byte.
    """
    token_bytes = token_bytes.to(model.device)
    nats: list[Tensor] = []
    sizes: list[Tensor] = []  # looked at only at the end, for to look is to wait for the device
    for inputs, targets in batches:
        inputs, targets = inputs.to(model.device), targets.to(model.device).flatten()
        hidden = model.trunk(inputs).flatten(0, 1)  # (B*T, C)
        for h, t in zip(hidden.split(LOGIT_ROWS), targets.split(LOGIT_ROWS), strict=True):
            losses = F.cross_entropy(model.logits(h), t, ignore_index=-1, reduction="none")
            lengths = torch.where(t >= 0, token_bytes[t.clamp(min=0)], 0)
            nats.append(torch.where(lengths > 0, losses, 0.0).sum())
            sizes.append(lengths.sum())
    total, size = world.sum(_sum(nats), _sum(sizes))
    return total / (math.log(2) * size) if size else math.inf


def _sum(terms: list[Tensor]) -> float:
    """In float64, which not every device has."""
    return torch.stack(terms).cpu().double().sum().item() if terms else 0.0


@torch.inference_mode()
def choose_letters(model: GPT, tokenizer: Tokenizer, parts: Parts, examples: Sequence[Example]) -> list[str]:
    """For every example the letter that the model finds most likely as the first token of its answer.

    Only the tokens of the example's own letters compete, so the model cannot fail by form. Prompts are padded on the
    right, which causal attention never sees from the last prompt token.
    """
    prompts = [tokenizer.render_prompt(example.conversation, parts) for example in examples]
    order = sorted(range(len(examples)), key=lambda i: len(prompts[i]))  # those of like length together
    chosen: dict[int, str] = {}
    for start in range(0, len(order), LETTER_ROWS):
        batch = order[start : start + LETTER_ROWS]
        width = len(prompts[batch[-1]])
        bos = tokenizer.special["bos"]
        ids = torch.tensor([prompts[i] + [bos] * (width - len(prompts[i])) for i in batch], device=model.device)
        last = torch.tensor([len(prompts[i]) - 1 for i in batch], device=model.device)
        hidden = model.hidden(ids)[torch.arange(len(batch), device=model.device), last]  # (B, C)
        for i, logits in zip(batch, model.logits(hidden), strict=True):
            letters = [_single_token(tokenizer, letter) for letter in examples[i].letters]
            chosen[i] = examples[i].letters[int(logits[letters].argmax())]
    return [chosen[i] for i in range(len(examples))]


def _single_token(tokenizer: Tokenizer, letter: str) -> int:
    ids = tokenizer.encode(letter)
    if len(ids) != 1:
        raise ValueError(f"the choice {letter!r} is {len(ids)} tokens, not one")
    return ids[0]


def completion_text(tokenizer: Tokenizer, completion: Completion) -> str:
    """A completion as text, without its terminal token; other special tokens as <|name|>."""
    ids = completion.ids
    if ids and ids[-1] in (tokenizer.special["assistant_end"], tokenizer.special["bos"]):
        ids = ids[:-1]
    return tokenizer.decode(ids)


def judge(engine: Engine, tasks: Sequence[Task], max_tokens: int) -> dict[str, tuple[int, int]]:
    """Greedy accuracy of every task as (right, of how many).

    The generative examples of all tasks are decoded together: the more prompts of one length, the better the batch.
    """
    results: dict[str, tuple[int, int]] = {}
    generative = [task for task in tasks if not task.examples[0].letters]
    prompts = [
        engine.tokenizer.render_prompt(example.conversation, engine.parts)
        for task in generative
        for example in task.examples
    ]
    completions = iter(engine.complete(prompts, Sampling(max_tokens)))
    for task in generative:
        texts = [completion_text(engine.tokenizer, next(completions)[0]) for _ in task.examples]
        results[task.name] = _count(task, texts)
    for task in tasks:
        if task not in generative:
            letters = choose_letters(engine.model, engine.tokenizer, engine.parts, task.examples)
            results[task.name] = _count(task, letters)
    return results


def _count(task: Task, texts: Sequence[str]) -> tuple[int, int]:
    right = sum(task.check(example.gold, text) for example, text in zip(task.examples, texts, strict=True))
    return right, len(task.examples)


def pass_at_k(right: int, samples: int, k: int) -> float:
    """The chance that at least one of k completions is right, estimated from `samples` of which `right` were.

    Unbiased: 1 - C(samples - right, k) / C(samples, k). Source: "Evaluating Large Language Models Trained on Code"
    (arXiv:2107.03374), equation 1.
    """
    if not 1 <= k <= samples:
        raise ValueError(f"k should lie in 1 .. {samples}, not {k}")
    return 1 - math.comb(samples - right, k) / math.comb(samples, k)


def first_k(drawn: Sequence[bool], k: int) -> float:
    """1 if one of the first k completions is right, else 0: expected to be `pass_at_k`, but less certain."""
    return float(any(drawn[:k]))


def draws(engine: Engine, task: Task, sampling: Sampling, samples: int) -> list[list[bool]]:
    """For each example of a generative task, which of its drawn completions are right."""
    prompts = [engine.tokenizer.render_prompt(example.conversation, engine.parts) for example in task.examples]
    return [
        [task.check(example.gold, completion_text(engine.tokenizer, completion)) for completion in drawn]
        for example, drawn in zip(task.examples, engine.complete(prompts, sampling, samples), strict=True)
    ]


def sampled_pass_at_k(engine: Engine, task: Task, sampling: Sampling, samples: int) -> dict[str, float]:
    """pass@k of a generative task for k = 1, 2, 4, ... up to `samples` drawn completions per example, as {"1": ...}."""
    right = [sum(drawn) for drawn in draws(engine, task, sampling, samples)]
    ks = [2**i for i in range(samples.bit_length())]
    return {str(k): sum(pass_at_k(r, samples, k) for r in right) / len(right) for k in ks}

"""Proof of kv_cache: the same model decodes with the learner's cache, with the reference's, and with none."""

from __future__ import annotations

import time

import torch
from rich.console import Console

from dojo.curriculum import Kata
from dojo.proofs.outcome import Outcome
from dojo.stack import learner_part, watched_part
from reference.model import GPT
from reference.parts import Parts
from reference.parts.provenance import counted
from reference.shipped import shipped_model, shipped_tokenizer

PROMPT = "The capital of France is"
TOKENS = 160


@torch.inference_mode()
def decode(model: GPT, prompt: list[int], parts: Parts | None) -> tuple[list[int], float]:
    """TOKENS greedy tokens after the prompt, and the seconds they took; without parts there is no cache."""
    ids, config = list(prompt), model.config
    begun = time.perf_counter()
    cache = parts and parts.kv_cache.KVCache(config.n_layer, 1, config.n_kv_head, config.head_dim, 32)
    fresh = ids
    for _ in range(TOKENS):
        hidden = model.hidden(torch.tensor([fresh if cache else ids]), cache)
        ids.append(int(model.logits(hidden[:, -1]).argmax()))
        fresh = ids[-1:]
    return ids, time.perf_counter() - begun


def prove(kata: Kata, console: Console) -> Outcome:
    """Decode greedily three times."""
    parts, calls = counted(Parts(kv_cache=learner_part(kata)))
    model, tokenizer = shipped_model("base", Parts()), shipped_tokenizer()
    prompt = [tokenizer.special["bos"], *tokenizer.encode(PROMPT)]
    answer = Parts(kv_cache=watched_part(kata, kata.answer))
    decode(model, prompt, answer)  # the first pass through a model is slower than all others
    bare, without = decode(model, prompt, None)
    yours, seconds = decode(model, prompt, parts)
    reference, reference_seconds = decode(model, prompt, answer)
    text = tokenizer.decode(yours[: len(prompt) + 24][1:])
    return Outcome(
        holds=yours == reference == bare,
        lines=[
            f"{text!r} ...",
            f"{TOKENS} tokens, {'the same' if yours == bare else 'NOT the same'} as without a cache and "
            f"{'the same' if yours == reference else 'NOT the same'} as with the reference's",
            f"calls of your code: {calls['kv_cache']:,}; decoding takes {seconds / reference_seconds:.2f} times as "
            "long as with the reference's cache",
        ],
        sentence=f"with your cache {TOKENS} tokens come {without / seconds:.1f} times as fast as without one",
    )

"""python -m bench.decode: our engine against transformers' generate, both greedy and with their caches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import islice
from string import ascii_letters, digits
from typing import Any

import torch
from torch import Tensor

from bench._peer import ATTENTIONS, d4_model, transformers_model
from bench._rounds import Turn, command, conclusion, fastest, medians, play, say
from reference.engine import Engine, Sampling
from reference.errors import UserError
from reference.model import GPT
from reference.parts import Parts
from reference.tokenizer import SMALLEST_VOCABULARY, Tokenizer

PROMPT, NEW = 32, 64  # tokens
BATCHES = {1: 8, 16: 2, 128: 1}  # -> how often a turn decodes, so that no turn is too short to time
OURS, PEER = "ours", "transformers"


def silence_specials(model: GPT) -> Tokenizer:
    """A tokenizer for the model's vocabulary, and a head that never says one of its special tokens.

    Such a token's row of the head becomes zero: among thousands of words some always has more than that. So
    nobody stops early, and both sides have the same weights.
    """
    letters = (ascii_letters + digits).encode()
    pairs = ((left, right) for left in letters for right in letters)
    tokenizer = Tokenizer(list(islice(pairs, model.config.vocab_size - SMALLEST_VOCABULARY)))
    with torch.no_grad():
        model.lm_head.weight[list(tokenizer.special.values())] = 0
    return tokenizer


def prompts(model: GPT, batch: int, length: int = PROMPT) -> Tensor:
    """(batch, length) random tokens."""
    return torch.randint(model.config.vocab_size, (batch, length), generator=torch.Generator().manual_seed(0))


def ours(engine: Engine, ids: Tensor, new: int = NEW) -> Tensor:
    """(B, T) prompts -> the (B, new) tokens that follow."""
    completions = engine.complete(ids.tolist(), Sampling(max_tokens=new), rows=len(ids))
    return torch.tensor([completion.ids for (completion,) in completions])


def theirs(peer: Any, ids: Tensor, new: int = NEW) -> Tensor:
    """(B, T) prompts -> the (B, new) tokens that follow. No token ends a sequence here."""
    out = peer.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, do_sample=False, use_cache=True)
    return out[:, ids.shape[1] :]


def check_same_tokens(model: GPT, ids: Tensor, one: Tensor, other: Tensor) -> int:
    """The number of rows that differ, which may only be after a tie.

    Args:
        model: ours, in float32.
        ids: (B, T) the prompts.
        one, other: (B, n) what followed.

    Raises:
        UserError: where a row first differs, the logits of its two tokens differ by more than rounding.
    """
    if one.shape != other.shape:
        raise UserError(f"Ours wrote {tuple(one.shape)} tokens and transformers {tuple(other.shape)}.")
    rows = (one != other).any(1).nonzero()[:, 0].tolist()
    for row in rows:
        at = int((one[row] != other[row]).nonzero()[0])
        with torch.inference_mode():
            logits = model(torch.cat([ids[row], one[row, :at]])[None])[0, -1]
        gap = abs(float(logits[one[row, at]] - logits[other[row, at]]))
        if gap > 1e-3:
            raise UserError(f"Row {row} differs at token {at}, where the logits are {gap:.4f} apart.")
    return len(rows)


def repeated(decode: Any, source: Any, ids: Tensor, times: int) -> Turn:
    def turn() -> int:
        return sum(decode(source, ids).numel() for _ in range(times))

    return turn


def measure(rounds: int, seconds: float) -> dict[str, Any]:
    """Choose, check, play, print; see bench._rounds.command."""
    model = d4_model().eval()
    engine = Engine(model, silence_specials(model), Parts())
    peers = {attention: transformers_model(model, attention).eval() for attention in ATTENTIONS}
    say(f"Decoding with {model.config}, float32: {PROMPT} tokens of prompt, {NEW} new, greedy.")
    turns: dict[str, Turn] = {}
    chosen: dict[str, str] = {}
    for batch, times in BATCHES.items():
        ids = prompts(model, batch)
        tied = check_same_tokens(model, ids, ours(engine, ids), theirs(peers[ATTENTIONS[0]], ids))
        say(f"batch {batch}: the same tokens" + (f", {tied} rows only up to a tie" if tied else ""))
        choices: dict[str, Callable[[], Turn]] = {
            f"{attention} attention": partial(repeated, theirs, peer, ids, times) for attention, peer in peers.items()
        }
        name, turn = fastest(f"{PEER} at batch {batch}", choices)
        turns |= {
            f"{OURS}, batch {batch}": repeated(ours, engine, ids, times),
            f"{PEER}, batch {batch}": turn,
        }
        chosen[f"{PEER}, batch {batch}"] = name
    for turn in turns.values():
        turn()  # warm
    played = play(turns, rounds, seconds)
    found = medians(played)
    say(f"\n{f'Median of {len(played)} rounds':<40}{'tokens/s':>10}")
    for name, speed in found.items():
        say(f"{name + (', ' + chosen[name] if name in chosen else ''):<40}{speed:>10,.0f}")
    return conclusion(played, chosen, [(f"{OURS}, batch {n}", f"{PEER}, batch {n}") for n in BATCHES])


if __name__ == "__main__":
    command("Compare our decoding with that of transformers.", measure)

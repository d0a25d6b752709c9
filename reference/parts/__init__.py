"""The nine replaceable parts, one file each, and `Parts`, which says whose version of each is used."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from reference.parts import attention, bpe, grpo, kv_cache, loss_mask, muon, rmsnorm, rope, tools


@dataclass(frozen=True)
class Parts:
    """One field per part: a module, or any other object, that has the names of the part's contract.

    `Parts()` is all reference; `Parts(rope=mine)` exchanges one.
    """

    bpe: Any = bpe  # merge, train, encode, decode
    rmsnorm: Any = rmsnorm  # rms_norm
    rope: Any = rope  # rotary_tables, apply_rotary
    attention: Any = attention  # causal_attention
    muon: Any = muon  # orthogonalize, muon_step
    loss_mask: Any = loss_mask  # render, masked_cross_entropy
    grpo: Any = grpo  # advantages, policy_loss
    kv_cache: Any = kv_cache  # KVCache
    tools: Any = tools  # calculate, Dispatcher


PART_NAMES: tuple[str, ...] = tuple(field.name for field in fields(Parts))

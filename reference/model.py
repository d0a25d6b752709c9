"""The GPT: nanochat's architecture in plain PyTorch, its replaceable parts reached through `Parts`.

Rotary positions, RMS norm without weights (also on queries and keys), squared ReLU, grouped-query attention, untied
embedding and head, logits soft-capped at 15 in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from reference.loss import linear_cross_entropy, softcap
from reference.parts import Parts

RMS_EPS = torch.finfo(torch.float32).eps  # nanochat's: F.rms_norm without an eps


@dataclass(frozen=True)
class GPTConfig:
    """The shape of a model. `n_embd` (C) is n_head * head_dim; every size is at least 1."""

    vocab_size: int
    n_layer: int
    n_head: int
    n_kv_head: int
    n_embd: int
    sequence_len: int

    @property
    def head_dim(self) -> int:
        return self.n_embd // self.n_head

    @property
    def padded_vocab_size(self) -> int:
        """The vocabulary rounded up to a multiple of 64, which matrix kernels like; the padding is never predicted."""
        return -(-self.vocab_size // 64) * 64


class Linear(nn.Linear):
    """A bias-free linear map whose float32 weight is used in the dtype of its input."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype))


class Attention(nn.Module):
    def __init__(self, config: GPTConfig, parts: Parts, layer: int) -> None:
        super().__init__()
        self.config, self.parts, self.layer = config, parts, layer
        C, D = config.n_embd, config.head_dim
        self.c_q = Linear(C, config.n_head * D)
        self.c_k = Linear(C, config.n_kv_head * D)
        self.c_v = Linear(C, config.n_kv_head * D)
        self.c_proj = Linear(config.n_head * D, C)

    def qkv_weight(self) -> Tensor:
        """The weights of queries, keys and values below one another: ((H + 2 Hkv) D, C)."""
        return torch.cat((self.c_q.weight, self.c_k.weight, self.c_v.weight))

    def forward(self, x: Tensor, qkv_weight: Tensor, cos: Tensor, sin: Tensor, cache: Any) -> Tensor:
        B, T, _ = x.shape
        H, Hkv, D, parts = self.config.n_head, self.config.n_kv_head, self.config.head_dim, self.parts
        if torch.compiler.is_compiling():  # v apart: kept for the backward pass, it would hold the memory of q and k
            qk, v = (F.linear(x, w).view(B, T, -1, D) for w in qkv_weight.split(((H + Hkv) * D, Hkv * D)))
        else:
            qk, v = F.linear(x, qkv_weight).view(B, T, -1, D).split((H + Hkv, Hkv), dim=2)  # one product
        qk = parts.rmsnorm.rms_norm(parts.rope.apply_rotary(qk, cos, sin), RMS_EPS)  # (B, T, H + Hkv, D), both alike
        q, k = qk.transpose(1, 2).split((H, Hkv), dim=1)  # (B, H, T, D), (B, Hkv, T, D)
        v = v.transpose(1, 2)
        if cache is not None:
            k, v = cache.insert(self.layer, k, v)  # (B, Hkv, Tk, D): all positions so far
            k, v = k.to(q.dtype), v.to(q.dtype)
        y = parts.attention.causal_attention(q, k, v)  # (B, H, T, D)
        return self.c_proj(y.transpose(1, 2).reshape(B, T, -1))


class SquaredReLU(torch.autograd.Function):
    """relu(x)^2, keeping only relu(x) for the backward pass: 2 relu(x) is the derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        r = torch.relu(x)
        ctx.save_for_backward(r)
        return r * r

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (r,) = ctx.saved_tensors
        return (grad * r).mul_(2)


class MLP(nn.Module):
    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.c_fc = Linear(config.n_embd, 4 * config.n_embd)
        self.c_proj = Linear(4 * config.n_embd, config.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        h = self.c_fc(x)  # (B, T, 4 C)
        if torch.compiler.is_compiling():
            return self.c_proj(torch.relu(h).square())  # the compiler decides itself what to keep
        return self.c_proj(SquaredReLU.apply(h) if torch.is_grad_enabled() else h.relu_().square_())


class Block(nn.Module):
    def __init__(self, config: GPTConfig, parts: Parts, layer: int) -> None:
        super().__init__()
        self.parts = parts
        self.attn = Attention(config, parts, layer)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, qkv_weight: Tensor, cos: Tensor, sin: Tensor, cache: Any) -> Tensor:
        x = x + self.attn(self.parts.rmsnorm.rms_norm(x, RMS_EPS), qkv_weight, cos, sin, cache)
        return x + self.mlp(self.parts.rmsnorm.rms_norm(x, RMS_EPS))


class GPT(nn.Module):
    """A decoder-only transformer.

    Args:
        config: the sizes.
        parts: the nine replaceable parts; the model uses rmsnorm, rope and attention.
        activation_dtype: what the blocks compute in. The weights stay in float32.
    """

    def __init__(self, config: GPTConfig, parts: Parts, activation_dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config, self.parts, self.activation_dtype = config, parts, activation_dtype
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(config.padded_vocab_size, config.n_embd),
                "h": nn.ModuleList(Block(config, parts, layer) for layer in range(config.n_layer)),
            }
        )
        self.lm_head = Linear(config.n_embd, config.padded_vocab_size)
        self.trunk: Callable[[Tensor], Tensor] = self.hidden  # what training calls; see compiled.py
        # Not buffers that a checkpoint holds: they follow from the config. Longer contexts make longer tables.
        self.cos, self.sin = parts.rope.rotary_tables(config.sequence_len, config.head_dim)

    @property
    def device(self) -> torch.device:
        return self.lm_head.weight.device

    @property
    def _blocks(self) -> list[Block]:
        return cast(list[Block], self.transformer["h"])

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """Initialise every weight from `seed`, the same on every device.

        Projections into a block are N(0, 1/fan_in) times min(1, sqrt(fan_out/fan_in)), the embedding N(0, 1).
        Projections back into the residual stream and the head start at zero: each block is the identity and the first
        loss is exactly ln V.
        """
        generator = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            if name.endswith("c_proj.weight") or name == "lm_head.weight":
                weight.zero_()
                continue
            fan_out, fan_in = weight.shape
            std = 1.0 if name == "transformer.wte.weight" else min(1.0, math.sqrt(fan_out / fan_in)) / math.sqrt(fan_in)
            weight.copy_(torch.randn(weight.shape, generator=generator) * std)

    def qkv_weights(self) -> list[Tensor]:
        """For every layer the joined weights of queries, keys and values, in the activations' dtype."""
        return [block.attn.qkv_weight().to(self.activation_dtype) for block in self._blocks]

    def hidden(self, ids: Tensor, cache: Any = None, qkv_weights: list[Tensor] | None = None) -> Tensor:
        """(B, T) int64 -> (B, T, C), the normed residual stream that the head reads.

        Args:
            ids, cache: see `forward`.
            qkv_weights: those of `qkv_weights`, from whoever calls often without changing the weights in between.
        """
        T = ids.shape[1]
        start = 0 if cache is None else cache.length
        cos, sin = self._rotary(start, start + T)
        rms_norm = self.parts.rmsnorm.rms_norm
        x = rms_norm(self.transformer["wte"](ids).to(self.activation_dtype), RMS_EPS)  # (B, T, C)
        for block, qkv_weight in zip(self._blocks, qkv_weights or self.qkv_weights(), strict=True):
            x = block(x, qkv_weight, cos, sin, cache)
        return rms_norm(x, RMS_EPS)

    def forward(self, ids: Tensor, cache: Any = None) -> Tensor:
        """Next-token logits, soft-capped.

        Args:
            ids: (B, T) int64.
            cache: a KVCache of the part's contract, or None. With one, `ids` stand at positions cache.length onwards
                and see everything that the cache holds.

        Returns:
            (B, T, V) float32 in (-15, 15).
        """
        return self.logits(self.hidden(ids, cache))

    def logits(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., V) float32: the head, soft-capped, its padding columns cut off."""
        return softcap(self.lm_head(x)[..., : self.config.vocab_size].float())

    def loss(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy over (B, T) targets, in nats. The full logits are never held: see reference.loss."""
        x = self.trunk(ids)
        weight = self.lm_head.weight[: self.config.vocab_size]
        return linear_cross_entropy(x.flatten(0, 1), weight, targets.flatten())

    def _rotary(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        if stop > self.cos.shape[0] or self.cos.device != self.device:
            with torch.inference_mode(False):  # tables made while sampling must serve training later
                if stop > self.cos.shape[0]:
                    self.cos, self.sin = self.parts.rope.rotary_tables(2 * stop, self.config.head_dim)
                self.cos, self.sin = self.cos.to(self.device), self.sin.to(self.device)
        return self.cos[start:stop], self.sin[start:stop]

"""Part 04: causal attention, in which groups of query heads may share a key/value head."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(D) + mask) v, where no query sees a later position.

    Args:
        q: (B, H, Tq, D), float32, float16 or bfloat16; the queries are the last Tq of the Tk positions,
            so query i sees the keys 0 .. Tk - Tq + i.
        k, v: (B, Hkv, Tk, D), q's dtype; H is a multiple of Hkv, and query head h reads head h // (H // Hkv).

    Returns:
        (B, H, Tq, D), q's dtype. On the CPU all arithmetic is in float32.

    Raises:
        TypeError: an argument is not a floating-point tensor.
        ValueError: any other shape, or different dtypes.

    Source: Vaswani et al., "Attention Is All You Need", arXiv:1706.03762, equation 1; the groups:
    Ainslie et al., "GQA", arXiv:2305.13245, section 2.2.
    """
    _check(q, k, v)
    if torch.is_autocast_enabled(q.device.type):
        with torch.autocast(q.device.type, enabled=False):
            return causal_attention(q, k, v)
    if q.is_cuda:
        return _fused(q, k, v)
    if q.shape[2] == 1:  # as in decoding
        return _fused(q.float(), k.float(), v.float()).to(q.dtype)
    return _explicit(q, k, v)


def _explicit(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    B, H, Tq, D = q.shape
    Hkv, Tk = k.shape[1:3]
    G = H // Hkv
    # the G query heads that share a key/value head stand below each other as one tall matrix,
    # so that keys and values need not be repeated
    rows = q.float().reshape(B * Hkv, G * Tq, D)
    keys = k.float().reshape(B * Hkv, Tk, D)
    values = v.float().reshape(B * Hkv, Tk, D)
    scale = 1 / math.sqrt(D)
    mask = torch.full((Tq, Tk), -math.inf, dtype=torch.float32, device=q.device).triu(Tk - Tq + 1)
    # added while the product is computed: a masked_fill of its own would double the backward pass
    logits = torch.baddbmm(mask.repeat(G, 1), rows, keys.mT, alpha=scale)  # (B Hkv, G Tq, Tk)
    return torch.bmm(logits.softmax(dim=-1), values).view(B, H, Tq, D).to(q.dtype)


def _fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """PyTorch's kernels, which never store the (Tq, Tk) logits: long sequences need them to fit on a GPU.

    In float32 they compute as `_explicit` does. In bfloat16 and float16 they keep logits, softmax and sums
    in float32 too, but round the probabilities to the input's dtype before multiplying them by v.
    """
    Tq, Tk = q.shape[2], k.shape[2]
    mask = None
    if 1 < Tq < Tk:  # is_causal would align the triangle at the top left
        mask = torch.ones(Tq, Tk, dtype=torch.bool, device=q.device).tril(Tk - Tq)
    gqa = q.shape[1] != k.shape[1]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=1 < Tq == Tk, enable_gqa=gqa)


def _check(q: Tensor, k: Tensor, v: Tensor) -> None:
    for name, tensor in (("q", q), ("k", k), ("v", v)):
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            raise TypeError(f"{name} should be a floating-point tensor")
        if tensor.ndim != 4:
            raise ValueError(f"{name} should have four axes, not {tensor.ndim}")
        if tensor.dtype != q.dtype:
            raise ValueError(f"{name} should have q's dtype, {q.dtype}, not {tensor.dtype}")
    B, H, Tq, D = q.shape
    Hkv, Tk = k.shape[1:3]
    for name, tensor in (("k", k), ("v", v)):
        if tensor.shape != (B, Hkv, Tk, D):
            due = (B, Hkv, Tk, D)
            raise ValueError(f"{name} should be (B, Hkv, Tk, D) = {due}, not {tuple(tensor.shape)}")
    if H % Hkv:
        raise ValueError(f"q should have a multiple of k's {Hkv} heads, not {H}")
    if Tk < Tq:
        raise ValueError(f"k should hold at least the {Tq} positions of q, not {Tk}")

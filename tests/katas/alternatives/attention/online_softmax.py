"""Keys and values in blocks of 16, with a running maximum and a running sum: the logits are never all there."""

import math

import torch
from torch import Tensor


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    for name, x in (("q", q), ("k", k), ("v", v)):
        if not isinstance(x, Tensor) or not torch.is_floating_point(x):
            raise TypeError(f"{name} must be a float tensor")
        if x.ndim != 4:
            raise ValueError(f"{name} must have 4 axes")
        if x.dtype is not q.dtype:
            raise ValueError(f"{name} must be {q.dtype}")
    B, H, Tq, D = q.shape
    _, Hkv, Tk, _ = k.shape
    if H % Hkv:
        raise ValueError(f"H = {H} must be a multiple of Hkv = {Hkv}")
    if Tk < Tq:
        raise ValueError(f"Tk = {Tk} must be at least Tq = {Tq}")
    for name, x in (("k", k), ("v", v)):
        if x.shape != (B, Hkv, Tk, D):
            raise ValueError(f"{name} must be {(B, Hkv, Tk, D)}")
    with torch.autocast(device_type=q.device.type, enabled=False):
        scaled = q.to(torch.float32) / math.sqrt(D)
        position = torch.arange(Tk - Tq, Tk, device=q.device)[:, None]
        best = torch.full((B, H, Tq, 1), -math.inf, dtype=torch.float32, device=q.device)
        total = torch.zeros(B, H, Tq, 1, dtype=torch.float32, device=q.device)
        y = torch.zeros(B, H, Tq, D, dtype=torch.float32, device=q.device)
        for start in range(0, Tk, 16):
            end = min(start + 16, Tk)
            keys = k[:, :, start:end].float().repeat_interleave(H // Hkv, dim=1)
            values = v[:, :, start:end].float().repeat_interleave(H // Hkv, dim=1)
            logits = scaled @ keys.transpose(-1, -2)
            hidden = torch.arange(start, end, device=q.device) > position
            logits = logits.masked_fill(hidden, -math.inf)
            new = torch.maximum(best, logits.detach().amax(-1, keepdim=True))  # key 0 is visible: never -inf
            weights = torch.exp(logits - new)
            shrink = torch.exp(best - new)
            total = total * shrink + weights.sum(-1, keepdim=True)
            y = y * shrink + weights @ values
            best = new
        return (y / total).to(q.dtype)

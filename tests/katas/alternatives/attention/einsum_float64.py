"""The groups as an axis of their own, everything by einsum in float64."""

import torch
from torch import Tensor


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    for name, x in {"q": q, "k": k, "v": v}.items():
        if not isinstance(x, Tensor):
            raise TypeError(f"{name} must be a tensor, not {type(x).__name__}")
        if not x.is_floating_point() or x.dtype != q.dtype:
            raise TypeError(f"{name} must have q's dtype, a float one, not {x.dtype}")
        if x.dim() != 4:
            raise ValueError(f"{name} must have 4 dimensions, not {x.dim()}")
    b, h, n, d = q.shape
    groups, m = k.shape[1], k.shape[2]
    if k.shape != v.shape:
        raise ValueError(f"v must have the shape of k, {tuple(k.shape)}, not {tuple(v.shape)}")
    if (k.shape[0], k.shape[3]) != (b, d):
        raise ValueError(f"k must have q's batch {b} and D {d}")
    if h % groups != 0 or m < n:
        raise ValueError(f"q has {h} heads and {n} positions: k's {groups} must divide the former, its {m} be no less")
    with torch.autocast(q.device.type, enabled=False):
        grouped = q.double().unflatten(1, (groups, h // groups))
        logits = torch.einsum("bgrid,bgjd->bgrij", grouped, k.double()) * d**-0.5
        past = torch.ones(n, m, dtype=torch.bool, device=q.device).tril(m - n)
        weights = torch.softmax(torch.where(past, logits, -torch.inf), dim=-1)
        return torch.einsum("bgrij,bgjd->bgrid", weights, v.double()).flatten(1, 2).to(q.dtype)

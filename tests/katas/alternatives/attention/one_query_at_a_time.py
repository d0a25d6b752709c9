"""No mask at all: a loop over heads and queries, each of which is only shown the keys that it may see."""

import torch
from torch import Tensor


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    _check(q, k, v)
    _, H, Tq, D = q.shape
    Hkv, Tk = k.shape[1], k.shape[2]
    heads = []
    for h in range(H):
        keys, values = k[:, h * Hkv // H].float(), v[:, h * Hkv // H].float()  # (B, Tk, D)
        rows = []
        for i in range(Tq):
            end = Tk - Tq + i + 1
            logits = (keys[:, :end] * q[:, h, i : i + 1].float()).sum(-1) / D**0.5  # (B, end)
            weights = torch.exp(logits - logits.amax(-1, keepdim=True))
            weights = weights / weights.sum(-1, keepdim=True)
            rows.append((weights[:, :, None] * values[:, :end]).sum(1))
        heads.append(torch.stack(rows, dim=1))
    return torch.stack(heads, dim=1).to(q.dtype)


class BadShape(ValueError):
    pass


def _check(q, k, v):
    for name, x in (("q", q), ("k", k), ("v", v)):
        if not torch.is_tensor(x) or x.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            raise TypeError(f"{name}: a float tensor, please")
        if x.ndim != 4:
            raise BadShape(f"{name} has {x.ndim} axes, 4 are due")
    if not q.dtype == k.dtype == v.dtype:
        raise ValueError(f"q, k, v differ in dtype: {q.dtype}, {k.dtype}, {v.dtype}")
    B, H, Tq, D = q.shape
    if k.shape != v.shape or k.shape[0] != B or k.shape[3] != D or H % k.shape[1] or k.shape[2] < Tq:
        raise BadShape(f"q {tuple(q.shape)}, k {tuple(k.shape)} and v {tuple(v.shape)} do not fit together")

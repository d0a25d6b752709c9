"""The derivative by hand: an autograd.Function on (B, Hkv, G, T, D), with in-place steps inside."""

import torch
from torch import Tensor


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, scale):
        n, m = q.shape[-2], k.shape[-2]
        weights = torch.matmul(q, k.mT).mul_(scale)
        future = torch.full((n, m), True, dtype=torch.bool, device=q.device).triu_(m - n + 1)
        weights.masked_fill_(future, float("-inf"))
        weights.sub_(weights.amax(dim=-1, keepdim=True)).exp_()
        weights.div_(weights.sum(dim=-1, keepdim=True))
        ctx.save_for_backward(q, k, v, weights)
        ctx.scale = scale
        return weights @ v

    @staticmethod
    def backward(ctx, grad):
        q, k, v, weights = ctx.saved_tensors
        d_weights = grad @ v.mT
        inner = (d_weights * weights).sum(-1, keepdim=True)
        d_logits = (d_weights - inner).mul_(weights).mul_(ctx.scale)
        # keys and values are shared by the group, axis 2
        d_k = (d_logits.mT @ q).sum(2, keepdim=True)
        d_v = (weights.mT @ grad).sum(2, keepdim=True)
        return d_logits @ k, d_k, d_v, None


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    named = {"q": q, "k": k, "v": v}
    for name in named:
        if not isinstance(named[name], Tensor):
            raise TypeError(f"{name} is a {type(named[name])}, but should be a tensor")
        if not named[name].is_floating_point():
            raise ValueError(f"{name} should hold floats")
        if named[name].ndim != 4:
            raise ValueError(f"{name} should be 4-dimensional")
        if named[name].dtype != q.dtype:
            raise ValueError(f"{name} should be of q's dtype")
    B, H, n, D = q.shape
    Hkv, m = k.shape[1:3]
    if k.shape != (B, Hkv, m, D) or m < n or H % Hkv != 0:
        raise ValueError(f"k should be ({B}, a divisor of {H}, {n} or more, {D}), not {tuple(k.shape)}")
    if v.shape != k.shape:
        raise ValueError(f"v should be like k, {tuple(k.shape)}, not {tuple(v.shape)}")
    with torch.autocast(device_type=q.device.type, enabled=False):
        rows = q.float().reshape(B, Hkv, H // Hkv, n, D)
        y = _Attend.apply(rows, k.float()[:, :, None], v.float()[:, :, None], D**-0.5)
        return y.reshape(B, H, n, D).to(q.dtype)

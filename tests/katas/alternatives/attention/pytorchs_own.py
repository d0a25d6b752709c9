"""PyTorch's fused attention, in float32 and with the triangle as a mask."""

import torch
import torch.nn.functional as F
from torch import Tensor


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    if not all(isinstance(x, Tensor) and x.is_floating_point() for x in (q, k, v)):
        raise TypeError("q, k and v should be float tensors")
    if q.ndim != 4 or k.ndim != 4 or k.shape != v.shape:
        raise ValueError("q, k and v should have four axes, and k the shape of v")
    if q.dtype != k.dtype or q.dtype != v.dtype:
        raise ValueError("q, k and v should have one dtype")
    if q.shape[0] != k.shape[0] or q.shape[3] != k.shape[3]:
        raise ValueError("q and k should agree in B and D")
    if q.shape[1] % k.shape[1] or q.shape[2] > k.shape[2]:
        raise ValueError("H should be a multiple of Hkv, and Tk at least Tq")
    n, m = q.shape[2], k.shape[2]
    sees = torch.ones(n, m, dtype=torch.bool, device=q.device).tril(diagonal=m - n)
    with torch.autocast(q.device.type, enabled=False):
        y = F.scaled_dot_product_attention(q.float(), k.float(), v.float(), attn_mask=sees, enable_gqa=True)
    return y.to(q.dtype)

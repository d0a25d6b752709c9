"""Cross-entropy of a soft-capped linear head, in chunks, with its gradient computed in the forward pass."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CAP = 15.0
CHUNK_ROWS = 512  # rows of logits held at once: small enough for a CPU's cache, large enough for its matrix kernels
ROWS_ON_GPU = 8192  # there, where a product of 512 rows would leave most of the device idle


def softcap(logits: Tensor) -> Tensor:
    """CAP * tanh(logits / CAP): any shape, float32 in, float32 out, smoothly held in [-CAP, CAP].

    Source: Gemma 2 (arXiv:2408.00118), section 2, "Logit soft-capping".
    """
    return (logits / CAP).tanh_() * CAP


def _chunk(h: Tensor, w: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of the losses of some rows, and its derivative by their logits before the cap.

    h (n, C) and w (V, C) of one dtype, t (n, 1): targets -> a float32 scalar, and (n, V) of h's dtype.
    """
    z = (h @ w.T).float().div_(CAP).tanh_()  # (n, V): the capped logits are CAP * z
    p = (CAP * z).exp_()  # at most e^CAP: unlike other logits, these need no maximum subtracted
    norm = p.sum(dim=1, keepdim=True)
    total = (norm.log() - CAP * z.gather(1, t)).sum()
    p.div_(norm)  # softmax
    p.scatter_add_(1, t, p.new_full(t.shape, -1.0))  # d loss / d capped logits
    return total, p.addcmul_(p, z.square_(), value=-1).to(h.dtype)  # through tanh: times 1 - z^2


def fusible_chunk(h: Tensor, w: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """`_chunk` written for a compiler, which turns everything after the product into two passes over the logits."""
    z = torch.tanh((h @ w.T).float() / CAP)
    p = torch.exp(CAP * z)
    norm = p.sum(dim=1, keepdim=True)
    total = (norm.log() - CAP * z.gather(1, t)).sum()
    hit = torch.arange(len(w), device=h.device) == t  # (n, V); a scatter would be a pass of its own
    return total, ((p / norm - hit.float()) * (1 - z * z)).to(h.dtype)


@functools.cache
def compiled_chunk() -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
    """`fusible_chunk` compiled, once in a process."""
    return torch.compile(fusible_chunk, dynamic=False)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        N = x.shape[0]
        w = weight.to(x.dtype)
        grad_x = torch.empty_like(x)
        grad_w = torch.zeros_like(weight)  # float32: it sums over all chunks
        total = torch.zeros((), device=x.device)
        at_once, chunk = (ROWS_ON_GPU, compiled_chunk()) if x.is_cuda else (CHUNK_ROWS, _chunk)
        for rows in range(0, N, at_once):
            h, t = x[rows : rows + at_once], targets[rows : rows + at_once, None]
            loss, g = chunk(h, w, t)
            total += loss
            torch.mm(g, w, out=grad_x[rows : rows + at_once])
            grad_w += g.T @ h
            del g  # on a GPU a gigabyte, which the next can have
        ctx.save_for_backward(grad_x.div_(N), grad_w.div_(N))
        return total / N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        grad_x, grad_w = ctx.saved_tensors
        return grad_x * grad, grad_w * grad, None


def linear_cross_entropy(x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Mean over N of cross_entropy(softcap(x W^T), targets), never holding all logits.

    They are made CHUNK_ROWS rows at a time, on a GPU ROWS_ON_GPU.

    Args:
        x: (N, C), float32 or bfloat16; the logits are rounded to its dtype once, everything after is float32.
        weight: (V, C) float32.
        targets: (N,) int64 in 0 .. V-1.

    Returns:
        A float32 scalar, in nats. Differentiable in x and weight, once.
    """
    return _LinearCrossEntropy.apply(x, weight, targets)

"""Training's forward and backward pass through torch.compile: the same operations in fewer, larger GPU kernels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from reference.model import GPT

IN_BLOCKS = ("rmsnorm", "rope", "attention")  # the parts that are compiled; a learner's run as they are

# What PyTorch may choose from, by its own preference: with one shape, cuDNN's attention pays, see set_up_gpu.
ATTENTIONS = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]


def compiled_trunk(model: GPT, calls: dict[str, int], backend: str = "inductor") -> Callable[[Tensor], Tensor]:
    """`model.hidden`, compiled for batches of one shape, (B, T) -> (B, T, C).

    Compiled code runs the parts without calling them, so what a forward pass calls is counted once beforehand.

    Args:
        model: its parts in IN_BLOCKS are the reference's.
        calls: per part how often it was called, see parts/provenance.py; rises with every pass.
        backend: torch.compile's.
    """
    compiled = torch.compile(model.hidden, dynamic=False, backend=backend)
    per_pass: dict[str, int] | None = None

    def trunk(ids: Tensor) -> Tensor:
        nonlocal per_pass
        if per_pass is None:
            per_pass = _calls_of_a_pass(model, ids, calls)  # also brings the rotary tables to the device
        for part, count in per_pass.items():
            calls[part] += count
        with sdpa_kernel(ATTENTIONS):
            return compiled(ids)

    return trunk


@torch.no_grad()
def _calls_of_a_pass(model: GPT, ids: Tensor, calls: dict[str, int]) -> dict[str, int]:
    before = dict(calls)
    model.hidden(ids[:1, :1])
    after, made = dict(calls), {}
    for part, count in before.items():
        made[part] = after[part] - count
        calls[part] = count
    return made

"""Autograd across a border: tensors that came by value send their gradients back to where they were computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable


def attached(
    outputs: list[Tensor],
    inputs: list[Tensor],
    differentiable: Sequence[bool],
    backward: Callable[[list], Sequence[Tensor | None]],
) -> tuple[Tensor, ...]:
    """The outputs as functions of the inputs, whose gradients `backward` supplies.

    Args:
        outputs: values without a graph.
        inputs: the tensors that want a gradient.
        differentiable: for every output whether it depends on an input.
        backward: gradients of the outputs, None for such as have none -> gradients of the inputs.
    """
    return _Border.apply(outputs, differentiable, backward, *inputs)


class _Border(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, outputs: list[Tensor], differentiable: Sequence[bool], backward: Callable, *inputs: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.ask = backward  # type: ignore[attr-defined]
        constant = [y for y, depends in zip(outputs, differentiable, strict=True) if not depends]
        ctx.mark_non_differentiable(*constant)
        ctx.set_materialize_grads(False)
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, *gradients: Tensor | None) -> tuple[Any, ...]:
        return (None, None, None, *ctx.ask(list(gradients)))  # type: ignore[attr-defined]

"""The chunked loss against PyTorch's own cross-entropy and autograd, which hold all logits at once."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from reference.loss import CHUNK_ROWS, linear_cross_entropy, softcap

SIZES = [1, 7, CHUNK_ROWS - 1, CHUNK_ROWS, CHUNK_ROWS + 1, 2 * CHUNK_ROWS + 17]


def case(N: int, V: int = 50, C: int = 24, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """x (N, C), weight (V, C) and targets (N,), with logits that the soft cap bends strongly."""
    generator = torch.Generator().manual_seed(N)
    x = torch.randn(N, C, generator=generator).to(dtype).requires_grad_()
    weight = (2.5 * torch.randn(V, C, generator=generator)).requires_grad_()
    return x, weight, torch.randint(0, V, (N,), generator=generator)


def plain(x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """The definition, left to autograd; in the precision of x's products, as the loss says of itself."""
    logits = F.linear(x, weight.to(x.dtype)).float()
    return F.cross_entropy(15 * torch.tanh(logits / 15), targets)


def gradients(loss: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    grad_x, grad_weight = torch.autograd.grad(loss, (x, weight))
    return grad_x, grad_weight


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    return ((ours.double() - theirs.double()).norm() / theirs.double().norm()).item()


@pytest.mark.parametrize("N", SIZES)
def test_value_and_gradients(N: int) -> None:
    """In float32 loss and both gradients are autograd's, whether N fills its chunks or not."""
    x, weight, targets = case(N)
    loss, expected = linear_cross_entropy(x, weight, targets), plain(x, weight, targets)
    assert loss.shape == ()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for ours, theirs in zip(gradients(loss, x, weight), gradients(expected, x, weight), strict=True):
        assert ours.dtype == theirs.dtype == torch.float32
        assert relative_error(ours, theirs) < 1e-5  # float32 sums in another order
        assert torch.isfinite(ours).all()


def test_bfloat16() -> None:
    """With a bfloat16 input the logits are rounded once; the gradients are right to bfloat16's 8 bits."""
    x, weight, targets = case(CHUNK_ROWS + 17, dtype=torch.bfloat16)
    loss, expected = linear_cross_entropy(x, weight, targets), plain(x, weight, targets)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    grad_x, grad_weight = gradients(loss, x, weight)
    assert (grad_x.dtype, grad_weight.dtype) == (torch.bfloat16, torch.float32)
    wide = x.detach().float().requires_grad_()
    for ours, theirs in zip((grad_x, grad_weight), gradients(plain(wide, weight, targets), wide, weight), strict=True):
        assert relative_error(ours, theirs) < 0.01


def test_bfloat16_gradients_of_the_head_are_summed_in_float32() -> None:
    """With many chunks the head's gradient is no worse than with one: the sum is not rounded chunk by chunk."""
    x, weight, targets = case(32 * CHUNK_ROWS, V=8, C=4, dtype=torch.bfloat16)
    _, ours = gradients(linear_cross_entropy(x, weight, targets), x, weight)
    wide = x.detach().float().requires_grad_()
    _, theirs = gradients(plain(wide, weight, targets), wide, weight)
    assert relative_error(ours, theirs) < 0.005


def test_finite_differences() -> None:
    """The slope of the loss along random directions is what the gradients say, by definition."""
    x, weight, targets = case(5, V=7, C=3)
    grad_x, grad_weight = gradients(linear_cross_entropy(x, weight, targets), x, weight)
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        dx, dw = torch.randn(5, 3, generator=generator), torch.randn(7, 3, generator=generator)
        h = 1e-2  # the error of the difference is of order h^2, that of float32 of order 1e-7 / h
        with torch.no_grad():
            ahead, behind = (linear_cross_entropy(x + step * dx, weight + step * dw, targets) for step in (h, -h))
        slope = ((grad_x * dx).sum() + (grad_weight * dw).sum()).item()
        assert (ahead - behind).item() / (2 * h) == pytest.approx(slope, rel=0.02, abs=2e-3)


def test_gradients_scale_with_what_comes_from_above() -> None:
    """A loss that is weighted, or used in a larger sum, weights its gradients: accumulation relies on it."""
    x, weight, targets = case(40)
    once = gradients(linear_cross_entropy(x, weight, targets), x, weight)
    scaled = gradients(-0.25 * linear_cross_entropy(x, weight, targets) + 3, x, weight)
    for a, b in zip(once, scaled, strict=True):
        torch.testing.assert_close(b, -0.25 * a, atol=1e-9, rtol=1e-6)


def test_halves_of_a_batch_accumulate_to_the_whole() -> None:
    """The mean of the losses of two halves, and of their gradients, is that of the whole."""
    x, weight, targets = case(80)
    whole = linear_cross_entropy(x, weight, targets)
    halves = sum(linear_cross_entropy(x[i : i + 40], weight, targets[i : i + 40]) / 2 for i in (0, 40))
    assert halves.item() == pytest.approx(whole.item(), rel=1e-6)
    for a, b in zip(gradients(halves, x, weight), gradients(whole, x, weight), strict=True):
        assert relative_error(a, b) < 1e-6


def test_gradients_reach_what_made_the_input() -> None:
    """x and weight may come out of other operations, such as a slice of a padded table."""
    x, weight, targets = case(10)
    table = torch.cat([weight.detach(), torch.ones(14, 24)]).requires_grad_()
    linear_cross_entropy(2 * x, table[:50], targets).backward()
    expected = gradients(plain(2 * x, weight, targets), x, weight)
    assert x.grad is not None
    assert table.grad is not None
    assert relative_error(x.grad, expected[0]) < 1e-5
    assert relative_error(table.grad[:50], expected[1]) < 1e-5
    assert not table.grad[50:].any()


def test_arguments_stay_as_they_were() -> None:
    """Nothing that the loss was given is written to."""
    x, weight, targets = case(30)
    before = [t.detach().clone() for t in (x, weight, targets)]
    linear_cross_entropy(x, weight, targets).backward()
    assert all(torch.equal(a, b) for a, b in zip(before, (x, weight, targets), strict=True))


def test_confident_logits() -> None:
    """Where the cap is reached the loss stays finite: 30 nats for a wrong answer, 0 for the right one."""
    x = torch.ones(2, 1, requires_grad=True)
    weight = torch.tensor([[1e6], [-1e6]], requires_grad=True)
    for target, nats in ((0, 0.0), (1, 30.0)):
        loss = linear_cross_entropy(x, weight, torch.tensor([target, target]))
        assert loss.item() == pytest.approx(nats, abs=1e-6)
        assert all(not grad.any() for grad in gradients(loss, x, weight))  # tanh is flat out there


class LargestResult(TorchFunctionMode):
    """While it is entered, notes the number of elements of the largest tensor that an operation returned."""

    elements = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.elements = max(self.elements, result.numel())
        return result


def test_never_holds_all_logits() -> None:
    """No operation makes more than CHUNK_ROWS rows of logits, and none are kept for the backward pass."""
    x, weight, targets = case(3 * CHUNK_ROWS, V=50, C=2)
    kept: list[Tensor] = []
    largest = LargestResult()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t), largest:
        linear_cross_entropy(x, weight, targets).backward()
    assert largest.elements == CHUNK_ROWS * 50
    assert {t.shape for t in kept} == {x.shape, weight.shape}


def test_softcap() -> None:
    """Odd, rising, nearly the identity near 0, within the cap far out, which float32 reaches."""
    z = torch.linspace(-100, 100, 2001)
    capped = softcap(z)
    assert capped.dtype == torch.float32
    assert capped.tolist() == pytest.approx([15 * math.tanh(v / 15) for v in z.tolist()], abs=2e-6)
    assert softcap(torch.tensor(3e38)) == 15

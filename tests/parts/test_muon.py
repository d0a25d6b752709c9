"""The muon part against singular value decompositions in float64, and against torch.optim.Muon."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from reference.parts.muon import muon_step, orthogonalize


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def by_singular_values(g: Tensor, steps: int = 5) -> Tensor:
    """The witness: iterating keeps the singular vectors, and maps each singular value by one polynomial."""
    u, s, vh = torch.linalg.svd(g.double(), full_matrices=False)
    s = s / (s.square().sum(-1, keepdim=True).sqrt() + 1e-7)
    for _ in range(steps):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return u * s.unsqueeze(-2) @ vh


def assert_near(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """The distance of every matrix of the stack, as a fraction of its Frobenius norm."""
    distance = torch.linalg.matrix_norm(actual.double() - expected)
    assert (distance <= tolerance * torch.linalg.matrix_norm(expected)).all(), distance


@pytest.mark.parametrize("shape", [(5, 5), (4, 16), (16, 4), (1, 7), (3, 8, 12), (2, 3, 9, 6), (1, 1)])
@pytest.mark.parametrize("steps", [0, 1, 5])
def test_equals_the_polynomial_of_the_singular_values(shape, steps):
    """each matrix on its own, wide, square or tall; 2e-5 is float32 after five products, 1e-4 is allowed"""
    g = random(*shape) * torch.logspace(-3, 3, shape[0]).view(-1, *[1] * (len(shape) - 1))
    y = orthogonalize(g, steps)
    assert y.shape == g.shape
    assert y.dtype == torch.float32
    assert_near(y, by_singular_values(g, steps), 2e-5)


def test_five_steps_by_default():
    """without a number of steps it takes five"""
    g = random(6, 9)
    assert torch.equal(orthogonalize(g), orthogonalize(g, 5))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.15), (torch.float16, 0.03)])
@pytest.mark.parametrize("shape", [(32, 128), (3, 64, 16)])
def test_low_precision(dtype, tolerance, shape):
    """in 8 or 11 bits the contract's tolerances hold, and the dtype is kept"""
    g = random(*shape).to(dtype)
    y = orthogonalize(g)
    assert y.dtype == dtype
    assert_near(y, by_singular_values(g), tolerance)


def test_zeros_stay_zeros():
    """a matrix of zeros gives zeros, and does not disturb its neighbors in the stack"""
    g = random(3, 4, 6)
    g[1] = 0
    y = orthogonalize(g)
    assert torch.equal(y[1], torch.zeros(4, 6))
    assert_near(y[::2], by_singular_values(g[::2]), 2e-5)


def test_tiny_matrices_meet_the_constant():
    """the norm is increased by 1e-7: a matrix of norm 1e-7 starts at one half, not at 1"""
    g = torch.zeros(2, 3)
    g[0, 0] = 1e-7
    assert_close(orthogonalize(g, 0), g / 2e-7)


@pytest.mark.parametrize("shape", [(16, 64), (64, 16)])
def test_step_agrees_with_pytorch(shape):
    """three steps of torch.optim.Muon: its definition is the same

    but for the precision, always bfloat16, and max(norm, 1e-7) for norm + 1e-7. That makes a difference of
    2% of a step; without Nesterov's look-ahead it would be 39%.
    """
    weight, buffer = random(*shape), torch.zeros(shape)
    theirs = torch.nn.Parameter(weight.clone())
    optimizer = torch.optim.Muon([theirs], lr=0.1, momentum=0.9, weight_decay=0.0)
    for seed in range(1, 4):
        before = weight
        theirs.data.copy_(weight)
        theirs.grad = random(*shape, seed=seed)
        optimizer.step()
        weight, buffer = muon_step(weight, random(*shape, seed=seed), buffer, lr=0.1, momentum=0.9)
        assert_near(weight - before, theirs.detach().double() - before.double(), 0.05)
        assert_close(buffer, optimizer.state[theirs]["momentum_buffer"])


@pytest.mark.parametrize("shape", [(6, 6), (4, 12), (12, 4), (3, 8, 2), (2, 2, 3, 5)])
def test_step_by_its_definition(shape):
    """three steps in float64: buffer, look-ahead, polynomial of the singular values, sqrt(max(1, m / n))"""
    weight, buffer = random(*shape), random(*shape, seed=9) * 0.1
    w, b = weight.double(), buffer.double()
    for seed in range(1, 4):
        grad = random(*shape, seed=seed)
        weight, buffer = muon_step(weight, grad, buffer, lr=0.3, momentum=0.8, steps=3)
        b = 0.8 * b + 0.2 * grad.double()
        look_ahead = 0.2 * grad.double() + 0.8 * b
        w = w - 0.3 * max(1, shape[-2] / shape[-1]) ** 0.5 * by_singular_values(look_ahead, 3)
        assert_close(buffer.double(), b, rtol=1e-5, atol=1e-6)
        assert_close(weight.double(), w, rtol=1e-5, atol=2e-5)


def test_step_defaults():
    """momentum 0.95 and five steps, and an lr of 0 moves nothing but the buffer"""
    weight, grad, buffer = random(4, 6), random(4, 6, seed=1), random(4, 6, seed=2)
    ours = muon_step(weight, grad, buffer, lr=0.1)
    named = muon_step(weight, grad, buffer, lr=0.1, momentum=0.95, steps=5)
    assert all(torch.equal(x, y) for x, y in zip(ours, named, strict=True))
    still, moved = muon_step(weight, grad, buffer, lr=0.0)
    assert torch.equal(still, weight)
    assert_close(moved, 0.95 * buffer + 0.05 * grad)


@pytest.mark.parametrize("dtypes", [("float32", "bfloat16", "float32"), ("bfloat16", "float32", "float16")])
def test_mixed_dtypes(dtypes):
    """weight and buffer keep their dtypes whatever the gradient's, and the sums are those of the wider one"""
    weight, grad, buffer = (random(8, 32, seed=i).to(getattr(torch, dtype)) for i, dtype in enumerate(dtypes))
    new_weight, new_buffer = muon_step(weight, grad, buffer, lr=0.1)
    assert (new_weight.dtype, new_buffer.dtype) == (weight.dtype, buffer.dtype)
    unit = torch.finfo(buffer.dtype).eps
    assert_close(new_buffer.double(), 0.95 * buffer.double() + 0.05 * grad.double(), rtol=unit, atol=1e-6)
    look_ahead = 0.05 * grad.double() + 0.95 * new_buffer.double()
    # at the coarsest: bfloat16 products may be off by 0.15, and weights of size 1 by 2^-8 each
    limit = 0.15 + torch.finfo(weight.dtype).eps * 16 / 0.57
    assert_near(weight.double() - new_weight.double(), 0.1 * by_singular_values(look_ahead), limit)


def test_strided_inputs():
    """transposed, strided and expanded stacks give what their contiguous copies give"""
    for g in (random(3, 8, 5).mT, random(4, 6, 8)[::2, :, ::2], random(1, 4, 6).expand(3, -1, -1)):
        assert_near(orthogonalize(g), by_singular_values(g), 2e-5)


@pytest.mark.parametrize("shape", [(4, 6), (6, 4), (2, 4, 4)])
@pytest.mark.parametrize("steps", [0, 5])
def test_pure(odd_globals, shape, steps):
    """arguments stay as they were, results are new memory, no global matters, and no graph is built"""
    tensors = [random(*shape, seed=i).requires_grad_() for i in range(3)]
    before = [tensor.detach().clone() for tensor in tensors]
    expected = orthogonalize(tensors[0], steps), *muon_step(*tensors, lr=0.1, momentum=0.0, steps=steps)
    with odd_globals():
        results = orthogonalize(tensors[0], steps), *muon_step(*tensors, lr=0.1, momentum=0.0, steps=steps)
    for result, value in zip(results, expected, strict=True):
        assert torch.equal(result, value)
        assert result.dtype == torch.float32
        assert not result.requires_grad
        result.zero_()
    for tensor, old in zip(tensors, before, strict=True):
        assert torch.equal(tensor, old)


W = torch.ones(4, 6)


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: orthogonalize(W, -1), ValueError, "steps"),
        (lambda: orthogonalize(torch.ones(4)), ValueError, "g"),
        (lambda: orthogonalize(W, 5.0), TypeError, "steps"),
        (lambda: orthogonalize(W.tolist()), TypeError, "g"),
        (lambda: orthogonalize(W.long()), TypeError, "g"),
        (lambda: muon_step(W, W[:1], W, lr=0.1), ValueError, "grad"),  # would broadcast
        (lambda: muon_step(W, W, W[:, :1], lr=0.1), ValueError, "momentum_buffer"),
        (lambda: muon_step(W, W.T, W, lr=0.1), ValueError, "grad"),
        (lambda: muon_step(W[0], W[0], W[0], lr=0.1), ValueError, "weight"),
        (lambda: muon_step(W, W, W, lr=-0.1), ValueError, "lr"),
        (lambda: muon_step(W, W, W, lr=0.1, momentum=1.0), ValueError, "momentum"),
        (lambda: muon_step(W, W, W, lr=0.1, momentum=-0.1), ValueError, "momentum"),
        (lambda: muon_step(W, W, W, lr=0.1, steps=-1), ValueError, "steps"),
        (lambda: muon_step(W, W.tolist(), W, lr=0.1), TypeError, "grad"),
        (lambda: muon_step(W, W, W.long(), lr=0.1), TypeError, "momentum_buffer"),
        (lambda: muon_step(W, W, W, lr="0.1"), TypeError, "lr"),
    ],
)
def test_bad_input(call, error, name):
    """bad input is refused with a message that names the argument"""
    with pytest.raises(error, match=rf"^{name} should"):
        call()

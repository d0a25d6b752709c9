"""The grpo part: sums by hand, loops in Python's floats, and finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from reference.parts.grpo import advantages, policy_loss


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_advantages_by_hand():
    """reward minus the mean of its own group, not of the batch, and not divided by anything"""
    rewards = torch.tensor([[1.0, 0.0, 0.0, 1.0], [3.0, 3.0, 3.0, 7.0], [5.0, 5.0, 5.0, 5.0]])
    expected = torch.tensor([[0.5, -0.5, -0.5, 0.5], [-1.0, -1.0, -1.0, 3.0], [0.0, 0.0, 0.0, 0.0]])
    assert torch.equal(advantages(rewards), expected)


def test_square_rewards():
    """with as many samples as groups the mean is still the group's"""
    assert torch.equal(advantages(torch.tensor([[0.0, 2.0], [4.0, 4.0]])), torch.tensor([[-1.0, 1.0], [0.0, 0.0]]))


def test_one_sample_has_no_advantage():
    """a group of one is its own mean"""
    assert torch.equal(advantages(torch.tensor([[3.0], [-1.0]])), torch.zeros(2, 1))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_advantages_in_float32(dtype):
    """the dtype is kept, the mean is not rounded to it: 300 rewards of 300 sum to more than float16 holds"""
    rewards = torch.full((2, 300), 300.0, dtype=dtype)
    rewards[1, 0] = 304.0
    y = advantages(rewards)
    assert y.dtype == dtype
    assert torch.equal(y[0], torch.zeros(300, dtype=dtype))
    assert_close(y[1, 1].double(), torch.tensor(-4 / 300).double(), rtol=2**-8, atol=0)


def by_loops(logprobs: list, weights: list, mask: list) -> float:
    """The definition, token by token."""
    pairs = [
        (logprob * weight)
        for row, weight, chosen in zip(logprobs, weights, mask, strict=True)
        for logprob, one in zip(row, chosen, strict=True)
        if one
    ]
    return -math.fsum(pairs) / len(pairs)


B = T = 4  # equal, so that a wrong axis would go through
LOGPROBS = -random(B, T).abs() - 0.1
ADVANTAGES = torch.tensor([1.3, -0.7, 0.0, -1.1])
MASK = torch.tensor([[0, 1, 1, 1], [0, 0, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]])  # sequences of unequal length


def test_loss_by_loops():
    """minus the weighted sum over chosen tokens, divided by their number in the whole batch"""
    loss = policy_loss(LOGPROBS, ADVANTAGES, MASK)
    assert loss.dtype == torch.float32
    assert loss.shape == ()
    expected = by_loops(LOGPROBS.tolist(), ADVANTAGES.tolist(), MASK.tolist())
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_gradient_by_finite_differences():
    """the loss is linear, so a difference quotient is its gradient; the advantages get none"""
    logprobs, weights = LOGPROBS.clone().requires_grad_(), ADVANTAGES.clone().requires_grad_()
    policy_loss(logprobs, weights, MASK).backward()
    assert weights.grad is None
    for index in torch.ones(B, T).nonzero().tolist():
        moved = LOGPROBS.clone()
        moved[tuple(index)] += 1
        slope = policy_loss(moved, ADVANTAGES, MASK) - policy_loss(LOGPROBS, ADVANTAGES, MASK)
        assert_close(logprobs.grad[tuple(index)], slope, rtol=1e-4, atol=1e-6)


def test_descent_makes_good_samples_likelier():
    """one step against the gradient raises what had a positive advantage and lowers the others"""
    logits = random(2, 3, 5).requires_grad_()
    sampled = torch.tensor([[0, 1, 2], [3, 4, 0]])

    def logprobs() -> Tensor:
        return logits.log_softmax(-1).gather(-1, sampled[..., None])[..., 0]

    before = logprobs()
    policy_loss(before, torch.tensor([1.0, -1.0]), torch.ones(2, 3)).backward()
    with torch.no_grad():
        logits -= 0.1 * logits.grad
        change = logprobs() - before
    assert (change[0] > 0).all()
    assert (change[1] < 0).all()


@pytest.mark.parametrize("bad", [-math.inf, math.inf, math.nan])
def test_masked_tokens_may_hold_anything(bad):
    """-inf and NaN under mask 0: the same loss, the same gradient, zeros there"""
    expected = LOGPROBS.clone().requires_grad_()
    loss = policy_loss(expected, ADVANTAGES, MASK)
    loss.backward()
    spoiled = LOGPROBS.clone()
    spoiled[MASK == 0] = bad
    spoiled.requires_grad_()
    again = policy_loss(spoiled, ADVANTAGES, MASK)
    again.backward()
    assert torch.equal(again, loss)
    assert torch.equal(spoiled.grad, expected.grad)
    assert not spoiled.grad[MASK == 0].any()


def test_nothing_was_sampled():
    """an empty mask gives 0 and a gradient of zeros"""
    logprobs = torch.full((2, 3), -math.inf, requires_grad=True)
    loss = policy_loss(logprobs, torch.tensor([1.0, -2.0]), torch.zeros(2, 3))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logprobs.grad, torch.zeros(2, 3))


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16])
def test_any_dtype_of_mask(dtype):
    """a mask of any dtype that holds 0 and 1 means the same"""
    expected = policy_loss(LOGPROBS, ADVANTAGES, MASK)
    assert torch.equal(policy_loss(LOGPROBS, ADVANTAGES, MASK.to(dtype)), expected)


@pytest.mark.parametrize("dtypes", [("bfloat16", "float16"), ("float32", "bfloat16"), ("float16", "float32")])
def test_mixed_dtypes_in_float32(dtypes):
    """logprobs and advantages of different dtypes; products and sums in float32"""
    logprobs = (LOGPROBS * 1000).to(getattr(torch, dtypes[0]))  # products overflow float16
    weights = (ADVANTAGES * 300).to(getattr(torch, dtypes[1]))
    loss = policy_loss(logprobs, weights, MASK)
    assert loss.dtype == torch.float32
    expected = by_loops(logprobs.tolist(), weights.tolist(), MASK.tolist())
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_long_batches_are_counted_exactly():
    """the number of tokens is an integer: 4,097 is not in bfloat16, and 2,049 not in float16"""
    for dtype in (torch.bfloat16, torch.float16):
        loss = policy_loss(torch.full((1, 4097), -1.0), torch.ones(1), torch.ones(1, 4097, dtype=dtype))
        assert loss.item() == pytest.approx(1.0, rel=1e-6)


def test_strided_inputs():
    """views and expanded axes give what their contiguous copies give"""
    logprobs, mask, weights = (
        -random(T, 2 * B).abs()[:, ::2].T,
        MASK[:1].expand(B, -1),
        torch.ones(1).expand(B),
    )
    expected = by_loops(logprobs.tolist(), weights.tolist(), mask.tolist())
    assert policy_loss(logprobs, weights, mask).item() == pytest.approx(expected, rel=1e-6)
    rewards = random(6, 4)[::2].T
    assert torch.equal(advantages(rewards), advantages(rewards.contiguous()))


def test_pure(odd_globals):
    """arguments stay as they were, results are new memory, and no global matters"""
    tensors = LOGPROBS.clone(), ADVANTAGES.clone(), MASK.clone()
    rewards = torch.zeros(2, 1)
    expected = policy_loss(*tensors), advantages(LOGPROBS)
    with odd_globals():
        results = policy_loss(*tensors), advantages(LOGPROBS)
    for result, value in zip(results, expected, strict=True):
        assert torch.equal(result, value)
        assert result.dtype == torch.float32
    for tensor, old in zip(tensors, (LOGPROBS, ADVANTAGES, MASK), strict=True):
        assert torch.equal(tensor, old)
    advantages(rewards).fill_(1)
    assert torch.equal(rewards, torch.zeros(2, 1))


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: advantages(torch.ones(4)), ValueError, "rewards"),
        (lambda: advantages(torch.ones(2, 3, 4)), ValueError, "rewards"),
        (lambda: advantages([[1.0]]), TypeError, "rewards"),
        (lambda: advantages(torch.ones(2, 2, dtype=torch.int64)), TypeError, "rewards"),
        (lambda: policy_loss(LOGPROBS[0], ADVANTAGES, MASK), ValueError, "logprobs"),
        (lambda: policy_loss(LOGPROBS, ADVANTAGES[:1], MASK), ValueError, "advantages"),  # would broadcast
        (lambda: policy_loss(LOGPROBS, ADVANTAGES[:, None], MASK), ValueError, "advantages"),
        (lambda: policy_loss(LOGPROBS, ADVANTAGES, MASK[:1]), ValueError, "mask"),
        (lambda: policy_loss(LOGPROBS, ADVANTAGES, MASK[0]), ValueError, "mask"),
        (lambda: policy_loss(LOGPROBS, ADVANTAGES, MASK * 2), ValueError, "mask"),
        (lambda: policy_loss(LOGPROBS, ADVANTAGES, MASK * math.nan), ValueError, "mask"),
        (lambda: policy_loss(LOGPROBS.tolist(), ADVANTAGES, MASK), TypeError, "logprobs"),
        (lambda: policy_loss(LOGPROBS.long(), ADVANTAGES, MASK), TypeError, "logprobs"),
        (lambda: policy_loss(LOGPROBS, ADVANTAGES.long(), MASK), TypeError, "advantages"),
        (lambda: policy_loss(LOGPROBS, ADVANTAGES.tolist(), MASK), TypeError, "advantages"),
        (lambda: policy_loss(LOGPROBS, ADVANTAGES, MASK.tolist()), TypeError, "mask"),
    ],
)
def test_bad_input(call, error, name):
    """bad input is refused with a message that names the argument"""
    with pytest.raises(error, match=rf"^{name} should"):
        call()

"""What advantages and policy_loss must do, from easy to hard. `student` is the implementation under test."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from katas.close import assert_close

pytestmark = pytest.mark.seconds(10)


@pytest.fixture
def random(seed):
    """Normal numbers of any shape."""
    return lambda *shape, other=0: torch.randn(shape, generator=torch.Generator().manual_seed(seed + other))


# --- advantages ---


def test_by_hand(student):
    """a reward counts by how far it lies above the mean of its group: the means are 0.5, 4 and -2"""
    rewards = torch.tensor([[1.0, 0.0, 0.0, 1.0], [3.0, 3.0, 3.0, 7.0], [-2.0, 0.0, -4.0, -2.0]])
    expected = torch.tensor([[0.5, -0.5, -0.5, 0.5], [-1.0, -1.0, -1.0, 3.0], [0.0, 2.0, -2.0, 0.0]])
    assert_close(student.advantages(rewards), expected)


def test_as_many_groups_as_samples(student):
    """a group is a row, also where there are as many rows as columns"""
    rewards = torch.tensor([[0.0, 2.0], [4.0, 10.0]])
    assert_close(student.advantages(rewards), torch.tensor([[-1.0, 1.0], [-3.0, 3.0]]))


def test_a_rare_success_is_not_blown_up(student):
    """one success among sixteen is worth 15/16, and no division by the spread makes 3.9 of it"""
    rewards = torch.zeros(2, 16)
    rewards[0, 5] = 1.0
    rewards[1, ::2] = 1.0
    expected = torch.full((2, 16), -1 / 16)
    expected[0, 5] = 15 / 16
    expected[1, ::2], expected[1, 1::2] = 0.5, -0.5
    assert_close(student.advantages(rewards), expected)


def test_all_alike(student):
    """where all samples of a group earned the same there is nothing to learn: zeros, not NaN"""
    rewards = torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]])
    expected = torch.tensor([[0.0, 0.0, 0.0], [-1.0, -1.0, 2.0], [0.0, 0.0, 0.0]])
    assert_close(student.advantages(rewards), expected, rtol=0, atol=1e-6)


def test_one_of_a_kind(student):
    """one sample is its own mean, and one group is a batch"""
    assert_close(student.advantages(torch.tensor([[3.0], [-1.0]])), torch.zeros(2, 1))
    assert_close(student.advantages(torch.tensor([[3.0, -1.0, 1.0]])), torch.tensor([[2.0, -2.0, 0.0]]))


def test_any_numbers(student, random):
    """any rewards, any sizes, strided or expanded: what a loop over groups in Python's floats gives"""
    for rewards in (
        10 * random(5, 7),
        100 + random(3, 4),
        random(9, 4)[::2].T,
        random(4, 1).expand(4, 3),
        random(1, 6),
    ):
        means = [math.fsum(row) / len(row) for row in rewards.tolist()]
        expected = [[reward - mean for reward in row] for row, mean in zip(rewards.tolist(), means, strict=True)]
        # next to 100 a mean in float32 is exact to 2e-5
        assert_close(student.advantages(rewards), torch.tensor(expected), rtol=1e-5, atol=2e-5)


def test_advantages_in_low_precision(student):
    """the dtype is kept, and the mean is not rounded to it: 1003 is not in bfloat16, nor 2049 in float16"""
    coarse = torch.tensor([[1000.0, 1004.0, 1008.0, 1000.0]], dtype=torch.bfloat16)
    expected = torch.tensor([[-3.0, 1.0, 5.0, -3.0]], dtype=torch.bfloat16)
    assert_close(student.advantages(coarse), expected, rtol=0, atol=0)
    half = torch.tensor([[2048.0, 2052.0, 2048.0, 2048.0] * 10], dtype=torch.float16)  # the sum is above 65,504
    expected = torch.tensor([[-1.0, 3.0, -1.0, -1.0] * 10], dtype=torch.float16)
    assert_close(student.advantages(half), expected, rtol=0, atol=0)


# --- policy_loss ---


def by_loops(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """(loss, its gradient) token by token, in Python's floats."""
    rows = list(zip(logprobs.tolist(), advantages.tolist(), mask.tolist(), strict=True))
    count = sum(1 for _, _, ones in rows for one in ones if one)
    terms = [p * weight for row, weight, ones in rows for p, one in zip(row, ones, strict=True) if one]
    gradient = [[-weight / count if one else 0.0 for one in ones] for _, weight, ones in rows]
    return torch.tensor(-math.fsum(terms) / count), torch.tensor(gradient)


def assert_right(student, logprobs: Tensor, advantages: Tensor, mask: Tensor) -> None:
    """The loss and its gradient are those of the definition. A float32 sum of so few terms is exact to 1e-6 of them."""
    expected, expected_gradient = by_loops(logprobs, advantages, mask)
    terms = (logprobs.double() * advantages.double()[:, None])[mask.bool()].abs().mean().item()
    logprobs = logprobs.clone(memory_format=torch.preserve_format).requires_grad_()
    loss = student.policy_loss(logprobs, advantages, mask)
    assert_close(loss, expected, rtol=1e-5, atol=1e-6 * max(1.0, terms))
    loss.backward()
    unit = max(1e-5, torch.finfo(logprobs.dtype).eps)  # a gradient has the dtype of what it belongs to
    assert_close(logprobs.grad, expected_gradient.to(logprobs.dtype), rtol=unit, atol=1e-7)


LOGPROBS = torch.tensor([[-1.0, -2.0, -3.0], [-4.0, -1.0, -6.0]])
ADVANTAGES = torch.tensor([1.0, -0.5])
MASK = torch.tensor([[0, 1, 1], [0, 1, 0]])


def test_loss_by_hand(student):
    """three sampled tokens, worked by hand in the lesson: -(1 * (-2 - 3) - 0.5 * -1) / 3 = 1.5, a float32 scalar"""
    assert_close(student.policy_loss(LOGPROBS, ADVANTAGES, MASK), torch.tensor(1.5))


def test_gradient_by_hand(student):
    """every sampled token is pushed by minus its advantage over 3, the others by nothing"""
    logprobs = LOGPROBS.clone().requires_grad_()
    student.policy_loss(logprobs, ADVANTAGES, MASK).backward()
    assert_close(logprobs.grad, torch.tensor([[0.0, -1 / 3, -1 / 3], [0.0, 0.5 / 3, 0.0]]))


def test_every_token_weighs_the_same(student):
    """one sequence has nine sampled tokens and the other one: together ten, and each has a tenth of the weight"""
    logprobs = -torch.arange(1.0, 19.0).reshape(2, 9)
    mask = torch.ones(2, 9)
    mask[1, 1:] = 0
    # -(2 * -(1 + ... + 9) - 3 * -10) / 10
    assert_close(student.policy_loss(logprobs, torch.tensor([2.0, -3.0]), mask), torch.tensor(6.0))
    assert_right(student, logprobs, torch.tensor([2.0, -3.0]), mask)


def test_any_sizes(student, random):
    """sequences of unequal lengths, in the middle, without a token; as many sequences as tokens; one token"""
    for B, T in ((5, 7), (4, 4), (1, 6), (6, 1), (1, 1)):
        mask = (random(B, T, other=1) > -0.3).long()
        mask[0, 0] = 1
        mask[B // 2 + 1 :: 3] = 0
        assert_right(student, -random(B, T).abs(), random(B, other=2), mask)


def test_advantage_of_one_is_cross_entropy(student, random):
    """where every advantage is 1 the loss is PyTorch's cross-entropy of the sampled tokens, gradient included"""
    logits, tokens = random(3, 5, 11), torch.arange(15).reshape(3, 5) % 11
    mask = torch.tensor([[0, 1, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 0, 0, 1]]).bool()
    mine, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    logprobs = mine.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
    loss = student.policy_loss(logprobs, torch.ones(3), mask)
    expected = F.cross_entropy(theirs.flatten(0, 1), tokens.masked_fill(~mask, -100).flatten())
    assert_close(loss, expected.detach(), rtol=1e-5, atol=0)
    loss.backward()
    expected.backward()
    assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-7)


def test_climbs_the_expected_reward(student):
    """averaged over all that a policy may sample, the gradient is minus that of the expected reward"""
    # brute force: three answers with probabilities softmax(theta) earn 1, 0 and 3; a sample's weight is its probability
    theta, rewards = torch.tensor([0.2, -0.4, 0.1]), [1.0, 0.0, 3.0]
    exact = theta.clone().requires_grad_()
    (exact.softmax(0) * torch.tensor(rewards)).sum().backward()
    average = torch.zeros(3)
    for answer, probability in enumerate(theta.softmax(0)):
        policy = theta.clone().requires_grad_()
        logprobs = policy.log_softmax(0)[answer].reshape(1, 1)
        student.policy_loss(logprobs, torch.tensor([rewards[answer]]), torch.ones(1, 1)).backward()
        average += probability * policy.grad
    assert_close(average, -exact.grad, rtol=1e-5, atol=1e-6)


def test_gradient_of_a_part_of_a_loss(student):
    """in a larger loss the gradient is scaled like any other: a quarter of it with the factor 1/4"""
    logprobs = LOGPROBS.clone().requires_grad_()
    (0.25 * student.policy_loss(logprobs, ADVANTAGES, MASK) + logprobs.sum()).backward()
    expected = 1 + 0.25 * torch.tensor([[0.0, -1 / 3, -1 / 3], [0.0, 0.5 / 3, 0.0]])
    assert_close(logprobs.grad, expected)


def test_advantages_are_constants(student):
    """no gradient flows into the advantages, and the one into logprobs is what it was"""
    logprobs, advantages = LOGPROBS.clone().requires_grad_(), ADVANTAGES.clone().requires_grad_()
    student.policy_loss(logprobs, advantages, MASK).backward()
    assert_close(logprobs.grad, torch.tensor([[0.0, -1 / 3, -1 / 3], [0.0, 0.5 / 3, 0.0]]))
    assert advantages.grad is None or not advantages.grad.any(), f"the advantages got the gradient {advantages.grad}"


def test_any_dtype_of_mask(student):
    """a mask may be bool, integer or float, and means the same"""
    for dtype in (torch.bool, torch.uint8, torch.int64, torch.float32, torch.bfloat16):
        assert_right(student, LOGPROBS, ADVANTAGES, MASK.to(dtype))


@pytest.mark.parametrize("bad", [-math.inf, math.nan, math.inf], ids=str)
def test_anything_under_the_mask(student, bad):
    """what is masked may be -inf, inf or NaN: loss and gradient are as without it, and its own gradient is zero"""
    assert_close(student.policy_loss(LOGPROBS, ADVANTAGES, MASK), torch.tensor(1.5))
    for rows in (MASK == 0, (MASK == 0) & torch.tensor([[True], [False]])):
        logprobs = LOGPROBS.masked_fill(rows, bad).requires_grad_()
        loss = student.policy_loss(logprobs, ADVANTAGES, MASK)
        assert_close(loss, torch.tensor(1.5))
        loss.backward()
        assert_close(logprobs.grad, torch.tensor([[0.0, -1 / 3, -1 / 3], [0.0, 0.5 / 3, 0.0]]))


def test_nothing_sampled(student):
    """without a sampled token the loss is 0 and so is the gradient, not NaN; with a single one it is that token's"""
    one = torch.zeros(2, 3)
    one[1, 0] = 1
    assert_right(student, LOGPROBS, ADVANTAGES, one)  # -(-0.5 * -4) = -2
    for token in (-2.0, -math.inf):
        logprobs = torch.full((2, 3), token, requires_grad=True)
        loss = student.policy_loss(logprobs, ADVANTAGES, torch.zeros(2, 3))
        assert_close(loss, torch.tensor(0.0), rtol=0, atol=0)
        loss.backward()
        assert_close(logprobs.grad, torch.zeros(2, 3), rtol=0, atol=0)


def test_mixed_dtypes(student, random):
    """logprobs and advantages of any two dtypes: the work is in float32, and so is the loss"""
    # products of 400 and 300 do not fit into float16, and the 8 bits of bfloat16 would be off by 1e-3
    mask = (random(4, 6, other=1) > -0.5).long()
    dtypes = [torch.float32, torch.bfloat16, torch.float16]
    for one in dtypes:
        for other in dtypes:
            logprobs, advantages = (-400 * random(4, 6).abs()).to(one), (300 * random(4, other=2)).to(other)
            assert_right(student, logprobs, advantages, mask)


def test_counts_exactly(student):
    """the tokens are counted, not rounded: 2,051 is in neither bfloat16 nor float16, whatever the mask is made of"""
    for dtype in (torch.bfloat16, torch.float16, torch.bool, torch.uint8):
        logprobs, mask = torch.full((7, 293), -1.5), torch.ones(7, 293, dtype=dtype)
        loss = student.policy_loss(logprobs.to(torch.bfloat16), torch.full((7,), 2.0), mask)
        assert_close(loss, torch.tensor(3.0), rtol=1e-5, atol=0)


# --- both ---


def test_strided(student, random):
    """transposed, strided and expanded arguments give what their copies give"""
    logprobs, mask = -random(6, 10).abs()[:, ::2].T, MASK[:1, 1:2].expand(5, 6)
    assert_right(student, logprobs, torch.tensor([0.7]).expand(5), mask)
    assert_right(student, logprobs, random(10)[::2], (random(6, 5, other=1) > 0).T)


def test_agrees_with_the_worked_answer(student, reference, random):
    """a batch as in training: four prompts with eight samples each, rewards of 0 and 1, answers of any length"""
    rewards = (random(4, 8) > 0.4).float()
    mask = (torch.arange(50) >= 10) & (torch.arange(50) < 12 + torch.arange(32)[:, None])
    logprobs = -random(32, 50, other=1).square().requires_grad_()
    again = logprobs.detach().clone().requires_grad_()
    advantages = student.advantages(rewards)
    assert_close(advantages, reference.advantages(rewards), rtol=0, atol=1e-6)
    loss = student.policy_loss(logprobs, advantages.flatten(), mask)
    expected = reference.policy_loss(again, reference.advantages(rewards).flatten(), mask)
    assert_close(loss, expected.detach(), rtol=1e-4, atol=1e-6)
    (gradient,) = torch.autograd.grad(loss, logprobs)
    (expected_gradient,) = torch.autograd.grad(expected, again)
    assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-8)


def test_leaves_its_arguments_alone(student):
    """rewards, logprobs, advantages and mask are the caller's: what you return is new"""
    assert_close(student.advantages(torch.tensor([[1.0, 3.0]])), torch.tensor([[-1.0, 1.0]]))
    assert_close(student.policy_loss(LOGPROBS, ADVANTAGES, MASK.float()), torch.tensor(1.5))
    assert_close(student.policy_loss(LOGPROBS[:1, :1], ADVANTAGES[:1], torch.ones(1, 1)), torch.tensor(1.0))


def test_globals_change_nothing(student):
    """another default dtype, default device or autocast around your code changes nothing"""
    rewards, logprobs = torch.tensor([[1.0, 0.0, 5.0]]), LOGPROBS.clone().requires_grad_()
    with student.odd_globals():
        result = student.advantages(rewards)
        loss = student.policy_loss(logprobs, ADVANTAGES, MASK)
        empty = student.policy_loss(LOGPROBS, ADVANTAGES, 0 * MASK)
    assert_close(result, torch.tensor([[-1.0, -2.0, 3.0]]))
    assert_close(loss, torch.tensor(1.5))
    assert_close(empty, torch.tensor(0.0), rtol=0, atol=0)
    loss.backward()
    assert_close(logprobs.grad, torch.tensor([[0.0, -1 / 3, -1 / 3], [0.0, 0.5 / 3, 0.0]]))


# --- bad input ---


def test_bad_rewards(student):
    """rewards are a floating-point tensor with two axes, groups and samples, and anything else is refused by name"""
    for wrong in (torch.ones(4), torch.ones(2, 3, 4), torch.tensor(1.0)):
        with pytest.raises(ValueError, match="rewards"):
            student.advantages(wrong)
    for wrong in ([[1.0, 0.0]], torch.ones(2, 3, dtype=torch.int64)):
        with pytest.raises((TypeError, ValueError), match="rewards"):
            student.advantages(wrong)


def test_bad_shapes(student):
    """logprobs are (B, T), advantages (B,), mask (B, T): what differs is refused, also where it would broadcast"""
    x, a, ones = -torch.ones(4, 6), torch.ones(4), torch.ones(4, 6)
    for wrong in (a[:1], a[:, None], a[None], torch.ones(6), torch.tensor(1.0), torch.ones(4, 6)):
        with pytest.raises(ValueError, match="advantages"):
            student.policy_loss(x, wrong, ones)
    for wrong in (ones[:1], ones[:, :1], ones[0], ones[None], ones.T, torch.tensor(1.0)):
        with pytest.raises(ValueError, match="mask"):
            student.policy_loss(x, a, wrong)
    for wrong in (x[0], x[None], torch.tensor(-1.0)):
        with pytest.raises(ValueError, match="logprobs"):
            student.policy_loss(wrong, a, torch.ones_like(wrong))


def test_bad_types(student):
    """a list is no tensor, and integers are no logprobs and no advantages"""
    for wrong in (LOGPROBS.tolist(), LOGPROBS.long()):
        with pytest.raises((TypeError, ValueError), match="logprobs"):
            student.policy_loss(wrong, ADVANTAGES, MASK)
    for wrong in (ADVANTAGES.tolist(), ADVANTAGES.long()):
        with pytest.raises((TypeError, ValueError), match="advantages"):
            student.policy_loss(LOGPROBS, wrong, MASK)
    with pytest.raises((TypeError, ValueError), match="mask"):
        student.policy_loss(LOGPROBS, ADVANTAGES, MASK.tolist())

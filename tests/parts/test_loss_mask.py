"""The loss_mask part: a conversation laid out by hand, and PyTorch's cross-entropy in float64."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from reference.parts.loss_mask import masked_cross_entropy, render

NAMES = ("bos", "user_start", "user_end", "assistant_start", "assistant_end", "python_start", "python_end")
SPECIAL = {name: 100 + i for i, name in enumerate((*NAMES, "output_start", "output_end"))}


def text(*ids: int) -> dict:
    return {"type": "text", "ids": list(ids)}


def user(*ids: int) -> dict:
    return {"role": "user", "parts": [text(*ids)]}


def assistant(*parts: dict) -> dict:
    return {"role": "assistant", "parts": list(parts)}


TOOL_USE = [
    user(1, 2),
    assistant(
        text(3),
        {"type": "python", "ids": [4, 5]},
        {"type": "python_output", "ids": [6]},
        text(7, 8),
    ),
    user(9),
    assistant(text(10)),
]
# every token with what the model must learn
LAID_OUT = [
    *[(100, 0), (101, 0), (1, 0), (2, 0), (102, 0)],
    *[(103, 0), (3, 1)],
    *[(105, 1), (4, 1), (5, 1), (106, 1)],
    *[(107, 0), (6, 0), (108, 0)],
    *[(7, 1), (8, 1), (104, 1)],
    *[(101, 0), (9, 0), (102, 0)],
    *[(103, 0), (10, 1), (104, 1)],
]


def test_layout_and_mask():
    """two turns with a tool call: every token, and which of them are learned"""
    ids, mask = render(TOOL_USE, SPECIAL)
    assert list(zip(ids, mask, strict=True)) == LAID_OUT


def test_a_conversation_may_end_with_the_user():
    """a last user turn is closed, and nothing follows it"""
    assert render([user(1)], SPECIAL) == ([100, 101, 1, 102], [0, 0, 0, 0])


def test_the_mask_follows_the_part_not_the_value():
    """ids that look like special tokens count as what their part is"""
    conversation = [user(105, 104), assistant(text(107, 101), {"type": "python_output", "ids": [105, 104]})]
    ids, mask = render(conversation, SPECIAL)
    assert ids == [100, 101, 105, 104, 102, 103, 107, 101, 107, 105, 104, 108, 104]
    assert mask == [0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1]


def test_nothing_may_be_empty_but_the_conversation():
    """empty texts and messages without parts keep their marks"""
    silent = [{"role": "user", "parts": []}, assistant(text(), {"type": "python", "ids": []})]
    assert render(silent, SPECIAL) == ([100, 101, 102, 103, 105, 106, 104], [0, 0, 0, 0, 1, 1, 1])


@pytest.mark.parametrize("max_tokens", [0, 1, 8, 12, len(LAID_OUT), 1000])
def test_truncation_is_a_plain_cut(max_tokens):
    """the first so many tokens of both lists, nothing added, wherever the cut falls"""
    ids, mask = render(TOOL_USE, SPECIAL, max_tokens)
    assert list(zip(ids, mask, strict=True)) == LAID_OUT[:max_tokens]


def test_render_is_pure():
    """the conversation stays as it was, and the result shares no list with it"""
    before = copy.deepcopy((TOOL_USE, SPECIAL))
    ids, mask = render(TOOL_USE, SPECIAL)
    ids.clear()
    mask.clear()
    assert before == (TOOL_USE, SPECIAL)


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([], ValueError),
        ([assistant(text(1))], ValueError),
        ([user(1), user(2)], ValueError),
        ([user(1), assistant(text(2)), assistant(text(3))], ValueError),
        ([{"role": "system", "parts": []}], ValueError),
        ([user(1), {"role": "tool", "parts": []}], ValueError),
        ([{"parts": []}], ValueError),
        ([{"role": "user"}], ValueError),
        ([{"role": "user", "parts": [{"type": "python", "ids": [1]}]}], ValueError),
        ([{"role": "user", "parts": [{"type": "python_output", "ids": [1]}]}], ValueError),
        ([user(1), assistant({"type": "image", "ids": []})], ValueError),
        ([user(1), assistant({"ids": []})], ValueError),
        ([user(1), assistant({"type": "text"})], ValueError),
        ("hello", TypeError),
        (["hello"], TypeError),
        ([{"role": "user", "parts": "hello"}], TypeError),
        ([{"role": "user", "parts": ["hello"]}], TypeError),
        ([{"role": "user", "parts": [{"type": "text", "ids": "hello"}]}], TypeError),
        ([user(1.0)], TypeError),
    ],
)
def test_bad_conversations(messages, error):
    """another form of conversation is refused, and the message says where"""
    with pytest.raises(error, match="messages"):
        render(messages, SPECIAL)


@pytest.mark.parametrize("name", SPECIAL)
def test_every_special_token_is_needed(name):
    """a missing one is named, whether or not the conversation uses it"""
    with pytest.raises(ValueError, match=rf"special .*\b{name}\b"):
        render([user(1)], {key: value for key, value in SPECIAL.items() if key != name})


@pytest.mark.parametrize(
    ("special", "max_tokens", "error", "name"),
    [
        (SPECIAL, -1, ValueError, "max_tokens"),
        (SPECIAL, 3.0, TypeError, "max_tokens"),
        (list(SPECIAL), None, TypeError, "special"),
    ],
)
def test_bad_arguments(special, max_tokens, error, name):
    """the other two arguments are checked, too"""
    with pytest.raises(error, match=rf"^{name} should"):
        render([user(1)], special, max_tokens)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


B, T, V = 3, 5, 7
LOGITS = random(B, T, V) * 3
TARGETS = torch.randint(V, (B, T), generator=torch.Generator().manual_seed(1))
MASK = torch.tensor([[0, 1, 1, 0, 1], [0, 0, 0, 0, 0], [1, 1, 0, 0, 0]])  # rows of different weight
ALL = torch.ones(B, T, dtype=torch.int64)


def witness(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """PyTorch's own, in float64, told to ignore what is masked."""
    ignored = targets.masked_fill(mask == 0, -100)
    return F.cross_entropy(logits.double().flatten(0, 1), ignored.flatten(), ignore_index=-100)


@pytest.mark.parametrize("mask", [MASK, ALL])
def test_equals_pytorch(mask):
    """loss and gradient are PyTorch's: one mean over all learned positions of the batch"""
    ours, theirs = LOGITS.clone().requires_grad_(), LOGITS.double().requires_grad_()
    loss, expected = masked_cross_entropy(ours, TARGETS, mask), witness(theirs, TARGETS, mask)
    assert loss.dtype == torch.float32
    assert loss.shape == ()
    assert_close(loss.double(), expected, rtol=1e-6, atol=0)
    (2 * loss).backward()
    (2 * expected).backward()
    assert_close(ours.grad.double(), theirs.grad, rtol=1e-5, atol=1e-7)
    assert not ours.grad[mask == 0].any()


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32, torch.float32, torch.bfloat16])
def test_any_dtype_of_mask(dtype):
    """a mask of any dtype that holds 0 and 1 means the same"""
    expected = masked_cross_entropy(LOGITS, TARGETS, MASK)
    assert torch.equal(masked_cross_entropy(LOGITS, TARGETS, MASK.to(dtype)), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_float32_inside(dtype):
    """a low-precision input costs its own rounding and no more, also with logits of 30,000"""
    logits = LOGITS.to(dtype)
    loss = masked_cross_entropy(logits, TARGETS, MASK)
    assert loss.dtype == torch.float32
    assert_close(loss.double(), witness(logits, TARGETS, MASK), rtol=1e-6, atol=0)
    wild = (LOGITS.sign() * 30000).to(dtype)
    assert_close(masked_cross_entropy(wild, TARGETS, MASK).double(), witness(wild, TARGETS, MASK))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_masked_positions_may_hold_anything(bad):
    """NaN and infinite logits, and impossible targets, under mask 0: same loss, same gradient, zeros there"""
    expected = LOGITS.clone().requires_grad_()
    loss = masked_cross_entropy(expected, TARGETS, MASK)
    loss.backward()
    spoiled = LOGITS.clone()
    spoiled[MASK == 0] = bad
    spoiled.requires_grad_()
    targets = TARGETS.clone()
    targets[MASK == 0] = torch.tensor([-1, V, -100, 10**12, -(2**63), 2**63 - 1, -1, -1, -1, -1])
    again = masked_cross_entropy(spoiled, targets, MASK)
    again.backward()
    assert torch.equal(again, loss)
    assert torch.equal(spoiled.grad, expected.grad)


def test_nothing_to_learn():
    """no position under mask 1: exactly 0, and a gradient of zeros, even of NaN"""
    logits = torch.full((B, T, V), math.nan, requires_grad=True)
    loss = masked_cross_entropy(logits, torch.full((B, T), -1), torch.zeros(B, T))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros(B, T, V))


def test_impossible_words_are_allowed():
    """-inf at words that are not the target takes them out of the softmax, with a finite gradient"""
    logits = torch.zeros(1, 1, 4)
    logits[0, 0, 2:] = -math.inf
    logits.requires_grad_()
    loss = masked_cross_entropy(logits, torch.tensor([[1]]), torch.ones(1, 1))
    loss.backward()
    assert_close(loss, torch.tensor(math.log(2)))
    assert_close(logits.grad, torch.tensor([[[0.5, -0.5, 0, 0]]]))


def test_strided_inputs():
    """views and expanded axes give what their contiguous copies give"""
    logits, targets = random(T, B, 2 * V).transpose(0, 1)[..., ::2], TARGETS[:1].expand(B, -1)
    for mask in (MASK, ALL, MASK[:1].expand(B, -1)):
        loss = masked_cross_entropy(logits, targets, mask)
        assert_close(loss.double(), witness(logits, targets, mask), rtol=1e-6, atol=0)


def test_loss_is_pure(odd_globals):
    """arguments stay as they were, and no global matters"""
    tensors = LOGITS.clone(), TARGETS.clone(), MASK.clone()
    expected = masked_cross_entropy(*tensors)
    with odd_globals():
        loss = masked_cross_entropy(*tensors)
    assert torch.equal(loss, expected)
    assert loss.dtype == torch.float32
    for tensor, old in zip(tensors, (LOGITS, TARGETS, MASK), strict=True):
        assert torch.equal(tensor, old)


@pytest.mark.parametrize(
    ("logits", "targets", "mask", "error", "name"),
    [
        (LOGITS[0], TARGETS, MASK, ValueError, "logits"),
        (LOGITS, TARGETS[:1], MASK, ValueError, "targets"),
        (LOGITS, TARGETS.T, MASK, ValueError, "targets"),
        (LOGITS, TARGETS, MASK[:, :1], ValueError, "mask"),  # would broadcast
        (LOGITS, TARGETS, MASK[None], ValueError, "mask"),
        (LOGITS, TARGETS, MASK * 2, ValueError, "mask"),
        (LOGITS, TARGETS, MASK * 0.5, ValueError, "mask"),
        (LOGITS, TARGETS, MASK * math.nan, ValueError, "mask"),
        (LOGITS, torch.full((B, T), -1), MASK, ValueError, "targets"),
        (LOGITS, torch.full((B, T), V), MASK, ValueError, "targets"),
        (LOGITS, torch.full((B, T), -100), MASK, ValueError, "targets"),
        (LOGITS.tolist(), TARGETS, MASK, TypeError, "logits"),
        (LOGITS.long(), TARGETS, MASK, TypeError, "logits"),
        (LOGITS, TARGETS.tolist(), MASK, TypeError, "targets"),
        (LOGITS, TARGETS.float(), MASK, TypeError, "targets"),
        (LOGITS, TARGETS, MASK.tolist(), TypeError, "mask"),
    ],
)
def test_bad_input(logits, targets, mask, error, name):
    """bad input is refused with a message that names the argument"""
    with pytest.raises(error, match=rf"^{name} should"):
        masked_cross_entropy(logits, targets, mask)

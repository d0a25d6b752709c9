"""What render and masked_cross_entropy must do, from easy to hard. `student` is the implementation under test."""

import math
from itertools import product
from random import Random

import pytest
import torch
import torch.nn.functional as F

from katas.close import assert_close

pytestmark = pytest.mark.seconds(10)

# In what follows, words are ids below 50 and the nine special tokens are 50 to 58.
MARKS = ("user_start", "user_end", "assistant_start", "assistant_end")
TOOL_MARKS = ("python_start", "python_end", "output_start", "output_end")
SPECIAL = {name: 50 + i for i, name in enumerate(("bos", *MARKS, *TOOL_MARKS))}


def text(*ids):
    return {"type": "text", "ids": list(ids)}


def python(*ids):
    return {"type": "python", "ids": list(ids)}


def output(*ids):
    return {"type": "python_output", "ids": list(ids)}


def user(*parts):
    return {"role": "user", "parts": list(parts)}


def assistant(*parts):
    return {"role": "assistant", "parts": list(parts)}


# "What is 2 + 3?" "It is <2+3>{5} 5." where <> is the program that the model writes and {} what the tool answers
TOOL_USE = [user(text(1, 2, 3)), assistant(text(4, 5), python(2, 6, 3), output(7), text(7, 8))]
TOOL_IDS = [*[50, 51, 1, 2, 3, 52], *[53, 4, 5, 55, 2, 6, 3, 56, 57, 7, 58, 7, 8, 54]]
TOOL_MASK = [*[0, 0, 0, 0, 0, 0], *[0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1]]


# --- render ---


def test_one_question_one_answer(student):
    """the model learns its own words and where to stop: nothing of the question, and not the mark that lets it speak"""
    ids, mask = student.render([user(text(1, 2)), assistant(text(3, 4, 5))], SPECIAL)
    assert ids == [50, 51, 1, 2, 52, 53, 3, 4, 5, 54]
    assert mask == [0, 0, 0, 0, 0, 0, 1, 1, 1, 1]
    assert all(isinstance(number, int) for number in ids + mask), "ids and mask hold ints"


def test_a_tool_call(student):
    """the call with both its marks is the model's, what the tool answers is not, marks included; then it is again"""
    ids, mask = student.render(TOOL_USE, SPECIAL)
    assert ids == TOOL_IDS
    assert mask == TOOL_MASK


def test_every_turn_counts(student):
    """every answer of a conversation is learned, not only the last, and bos stands once"""
    conversation = [
        user(text(1)),
        assistant(text(2)),
        user(text(3)),
        assistant(text(4)),
        user(text(5)),
        assistant(text(6)),
    ]
    ids, mask = student.render(conversation, SPECIAL)
    assert ids == [50, *[51, 1, 52, 53, 2, 54], *[51, 3, 52, 53, 4, 54], *[51, 5, 52, 53, 6, 54]]
    assert mask == [0, *[0, 0, 0, 0, 1, 1], *[0, 0, 0, 0, 1, 1], *[0, 0, 0, 0, 1, 1]]


def test_the_user_may_have_the_last_word(student):
    """a conversation may end with the user's turn: it is closed like any other, and nothing follows"""
    assert student.render([user(text(1))], SPECIAL) == ([50, 51, 1, 52], [0, 0, 0, 0])
    ids, mask = student.render([user(text(1)), assistant(text(2)), user(text(3))], SPECIAL)
    assert ids == [50, 51, 1, 52, 53, 2, 54, 51, 3, 52]
    assert mask == [0, 0, 0, 0, 0, 1, 1, 0, 0, 0]


def test_parts_in_any_number_and_order(student):
    """parts stand in the order given, as many as there are, whatever came before them"""
    odd = [user(text(1), text(2)), assistant(output(3), text(4), text(5), python(6), python(7), output(8), output(9))]
    ids, mask = student.render(odd, SPECIAL)
    assert ids == [50, 51, 1, 2, 52, 53, 57, 3, 58, 4, 5, 55, 6, 56, 55, 7, 56, 57, 8, 58, 57, 9, 58, 54]
    assert mask == [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1]


def test_the_part_decides_not_the_value(student):
    """a token's mask depends on the part it came from, never on its value: not when it looks like a mark, either"""
    # here 55 and 54 stand in the user's words, 53 and 57 in the model's, 51 in its code, 55 and 54 in the tool's answer
    conversation = [user(text(55, 54)), assistant(text(57, 53), python(51), output(55, 54), text(55, 54))]
    ids, mask = student.render(conversation, SPECIAL)
    assert ids == [50, 51, 55, 54, 52, 53, 57, 53, 55, 51, 56, 57, 55, 54, 58, 55, 54, 54]
    assert mask == [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1]


def test_empty_parts_and_messages(student):
    """a part without ids keeps its marks, a message without parts keeps its own"""
    silent = [user(), assistant(text(), python(), output()), user(text()), assistant()]
    ids, mask = student.render(silent, SPECIAL)
    assert ids == [50, 51, 52, 53, 55, 56, 57, 58, 54, 51, 52, 53, 54]
    assert mask == [0, 0, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 1]


def test_the_marks_are_whatever_special_says(student):
    """special may list the names in any order and with any ids, 0 among them"""
    special = {"python_end": 7, "user_end": 0, "assistant_start": 30, "output_end": 31, "bos": 9, "user_start": 8}
    special |= {"output_start": 6, "assistant_end": 5, "python_start": 4}
    ids, mask = student.render([user(text(1)), assistant(python(2), output(3))], special)
    assert ids == [9, 8, 1, 0, 30, 4, 2, 7, 6, 3, 31, 5]
    assert mask == [0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1]


def test_max_tokens_is_a_plain_cut(student):
    """max_tokens keeps the first so many tokens of ids and mask alike, wherever the cut falls, and adds nothing"""
    for n in range(len(TOOL_IDS) + 3):  # from 0, which leaves two empty lists, to more than there are
        assert student.render(TOOL_USE, SPECIAL, max_tokens=n) == (TOOL_IDS[:n], TOOL_MASK[:n])
    assert student.render(TOOL_USE, SPECIAL, 10**6) == (TOOL_IDS, TOOL_MASK)
    assert student.render(TOOL_USE, SPECIAL, None) == (TOOL_IDS, TOOL_MASK)


def test_any_conversation(student, reference, seed):
    """in thirty conversations by chance, what is learned is what the assistant wrote, in its order"""
    chance = Random(seed + 6)
    special = dict(zip(SPECIAL, chance.sample(range(12), 9), strict=True))  # words collide with marks all the time

    def part(kinds):
        return {"type": chance.choice(kinds), "ids": [chance.randrange(12) for _ in range(chance.randrange(4))]}

    for _ in range(30):
        messages = []
        for i in range(chance.randrange(1, 6)):
            kinds = ["text", "python", "python_output"] if i % 2 else ["text"]
            parts = [part(kinds) for _ in range(chance.randrange(5))]
            messages.append(assistant(*parts) if i % 2 else user(*parts))
        ids, mask = student.render(messages, special)
        assert (ids, mask) == reference.render(messages, special)
        cut = chance.randrange(len(ids) + 2)
        assert student.render(messages, special, max_tokens=cut) == (ids[:cut], mask[:cut])
        written = []
        for message in messages[1::2]:
            for one in message["parts"]:
                marks = [special["python_start"]], [special["python_end"]]
                before, after = marks if one["type"] == "python" else ([], [])
                written += before + one["ids"] + after if one["type"] != "python_output" else []
            written += [special["assistant_end"]]
        assert [token for token, learned in zip(ids, mask, strict=True) if learned] == written


def test_render_leaves_its_arguments_alone(student):
    """the conversation and the special ids are the caller's, and the result is a new pair of lists"""
    student.render(TOOL_USE, SPECIAL)
    student.render([user(), assistant(text())], SPECIAL, 3)
    assert student.render([user(text(9))], SPECIAL, max_tokens=3) == ([50, 51, 9], [0, 0, 0])


BAD_MESSAGES = [
    ("message", []),  # none at all
    ("message|role", [assistant(text(1))]),  # the assistant begins
    ("message|role", [user(text(1)), user(text(2))]),
    ("message|role", [user(text(1)), assistant(text(2)), assistant(text(3))]),
    ("message|role", [{"role": "system", "parts": [text(1)]}, assistant(text(2))]),
    ("message|role", [user(text(1)), {"role": "tool", "parts": [text(2)]}]),
    ("message|role", [user(text(1)), assistant(), {"role": "system", "parts": []}]),
    ("message|role", [{"parts": [text(1)]}]),
    ("message|role", [user(text(1)), {"parts": [text(1)]}]),
    ("message|parts", [{"role": "user"}]),
    ("message|parts", [user(text(1)), {"role": "assistant"}]),
]
BAD_PARTS = [
    ("message|part|type", [user({"type": "image", "ids": [1]})]),
    ("message|part|type", [user(text(1)), assistant(text(2), {"type": "image", "ids": [1]})]),
    ("message|part|type", [user({"ids": [1]})]),
    ("message|part|type", [user(text(1)), assistant(text(2), {"ids": [1]})]),
    ("message|part|type", [user(python(1))]),
    ("message|part|type", [user(text(1), output(1)), assistant(text(2))]),
    ("message|part|type", [user(text(1)), assistant(), user(python())]),
    ("message|part|ids", [user({"type": "text"})]),
    ("message|part|ids", [user(text(1)), assistant(text(2), {"type": "python"})]),
    ("message|part|ids", [user(text(1)), assistant({"type": "python_output"}, text(2))]),
]


def refuses(student, name, *arguments):
    """The call ends in a ValueError whose message names what is bad."""
    with pytest.raises(ValueError, match=f"(?i){name}"):
        student.render(*arguments)


def test_messages_take_turns(student):
    """messages that do not alternate from the user on, or are none, or lack a key, are refused with a ValueError"""
    for name, messages in BAD_MESSAGES:
        refuses(student, name, messages, SPECIAL)


def test_parts_are_of_three_types(student):
    """a part of an unknown type, one that lacks a key, and one that only the assistant may have, are refused"""
    for name, messages in BAD_PARTS:
        refuses(student, name, messages, SPECIAL)


def test_every_special_name_is_needed(student):
    """a name that special lacks is refused with a ValueError, whether this conversation needs it or not"""
    for name in SPECIAL:
        lacking = {key: value for key, value in SPECIAL.items() if key != name}
        for messages in (TOOL_USE, [user(text(1))]):
            refuses(student, f"special|{name}", messages, lacking)


def test_bad_max_tokens(student):
    """a negative max_tokens is refused, and so is one that is no int: neither counts from the end"""
    for n in (-1, -len(TOOL_IDS), -1000):
        refuses(student, "max_tokens", TOOL_USE, SPECIAL, n)
    with pytest.raises(TypeError, match="max_tokens"):
        student.render(TOOL_USE, SPECIAL, 3.0)


# --- masked_cross_entropy ---

B, T, V = 3, 5, 7  # all different, so that no two axes can be mixed up unnoticed
# rows of different weight: 3, 0 and 1 learned positions, so that a mean of row means is another number
MASK = torch.tensor([[0, 1, 1, 0, 1], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]])
MASKS = (MASK, MASK.bool(), MASK.float())  # the same in int64, bool and float32
FLOATS = (torch.float32, torch.float16, torch.bfloat16)
CLOSE = {"rtol": 1e-5, "atol": 2e-6}  # float32 carries logits of size 10 to 1e-6; half precision would err by 1e-3


@pytest.fixture
def drawn(seed):
    """Logits of a shape (B, T, V), and targets."""

    def draw(*shape, other=0, scale=3.0):
        generator = torch.Generator().manual_seed(seed + other)
        logits = torch.randn(shape, generator=generator) * scale
        return logits, torch.randint(shape[-1], shape[:2], generator=generator)

    return draw


def witness(logits, targets, mask):
    """The loss and its gradient by PyTorch's own cross-entropy, in float64, on the learned positions alone."""
    learned = mask.bool()
    x = logits.detach().double().requires_grad_()
    loss = F.cross_entropy(x[learned], targets[learned])
    loss.backward()
    return loss.detach().float(), x.grad.float()


def with_gradient(student, logits, targets, mask):
    """The student's loss and the gradient of its logits."""
    x = logits.detach().clone().requires_grad_()
    loss = student.masked_cross_entropy(x, targets, mask)
    assert loss.requires_grad, "the loss hangs on nothing: backward() from it must reach the logits"
    loss.backward()
    assert x.grad is not None, "no gradient arrived at the logits: the loss is not computed from them"
    return loss.detach(), x.grad


def test_knowing_nothing_costs_log_v(student):
    """equal logits are a guess among V words, which costs ln V, however many positions are learned"""
    for words in (2, 7, 100):
        for mask in (MASK, torch.ones_like(MASK)):
            loss = student.masked_cross_entropy(torch.full((B, T, words), 0.5), torch.ones(B, T).long(), mask)
            assert loss.dtype == torch.float32
            assert loss.shape == ()
            assert_close(loss, torch.tensor(math.log(words)), **CLOSE)


def test_by_hand(student):
    """words of probability 1/2, 1/4 and 1/8, the outer two are learned: they cost ln 2 and ln 8, on average ln 4"""
    row = torch.tensor([1 / 2, 1 / 4, 1 / 8, 1 / 8]).log()
    logits = row + torch.tensor([0.0, 20.0, -5.0])[None, :, None]  # adding a number to a whole row changes nothing
    loss = student.masked_cross_entropy(logits, torch.tensor([[0, 1, 3]]), torch.tensor([[1, 0, 1]]))
    assert_close(loss, torch.tensor(math.log(4)), **CLOSE)


def test_one_mean_over_the_whole_batch(student):
    """one sum, divided once by the number of learned tokens in the batch: neither by B * T nor row by row"""
    logits = torch.zeros(2, 4, 3)
    logits[..., 1] = math.log(2)  # the three words have the probabilities 1/4, 1/2, 1/4
    targets = torch.tensor([[1, 1, 1, 1], [0, 1, 1, 1]])
    mask = torch.tensor([[0, 1, 1, 1], [1, 0, 0, 0]])  # ln 2 three times and ln 4 once: on average 5/4 ln 2
    assert_close(student.masked_cross_entropy(logits, targets, mask), torch.tensor(1.25 * math.log(2)), **CLOSE)


def test_equals_pytorch_on_the_learned_positions(student, reference, drawn):
    """loss and gradient are those of PyTorch's cross-entropy on the learned positions, and zero elsewhere"""
    # all sizes different, all the same, and every one of them 1
    for B, T, V in ((3, 5, 7), (4, 4, 4), (1, 6, 2), (6, 1, 3), (2, 3, 1), (1, 1, 5)):
        logits, targets = drawn(B, T, V, other=B + T + V)
        order = torch.randperm(B * T, generator=torch.Generator().manual_seed(1)).view(B, T)
        for count in (1, (B * T + 1) // 2, B * T):  # one position, half of them, all
            mask = (order < count).long()
            loss, gradient = with_gradient(student, logits, targets, mask)
            expected, expected_gradient = witness(logits, targets, mask)
            assert_close(loss, expected, **CLOSE)
            assert_close(gradient, expected_gradient, **CLOSE)
            assert not gradient[mask == 0].any(), "under mask 0 the gradient must be exactly zero"
            assert_close(loss, reference.masked_cross_entropy(logits, targets, mask), **CLOSE)


def test_gradient_by_finite_differences(student, drawn):
    """turn any one logit a little, and three times the loss changes as the gradient of three times the loss says"""
    logits, targets = drawn(2, 3, 4, other=5, scale=1.0)
    mask = torch.tensor([[1, 0, 1], [0, 1, 0]])
    x = logits.clone().requires_grad_()
    (3 * student.masked_cross_entropy(x, targets, mask)).backward()
    h = 0.02  # a central difference errs by h^2 / 6 at most here, which is 7e-5, and float32 by 2e-5
    for place in product(range(2), range(3), range(4)):
        step = torch.zeros_like(logits)
        step[place] = h
        above = student.masked_cross_entropy(logits + step, targets, mask)
        below = student.masked_cross_entropy(logits - step, targets, mask)
        assert_close(x.grad[place], 3 * (above - below) / (2 * h), rtol=0, atol=3e-4)


def test_a_mask_of_any_dtype(student, drawn):
    """a mask of bools, ints or floats that holds 0 and 1 means the same"""
    logits, targets = drawn(B, T, V, other=1)
    expected, expected_gradient = witness(logits, targets, MASK)
    for dtype in (torch.bool, torch.uint8, torch.int32, torch.int64, *FLOATS):
        loss, gradient = with_gradient(student, logits, targets, MASK.to(dtype))
        assert loss.dtype == torch.float32
        assert_close(loss, expected, **CLOSE)
        assert_close(gradient, expected_gradient, **CLOSE)


def test_a_mask_in_half_precision_still_counts(student):
    """2,053 learned positions are 2,053 in any dtype: summed in float16 they are 2,052, in bfloat16 2,048"""
    for dtype in (torch.float16, torch.bfloat16):
        mask = torch.ones(1, 2060, dtype=dtype)
        mask[0, :7] = 0
        loss = student.masked_cross_entropy(torch.zeros(1, 2060, 2), torch.zeros(1, 2060).long(), mask)
        # 2,053 / 2,052 is wrong by 5e-4; adding 2,053 numbers one after the other in float32 errs by some 2e-5
        assert_close(loss, torch.tensor(math.log(2)), rtol=1e-4, atol=0)


def test_float32_inside(student, drawn):
    """logits in half precision are rounded already; the loss adds no rounding of that kind, and is float32"""
    for dtype in (torch.float16, torch.bfloat16):
        logits, targets = drawn(B, T, V, other=2)
        logits = logits.to(dtype)
        expected, expected_gradient = witness(logits, targets, MASK)
        loss, gradient = with_gradient(student, logits, targets, MASK)
        assert loss.dtype == torch.float32
        assert_close(loss, expected, **CLOSE)
        ulp = torch.finfo(
            dtype
        ).eps  # the gradient has the dtype of the logits, and is rounded to it, perhaps in two terms
        assert_close(gradient.float(), expected_gradient, rtol=0, atol=ulp / 2)


def test_huge_logits(student):
    """logits of 32,768 overflow every exp, and their sum float16; loss and gradient are finite all the same"""
    big = 2.0**15  # exact in all three dtypes
    for dtype in FLOATS:
        logits = torch.tensor([[[big, 0, -big], [-big, big, 0], [100, 0, 0]]]).to(dtype)
        # the targets are 2 * big behind the first, first, and 100 behind the first: that is what they cost
        loss, gradient = with_gradient(student, logits, torch.tensor([[2, 1, 1]]), torch.ones(1, 3))
        assert_close(loss, torch.tensor((2 * big + 0 + 100) / 3), rtol=1e-5, atol=0)
        expected = torch.tensor([[[1, 0, -1], [0, 0, 0], [1, -1, 0]]]) / 3
        assert_close(gradient.float(), expected, rtol=0, atol=torch.finfo(dtype).eps / 2)


def test_words_that_are_ruled_out(student):
    """-inf at words other than the target takes them out of the choice: no NaN, neither in loss nor in gradient"""
    no = -math.inf
    for dtype in FLOATS:
        logits = torch.tensor([[[0, no, 0, no], [no, no, 3, no], [no, 1, 1, 1]]]).to(dtype)
        targets = torch.tensor([[2, 2, 1]])  # one of two, the only one, one of three: ln 2, 0, ln 3
        loss, gradient = with_gradient(student, logits, targets, torch.ones(1, 3, dtype=torch.bool))
        assert_close(loss, torch.tensor(math.log(6) / 3), **CLOSE)
        expected = torch.tensor([[[1 / 2, 0, -1 / 2, 0], [0, 0, 0, 0], [0, -2 / 3, 1 / 3, 1 / 3]]]) / 3
        assert_close(gradient.float(), expected, rtol=0, atol=torch.finfo(dtype).eps / 2)


WILD = [
    [math.nan] * V,
    [math.inf] * V,
    [-math.inf] * V,
    [0.0, 0.0, 0.0, math.nan, 0.0, 0.0, 0.0],
    [math.inf, 0.0, -math.inf, 1.0, math.inf, 3e38, -3e38],
    [-math.inf, -math.inf, -math.inf, 2.0, -math.inf, -math.inf, -math.inf],
]


def test_logits_under_mask_0_may_hold_anything(student, drawn):
    """inf and NaN where nothing is learned leave loss and gradient as they were, and get a gradient of exactly zero"""
    for wild in WILD:
        logits, targets = drawn(B, T, V, other=3)
        expected, expected_gradient = witness(logits, targets, MASK)
        logits[MASK == 0] = torch.tensor(wild)
        for mask in MASKS:
            loss, gradient = with_gradient(student, logits, targets, mask)
            assert_close(loss, expected, **CLOSE)
            assert not gradient[MASK == 0].any(), "under mask 0 the gradient must be exactly zero; NaN times 0 is NaN"
            assert_close(gradient, expected_gradient, **CLOSE)


def test_targets_under_mask_0_may_hold_anything(student, drawn):
    """a target where nothing is learned is never looked at, be it -1, V or absurd"""
    for anything in (-1, -100, V, 10**6, 2**62, -(2**63)):
        logits, targets = drawn(B, T, V, other=4)
        expected, expected_gradient = witness(logits, targets, MASK)
        targets[MASK == 0] = anything
        for mask in MASKS:
            loss, gradient = with_gradient(student, logits, targets, mask)
            assert_close(loss, expected, **CLOSE)
            assert_close(gradient, expected_gradient, **CLOSE)


def test_nothing_to_learn(student, drawn):
    """a batch in which nothing is learned costs exactly 0, not NaN, and its gradient is there and zero everywhere"""
    for dtype in FLOATS:
        logits, targets = drawn(B, T, V, other=7)
        for fill in (1.0, math.nan, math.inf):
            for mask in MASKS:
                loss, gradient = with_gradient(student, (logits * fill).to(dtype), targets - V, mask * 0)
                assert_close(loss, torch.tensor(0.0), rtol=0, atol=0)
                assert_close(gradient, torch.zeros(B, T, V, dtype=dtype), rtol=0, atol=0)


def test_strided_and_expanded_inputs(student, drawn):
    """views with gaps, swapped axes and expanded axes give what their plain copies give, gradients included"""
    base, _ = drawn(T, B, 2 * V, other=10)
    base.requires_grad_()
    logits = base.transpose(0, 1)[..., ::2]  # (B, T, V), every second word
    _, targets = drawn(T, B, V, other=11)
    for mask in (MASK, MASK.t().contiguous().t(), MASK[:1].expand(B, T), torch.ones(1, 1).expand(B, T)):
        for goals in (targets.t(), targets[:, :1].t().expand(B, T)):
            base.grad = None
            loss = student.masked_cross_entropy(logits, goals, mask)
            loss.backward()
            expected, expected_gradient = witness(logits, goals, mask)
            assert_close(loss.detach(), expected, **CLOSE)
            assert_close(base.grad.transpose(0, 1)[..., ::2], expected_gradient, **CLOSE)
    row = torch.arange(V).float().expand(B, T, V)  # one row of logits for all positions
    assert_close(student.masked_cross_entropy(row, targets.t(), MASK), witness(row, targets.t(), MASK)[0], **CLOSE)


def test_nothing_global_matters(student, drawn):
    """the default dtype, the default device and autocast change nothing, also when there is nothing to learn"""
    logits, targets = drawn(B, T, V, other=12)
    for x in (logits, logits.bfloat16()):
        for mask in (*MASKS, torch.ones(B, T)):
            with student.odd_globals():
                loss = student.masked_cross_entropy(x, targets, mask)
                nothing = student.masked_cross_entropy(x, targets, mask * 0)
            assert_close(loss, witness(x, targets, mask)[0], **CLOSE)
            assert_close(nothing, torch.tensor(0.0), rtol=0, atol=0)


def test_the_loss_leaves_its_arguments_alone(student, drawn):
    """logits, targets and mask are the caller's: whatever you put where nothing is learned, you put it into a copy"""
    logits, targets = drawn(B, T, V, other=13)
    expected, _ = witness(logits, targets, MASK)
    logits[MASK == 0] = math.nan
    targets[MASK == 0] = -1
    for mask in MASKS:
        assert_close(student.masked_cross_entropy(logits, targets, mask), expected, **CLOSE)


def test_targets_out_of_range(student, drawn):
    """0 and V-1 are words; a learned target outside of them is refused, also -100, which some code takes for a mask"""
    logits, right = drawn(B, T, V)
    for word in (0, V - 1):
        targets = torch.full((B, T), word)
        assert_close(student.masked_cross_entropy(logits, targets, MASK), witness(logits, targets, MASK)[0], **CLOSE)
    for bad in (-1, -100, V, V + 1, 2**32):  # 2^32 is 0 in 32 bits
        for place in ((0, 1), (2, 0)):  # the first and the last learned position
            targets = right.clone()
            targets[place] = bad
            for mask in (*MASKS, torch.ones(B, T)):
                with pytest.raises(ValueError, match="targets"):
                    student.masked_cross_entropy(logits, targets, mask)


RIGHT = {"logits": (B, T, V), "targets": (B, T), "mask": (B, T)}
WRONG = {
    "logits": [(T, V), (B, T), (B, T, 1, V), (1, B, T, V)],
    "targets": [(1, T), (B, 1), (T,), (B,), (T, B), (B, T, 1), (1, B, T), (B, T, V), (B * T,), (1, 1), ()],
    "mask": [(1, T), (B, 1), (T,), (B,), (T, B), (B, T, 1), (1, B, T), (B, T, V), (B * T,), (1, 1), ()],
}


def test_other_shapes_are_refused(student):
    """logits (B, T, V), targets (B, T), mask (B, T) and no other shapes, also where broadcasting would take them"""
    cases = [(name, {**RIGHT, name: shape}) for name in WRONG for shape in WRONG[name]]
    square = {"logits": (T, T, V), "targets": (T, T), "mask": (T, T)}  # B = T: a row and a column look alike
    cases += [(name, {**square, name: (T,)}) for name in ("targets", "mask")]
    for name, shapes in cases:
        for fill in (1, 0):  # whether or not there is something to learn
            logits, targets = torch.zeros(shapes["logits"]), torch.zeros(shapes["targets"], dtype=torch.int64)
            with pytest.raises(ValueError, match=name):
                student.masked_cross_entropy(logits, targets, torch.full(shapes["mask"], fill))


def test_wrong_types(student, drawn):
    """a list is no tensor, and logits are no integers"""
    logits, targets = drawn(B, T, V)
    wrong = [
        ("logits", (logits.tolist(), targets, MASK)),
        ("logits", (logits.long(), targets, MASK)),
        ("targets", (logits, targets.tolist(), MASK)),
        ("mask", (logits, targets, MASK.tolist())),
    ]
    for name, arguments in wrong:
        with pytest.raises((TypeError, ValueError), match=name):
            student.masked_cross_entropy(*arguments)

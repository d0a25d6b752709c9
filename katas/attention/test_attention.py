"""What causal_attention must do, from easy to hard. `student` is the implementation under test."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from katas.close import assert_close

pytestmark = pytest.mark.seconds(10)

FLOAT32 = {"rtol": 1e-5, "atol": 2e-6}  # sums of some hundred float32 terms, in any order, stay ten times below this


@pytest.fixture
def random(seed):
    """Normal numbers of any shape."""
    return lambda *shape, other=0: torch.randn(shape, generator=torch.Generator().manual_seed(seed + other))


@pytest.fixture
def inputs(random):
    """q, k and v."""
    return lambda B, H, Hkv, Tq, Tk, D: (
        random(B, H, Tq, D),
        random(B, Hkv, Tk, D, other=1),
        random(B, Hkv, Tk, D, other=2),
    )


def pytorch(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """PyTorch's own attention in float64, with the triangle written out: True is what a query may see."""
    Tq, Tk = q.shape[2], k.shape[2]
    sees = torch.tensor([[j <= Tk - Tq + i for j in range(Tk)] for i in range(Tq)])
    return F.scaled_dot_product_attention(q.double(), k.double(), v.double(), attn_mask=sees, enable_gqa=True)


def loops(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Brute force: one output row at a time, plain Python numbers."""
    (B, H, Tq, D), (Hkv, Tk) = q.shape, k.shape[1:3]
    q, k, v = q.tolist(), k.tolist(), v.tolist()
    y = torch.zeros(B, H, Tq, D)
    for b, h, i in itertools.product(range(B), range(H), range(Tq)):
        keys, values = k[b][h // (H // Hkv)], v[b][h // (H // Hkv)]
        seen = range(Tk - Tq + i + 1)
        parts = [math.exp(sum(x * z for x, z in zip(q[b][h][i], keys[j], strict=True)) / math.sqrt(D)) for j in seen]
        y[b, h, i] = torch.tensor([sum(parts[j] * values[j][d] for j in seen) / sum(parts) for d in range(D)])
    return y


# What it computes


def test_by_hand(student):
    """the lesson's example: the weights are 1, then 1/4 and 3/4, then 6/10, 3/10 and 1/10"""
    a, b, c = math.log(6), math.log(3), math.log(5)
    q = torch.tensor([[2.0, 0, 0, 0], [0, 2, 0, 0], [2, 0, 0, 0]])[None, None]
    k = torch.tensor([[a, 0, 0, 0], [b, b, 0, 0], [0, c, 0, 0]])[None, None]
    v = torch.tensor([[10.0, 0, 0, 0], [0, 20, 0, 0], [0, 0, 30, 0]])[None, None]
    expected = torch.tensor([[10, 0, 0, 0], [2.5, 15, 0, 0], [6, 6, 3, 0]])[None, None]
    assert_close(student.causal_attention(q, k, v), expected)


def test_without_preference(student, random):
    """where all keys fit a query equally well, it gets the plain mean of the values that it may see"""
    q, k = torch.zeros(1, 1, 4, 2), random(1, 1, 4, 2)
    v = torch.tensor([[8.0, 1], [4, 1], [0, 1], [12, 1]])[None, None]
    expected = torch.tensor([[8.0, 1], [6, 1], [4, 1], [6, 1]])[None, None]  # 8, 12 / 2, 12 / 3, 24 / 4
    # a few roundings of 6e-8 each, no more: the weights sum to 1 without an epsilon
    assert_close(student.causal_attention(q, k, v), expected, rtol=5e-7, atol=0)


@pytest.mark.parametrize("D", [1, 2, 4, 16, 128])
def test_scale(student, D):
    """logits are divided by the square root of D, the size of one head"""
    q = torch.ones(2, 4, 2, D)
    k = torch.zeros(2, 2, 2, D)
    k[:, :, 1] = math.log(3) / math.sqrt(D)  # q.k = D ln 3 / sqrt(D), so the logit is ln 3 and the weights 1/4, 3/4
    v = torch.tensor([0.0, 8.0])[:, None].expand(2, 2, 2, D)
    expected = torch.tensor([0.0, 6.0])[:, None].expand(2, 4, 2, D)
    assert_close(student.causal_attention(q, k, v), expected, rtol=1e-5, atol=1e-5)


def test_the_future_is_invisible(student, inputs):
    """other keys and values from position 4 on change what follows, and nothing before"""
    q, k, v = inputs(2, 4, 2, 6, 6, 8)
    before = student.causal_attention(q, k, v)
    k[:, :, 4:], v[:, :, 4:] = 0.0, -50.0
    after = student.causal_attention(q, k, v)
    assert_close(after[:, :, :4], before[:, :, :4])
    moved = (after[:, :, 4:] - before[:, :, 4:]).abs().amin().item()
    assert moved > 0.01, "positions 4 and 5 must see their own new values, but their results stayed the same"


def test_groups(student):
    """query head h reads the keys and the values of head h // (H // Hkv)"""
    H, Hkv, T = 6, 3, 3
    q = torch.ones(1, H, T, 4)
    k = torch.zeros(1, Hkv, T, 4)
    for head in range(Hkv):
        k[0, head, head] = 40.0  # key head 0 points at position 0, head 1 at position 1: logits 80 against 0
    v = torch.tensor([[1.0, 2, 3], [10, 20, 30], [100, 200, 300]])[None, :, :, None].expand(1, Hkv, T, 4)
    expected = torch.tensor([1.0, 1, 20, 20, 300, 300])[None, :, None].expand(1, H, 4)
    assert_close(student.causal_attention(q, k, v)[:, :, -1], expected)


SIZES = [  # B, H, Hkv, Tq, Tk, D
    (1, 1, 1, 2, 2, 2),
    (2, 3, 3, 5, 5, 4),  # a key/value head for every query head
    (2, 3, 1, 7, 7, 5),  # one for all
    (2, 6, 3, 4, 7, 5),  # every size different
    (3, 4, 2, 1, 9, 8),  # one new token
    (5, 5, 5, 5, 5, 5),  # every size the same
    (4, 4, 2, 4, 4, 4),
    (3, 6, 2, 2, 3, 6),
    (2, 2, 1, 70, 200, 3),  # longer
    (1, 2, 2, 129, 129, 2),
]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_equals_pytorch(student, inputs, size):
    """it is what PyTorch's own attention gives, in float64 and with the triangle as a mask"""
    q, k, v = inputs(*size)
    assert_close(student.causal_attention(q, k, v), pytorch(q, k, v).float(), **FLOAT32)


def test_equals_brute_force(student, inputs):
    """for every small size it is what loops over the positions give"""
    for B, Hkv, G, Tk, D in itertools.product((1, 2), (1, 2), (1, 2), (1, 2, 3), (1, 3)):
        for Tq in range(1, Tk + 1):
            q, k, v = inputs(B, Hkv * G, Hkv, Tq, Tk, D)
            assert_close(student.causal_attention(q, k, v), loops(q, k, v), **FLOAT32)


def test_equals_the_worked_answer(student, reference, inputs):
    """in the sizes of the d4 model it agrees with the worked answer"""
    q, k, v = inputs(1, 2, 2, 256, 256, 128)
    assert_close(student.causal_attention(q, k, v), reference.causal_attention(q, k, v), **FLOAT32)


# The queries are the last positions


@pytest.mark.parametrize("Tq", [1, 3, 7])
def test_the_last_queries(student, inputs, Tq):
    """the last Tq queries alone get the last Tq rows of the full result"""
    q, k, v = inputs(2, 4, 2, 8, 8, 16)
    expected = pytorch(q, k, v).float()[:, :, -Tq:]
    assert_close(student.causal_attention(q[:, :, -Tq:], k, v), expected, **FLOAT32)


def test_piece_by_piece(student, inputs):
    """read in pieces of 4, 1 and 3 positions, a text gives what it gives as a whole"""
    q, k, v = inputs(2, 4, 2, 8, 8, 6)
    whole = pytorch(q, k, v).float()
    for start, end in ((0, 4), (4, 5), (5, 8)):
        piece = student.causal_attention(q[:, :, start:end], k[:, :, :end], v[:, :, :end])
        assert_close(piece, whole[:, :, start:end], **FLOAT32)


# Precision and range


@pytest.mark.parametrize(("dtype", "bits"), [(torch.bfloat16, 8), (torch.float16, 11)], ids=["bfloat16", "float16"])
@pytest.mark.parametrize("Tq", [1, 40])
def test_rounded_once(student, inputs, dtype, bits, Tq):
    """in float16 and bfloat16 only the result is rounded, neither the weights nor the sums"""
    q, k, v = (x.to(dtype) for x in inputs(2, 4, 2, Tq, 40, 32))
    y = student.causal_attention(q, k, v)
    assert y.dtype == dtype
    # half a unit in the last place, and what float32 may add before the rounding
    assert_close(y.double(), pytorch(q, k, v), rtol=1.001 * 2**-bits, atol=2e-6)


@pytest.mark.parametrize("size", [2.0**4, 2.0**62], ids=["q.k up to 1024", "q.k up to 8.5e37"])
@pytest.mark.parametrize("Tq", [1, 5])
def test_large_logits(student, inputs, size, Tq):
    """however large q.k is, the result is right and the gradients are finite: exp(89) overflows, a softmax need not"""
    q, k, v = inputs(2, 4, 2, Tq, 5, 4)
    q, k = q.sign() * size, k.sign() * size  # powers of two: all sums are exact, so keys that tie do so in any order
    expected = pytorch(q, k, v).float()
    for x in (q, k, v):
        x.requires_grad_()
    y = student.causal_attention(q, k, v)
    assert_close(y, expected, **FLOAT32)
    y.sum().backward()
    assert all(x.grad.isfinite().all() for x in (q, k, v)), "a gradient is not finite, but the true one is"


def test_the_future_cannot_outweigh_the_mask(student):
    """a future logit of 2.6e38 stays hidden behind a visible one of -2.6e38"""
    q = torch.full((1, 1, 2, 1), 2.0**63, requires_grad=True)
    k = torch.tensor([-1.5, 1.5]).mul(2.0**64)[None, None, :, None].requires_grad_()  # q.k = -2.6e38 and 2.6e38
    v = torch.tensor([3.0, 5.0])[None, None, :, None].requires_grad_()
    y = student.causal_attention(q, k, v)
    assert_close(y, v.detach())  # position 0 sees only itself; position 1 prefers itself
    y.sum().backward()
    assert_close(v.grad, torch.ones(1, 1, 2, 1))
    assert_close(q.grad, torch.zeros(1, 1, 2, 1))  # no small change of q or k changes anything
    assert_close(k.grad, torch.zeros(1, 1, 2, 1))


@pytest.mark.parametrize(
    ("dtype", "size", "step", "value"),
    # q.k = 64 * 64 * 64 = 262,144 in float16, which ends at 65,504; 1/16 is the distance of its numbers beyond 64.
    # In bfloat16 q.k / sqrt(D) = 8 * 64 * 64 / 8 = 4,096, where its numbers are 32 apart; beyond 64 they are 1/2 apart.
    # It reaches as far as float32, though, so values beyond float16 must pass.
    [(torch.float16, 64.0, 1 / 16, 1.0), (torch.bfloat16, 8.0, 1 / 2, 2.0**100)],
    ids=["float16", "bfloat16"],
)
def test_logits_in_float32(student, dtype, size, step, value):
    """large logits that differ by 1/2 are told apart, also in float16 and bfloat16"""
    D = 64
    q = torch.full((1, 2, 3, D), size, dtype=dtype)
    k = torch.full((1, 1, 3, D), 64.0, dtype=dtype)
    k[0, 0, 1, 0] += step  # a logit greater by size * step / sqrt(D) = 1/2
    k[0, 0, 2, :2] += step  # by 1
    v = torch.tensor([0.0, 0.0, value], dtype=dtype)[:, None].expand(1, 1, 3, D)
    last = math.exp(1) / (1 + math.exp(0.5) + math.exp(1))  # 0.5065, the weight of the last key
    expected = torch.tensor([0.0, 0.0, last * value], dtype=dtype)[:, None].expand(1, 2, 3, D)
    assert_close(student.causal_attention(q, k, v), expected, rtol=2**-7, atol=0)


# Gradients


def _track(q: Tensor, k: Tensor, v: Tensor) -> tuple:
    """q, k, v as leaves of a graph, and float64 copies of them as leaves of another."""
    theirs = [x.double().requires_grad_() for x in (q, k, v)]
    return *(x.requires_grad_() for x in (q, k, v)), theirs


@pytest.mark.parametrize("size", [(2, 4, 2, 5, 5, 4), (2, 6, 3, 4, 7, 5), (3, 4, 2, 1, 6, 8)], ids=str)
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    # float32: as above. bfloat16 rounds each gradient to 8 bits, and before that perhaps those of the group's heads
    [(torch.float32, {"rtol": 1e-5, "atol": 5e-6}), (torch.bfloat16, {"rtol": 2e-2, "atol": 2e-2})],
    ids=["float32", "bfloat16"],
)
def test_gradients(student, random, inputs, size, dtype, tolerance):
    """the gradients of q, k and v are those of PyTorch's own attention; a shared head collects from its group"""
    q, k, v, theirs = _track(*(x.to(dtype) for x in inputs(*size)))
    g = random(*q.shape, other=3).to(dtype)
    (student.causal_attention(q, k, v) * g).sum().backward()
    (pytorch(*theirs) * g.double()).sum().backward()
    for x, other in zip((q, k, v), theirs, strict=True):
        assert x.grad is not None, "no gradient arrives"
        assert_close(x.grad, other.grad.to(dtype), **tolerance)


def test_gradient_by_finite_differences(student, inputs):
    """nudge one number of k: the result moves as autograd says"""
    q, k, v = inputs(1, 2, 1, 3, 3, 4)
    leaf = k.clone().requires_grad_()
    student.causal_attention(q, leaf, v).square().sum().backward()
    h = 1e-2  # the error of a central difference is about h^2, and float32 adds 1e-6 / h
    for t, d in ((0, 1), (1, 0), (2, 3)):
        nudge = torch.zeros_like(k)
        nudge[0, 0, t, d] = h
        up, down = (student.causal_attention(q, k + x, v).square().sum() for x in (nudge, -nudge))
        assert_close(leaf.grad[0, 0, t, d], (up - down) / (2 * h), rtol=1e-2, atol=1e-3)


def test_zeros(student):
    """with zero queries and keys everything visible weighs the same, and the gradients are finite"""
    v = torch.arange(4.0)[None, None, :, None].repeat(1, 1, 1, 8)
    q, k, v, _ = _track(torch.zeros(1, 2, 4, 8), torch.zeros(1, 1, 4, 8), v)
    y = student.causal_attention(q, k, v)
    assert_close(y[0, 1, :, 0], torch.tensor([0, 0.5, 1, 1.5]))
    y.sum().backward()
    for x in (q, k, v):
        assert x.grad.isfinite().all(), "a gradient is not finite"
    # two heads; value 0 has weight 1 at position 0, 1/2 at 1, 1/3 at 2, 1/4 at 3, value 3 only the last
    shares = torch.tensor([25 / 12, 13 / 12, 7 / 12, 1 / 4])
    assert_close(v.grad[0, 0, :, 0], 2 * shares)


# Manners


def test_strided_inputs(student, random):
    """transposed, cut out and expanded tensors are as good as any"""
    q = random(2, 5, 4, 8).transpose(1, 2)  # as the model has it: (B, T, H, D) seen as (B, H, T, D)
    k, v = random(2, 2, 9, 8, other=1)[:, :, :6], random(2, 6, 2, 16, other=2)[..., ::2].transpose(1, 2)
    assert_close(student.causal_attention(q, k, v), pytorch(q, k, v).float(), **FLOAT32)
    k, v, q = k[:1].expand(2, -1, -1, -1), v[:, :1].expand(-1, 2, -1, -1), q[..., :1].expand(-1, -1, -1, 8)
    assert_close(student.causal_attention(q, k, v), pytorch(q, k, v).float(), **FLOAT32)


@pytest.mark.parametrize("size", [(1, 2, 1, 3, 4, 4), (1, 1, 1, 1, 1, 3)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_leaves_its_arguments_alone(student, inputs, size, dtype):
    """q, k and v stay as they were, and the result is new memory, even where it equals v"""
    q, k, v = (x.to(dtype) for x in inputs(*size))
    y = student.causal_attention(q, k, v)
    assert_close(y, pytorch(q, k, v).to(dtype), rtol=2**-7, atol=2e-6)


def test_globals_do_not_matter(student, inputs):
    """the default dtype, the default device and autocast change nothing"""
    q, k, v = inputs(2, 4, 2, 3, 5, 8)
    with student.odd_globals():
        y = student.causal_attention(q, k, v)
        last = student.causal_attention(q[:, :, -1:], k, v)
    assert_close(y, pytorch(q, k, v).float(), **FLOAT32)
    assert_close(last, y[:, :, -1:], **FLOAT32)


# Bad input

Q, K = torch.ones(2, 4, 3, 8), torch.ones(2, 2, 5, 8)  # B 2, H 4, Hkv 2, Tq 3, Tk 5, D 8: fine together
NAMED = r"(?<![A-Za-z])(q|k|v|Tq|Tk|H|Hkv)(?![A-Za-z])"  # the argument, or its size by the contract's letter


@pytest.mark.parametrize(
    ("q", "k", "v"),
    [
        pytest.param(Q[0], K, K, id="q without a batch"),
        pytest.param(Q, K[0], K[0], id="k and v without a batch"),
        pytest.param(Q, K, K[None], id="v with five axes"),
        pytest.param(Q[0], K[0], K[0], id="three axes each"),
        pytest.param(Q, torch.ones(2, 3, 5, 8), torch.ones(2, 3, 5, 8), id="4 query heads for 3"),
        pytest.param(torch.ones(2, 1, 3, 8), K, K, id="1 query head for 2"),
        pytest.param(Q, K[:, :, :2], K[:, :, :2], id="3 queries, 2 keys"),
        pytest.param(Q, K[:1], K[:1], id="k and v of batch 1"),
        pytest.param(Q[:1], K, K, id="q of batch 1"),
        pytest.param(Q, K, K[:1], id="v of batch 1"),
        pytest.param(Q, K, K[:, :1], id="v with one head"),
        pytest.param(Q, K[:, :1], K, id="k with one head"),
        pytest.param(Q, K, K[:, :, :4], id="v a position short"),
        pytest.param(Q, K[:, :, :1], K, id="k of one position"),
        pytest.param(Q, K[..., :4], K, id="k of another D"),
        pytest.param(Q, K[..., :1], K, id="k of D 1"),
        pytest.param(Q, K, K[..., :4], id="v of another D"),
    ],
)
def test_bad_shapes(student, q, k, v):
    """any other shape is refused with a ValueError that names the argument, also where broadcasting would take it"""
    with pytest.raises(ValueError, match=NAMED):
        student.causal_attention(q, k, v)


@pytest.mark.parametrize(
    ("q", "k", "v", "named"),
    [
        pytest.param(Q.bfloat16(), K, K, NAMED, id="q bfloat16"),
        pytest.param(Q, K.bfloat16(), K, NAMED, id="k bfloat16"),
        pytest.param(Q, K, K.half(), NAMED, id="v float16"),
        pytest.param(Q.tolist(), K, K, r"\bq\b", id="q a list"),
        pytest.param(Q, K.tolist(), K, r"\bk\b", id="k a list"),
        pytest.param(Q, K, K.tolist(), r"\bv\b", id="v a list"),
        pytest.param(Q.long(), K.long(), K.long(), NAMED, id="integers"),
        pytest.param(Q, K, K.long(), r"\bv\b", id="v integers"),
    ],
)
def test_bad_types(student, q, k, v, named):
    """three tensors of one float dtype are due, and anything else is refused by name"""
    with pytest.raises((TypeError, ValueError), match=named):
        student.causal_attention(q, k, v)

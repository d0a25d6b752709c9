"""What orthogonalize and muon_step must do, from easy to hard. `student` is the implementation under test."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from katas.close import assert_close

pytestmark = pytest.mark.seconds(10)

LOW = {torch.bfloat16: 0.15, torch.float16: 0.03}  # the contract's tolerances, for matrices of 2:1 or longer


@pytest.fixture
def random(seed):
    """Normal numbers of any shape, but no n x n matrices whose singular values are farther apart than 1 to 4 n.

    Beside the largest one, smaller singular values grow several hundredfold, and the rounding of honest work with them.
    """

    def draw(*shape: int, other: int = 0) -> Tensor:
        generator = torch.Generator().manual_seed(seed + other)
        while True:
            x = torch.randn(shape, generator=generator)
            s = torch.linalg.svdvals(x.double())
            if (s[..., -1] * 4 * min(shape[-2:]) > s[..., 0]).all():
                return x

    return draw


def polynomial(s: float | Tensor, steps: int) -> float | Tensor:
    for _ in range(steps):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return s


def by_singular_values(g: Tensor, steps: int = 5) -> Tensor:
    """The witness, in float64: the singular vectors stay, each singular value goes through the polynomial alone."""
    u, s, vh = torch.linalg.svd(g.double(), full_matrices=False)
    s = s / (s.square().sum(-1, keepdim=True).sqrt() + 1e-7)
    return u * polynomial(s, steps).unsqueeze(-2) @ vh


def size(x: Tensor) -> Tensor:
    """The Frobenius norm of every matrix of a stack."""
    return torch.linalg.matrix_norm(x.double())


def assert_near(actual: Tensor, expected: Tensor, limit: Tensor | None = None) -> None:
    """Every matrix has the shape expected and lies within `limit`, by default 1e-4 of the expected one's size.

    Honest float32 work needs 3e-6, iterating on the small square alone 3e-5; bfloat16 inside would be off by 0.02.
    """
    limit = 1e-4 * size(expected) if limit is None else limit
    assert actual.shape == expected.shape
    far = ~(size(actual.double() - expected) <= limit)  # NaN is far
    if far.any():  # then one entry at least is farther off than this, and assert_close says which
        m, n = expected.shape[-2:]
        assert_close(actual.double(), expected, rtol=0, atol=limit[far].min().item() / math.sqrt(m * n))
        raise AssertionError("too far from the matrix expected")


# --- orthogonalize ---

G = torch.tensor([[2.0, 1.0], [2.0, 4.0]])  # the lesson's matrix: its Frobenius norm is 5


def test_no_steps(student):
    """with no steps, a matrix is only divided by its Frobenius norm: the root of 4 + 1 + 4 + 16 is 5"""
    assert_close(student.orthogonalize(G, 0), torch.tensor([[0.4, 0.2], [0.4, 0.8]]))


def test_one_step_by_hand(student):
    """one step, worked by hand in the lesson"""
    expected = torch.tensor([[0.76034624, -0.14657888], [0.10190624, 0.73056448]])
    assert_close(student.orthogonalize(G, 1), expected, rtol=0, atol=2e-6)


def test_every_singular_value_alone(student):
    """five steps by default: 3 and 4, at right angles, become p(0.6) and p(0.8), p being the polynomial five times"""
    # entries at right angles are singular values that the eye can see
    g = torch.tensor([[0.0, -3.0, 0.0], [4.0, 0.0, 0.0]])
    expected = torch.tensor([[0.0, -polynomial(0.6, 5), 0.0], [polynomial(0.8, 5), 0.0, 0.0]])
    assert_close(student.orthogonalize(g), expected, rtol=1e-5, atol=1e-6)
    assert_close(student.orthogonalize(g.mT), expected.mT, rtol=1e-5, atol=1e-6)


def test_singular_values_come_near_one(student, random):
    """singular values from 1 to 100 all come to lie between 0.68 and 1.21, and their directions stay"""
    u, _, vh = torch.linalg.svd(random(6, 9), full_matrices=False)
    g = u * torch.logspace(0, 2, 6) @ vh
    new_u, s, new_vh = torch.linalg.svd(student.orthogonalize(g).double(), full_matrices=False)
    message = f"yours lie between {s.min():.3f} and {s.max():.3f}"
    assert s.min() > 0.68, message  # 0.6818 to 1.2024 is what five steps make of all from 0.002 to 1
    assert s.max() < 1.21, message
    assert_close(new_u @ new_vh, (u @ vh).double(), rtol=0, atol=1e-4)  # the nearest orthogonal matrix is the old one


def test_wide_square_and_tall(student, random):
    """wide, square, tall, a single row, a single column: any number of steps gives what the singular values say"""
    for shape in ((4, 12), (6, 6), (12, 4), (10, 9), (1, 7), (7, 1), (1, 1)):
        g = 30 * random(*shape, other=1)
        for steps in (5, 0, 1, 2, 8):
            assert_near(student.orthogonalize(g, steps), by_singular_values(g, steps))


def test_stacks(student, random):
    """in a stack every matrix stands alone: one that is a million times larger changes nothing for the others"""
    for shape in ((3, 5, 8), (3, 8, 5), (4, 4, 4), (5, 1, 6), (2, 3, 9, 7)):
        scale = torch.logspace(-3, 3, shape[0]).view(-1, *[1] * (len(shape) - 1))
        g = scale * random(*shape, other=5)
        assert_near(student.orthogonalize(g), by_singular_values(g))


def test_zeros(student, random):
    """a matrix of zeros gives zeros, not NaN, and leaves its neighbors in the stack alone"""
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float16, LOW[torch.float16])):
        g = random(3, 16, 4).to(dtype)
        g[1] = 0
        y = student.orthogonalize(g)
        assert_close(y[1], torch.zeros(16, 4, dtype=dtype), rtol=0, atol=0)
        expected = by_singular_values(g[::2])
        assert_near(y[::2], expected, tolerance * size(expected))


def test_the_constant_is_added(student):
    """1e-7 is added to the norm: a matrix whose norm is 5e-8 starts at a third of the size of others, 1e-6 at 10/11"""
    g = torch.stack([1e-8 * G, 2e-7 * G])
    assert_close(student.orthogonalize(g, 0), torch.stack([G / 15, G / 5.5]), rtol=1e-4, atol=0)
    assert_near(student.orthogonalize(g), by_singular_values(g))


@pytest.mark.parametrize("dtype", LOW, ids=lambda dtype: str(dtype).removeprefix("torch."))
def test_low_precision(student, random, dtype):
    """in bfloat16 and float16 the dtype is kept, and no more is lost than its own rounding"""
    # 0.15 of the size in bfloat16, 0.03 in float16: honest work in their own 8 and 11 bits needs 0.06 and 0.012 here.
    # Four steps for five would be off by 0.28. float16 squeezed through bfloat16 by 0.04 on the last matrix, where
    # small singular values grow 300-fold, and the rounding with them; that is too much for bfloat16 to be tried there.
    matrices = [random(32, 128), random(3, 64, 16)]
    if dtype == torch.float16:
        u, _, vh = torch.linalg.svd(random(32, 128, other=1), full_matrices=False)
        matrices.append(8 * u * torch.logspace(0, -2.2, 32) @ vh)  # singular values from 8 down to 0.05
    for g in matrices:
        g = g.to(dtype)
        y, expected = student.orthogonalize(g), by_singular_values(g)
        assert y.dtype == dtype
        assert_near(y, expected, LOW[dtype] * size(expected))


def test_strided(student, random):
    """transposed, strided and expanded arguments give what their contiguous copies give"""
    for g in (
        random(3, 8, 5).mT,
        random(4, 6, 8)[::2, :, ::2],
        random(1, 4, 6).expand(3, -1, -1),
        random(3, 2, 4, 7).transpose(0, 1),
    ):
        assert_near(student.orthogonalize(g), by_singular_values(g))


# --- muon_step ---


def step_by_definition(weight, grad, buffer, lr, momentum, steps=5) -> tuple[Tensor, Tensor, Tensor]:
    """(new weight, new buffer, the change of the weight), in float64 and by singular values."""
    weight, grad, buffer = weight.double(), grad.double(), buffer.double()
    buffer = momentum * buffer + (1 - momentum) * grad
    look_ahead = (1 - momentum) * grad + momentum * buffer
    change = -lr * math.sqrt(max(1, weight.shape[-2] / weight.shape[-1])) * by_singular_values(look_ahead, steps)
    return weight + change, buffer, change


def test_step_by_hand(student):
    """half of the gradient and half of the buffer, twice: the look-ahead is the lesson's matrix"""
    # buffer' = b/2 + g/2, look-ahead = g/2 + buffer'/2 = 3g/4 + b/4 = [[2, 1], [2, 4]], divided by its norm of 5, times
    # lr = 1/2. No steps, so that all of it can be seen.
    assert_close(student.orthogonalize(G, 0), G / 5)  # the part of it that is not new
    grad = torch.tensor([[0.0, 4.0], [4.0, 4.0]])
    buffer = torch.tensor([[8.0, -8.0], [-4.0, 4.0]])
    result = student.muon_step(torch.ones(2, 2), grad, buffer, lr=0.5, momentum=0.5, steps=0)
    assert isinstance(result, tuple), f"a tuple (new weight, new buffer) is due, not a {type(result).__name__}"
    weight, buffer = result
    assert_close(buffer, torch.tensor([[4.0, -2.0], [0.0, 4.0]]))
    assert_close(weight, torch.tensor([[0.8, 0.9], [0.8, 0.6]]))


def test_tall_matrices_take_longer_steps(student, random):
    """the step is sqrt(m / n) times as long where m exceeds n, and never shorter: 2 for 8x2, 1.5 for 9x4, 1 for 2x8"""
    for shape, factor in (((2, 8), 1.0), ((5, 5), 1.0), ((8, 2), 2.0), ((7, 9, 4), 1.5), ((9, 7, 8), 1.0)):
        grad = random(*shape)
        weight, _ = student.muon_step(torch.zeros(shape), grad, torch.zeros(shape), lr=0.1, steps=0)
        assert_near(weight, -0.1 * factor * (grad / size(grad)[..., None, None]).double())


def test_three_steps(student, random):
    """three steps in a row, each with the buffer that the last one returned"""
    for shape in ((4, 12), (6, 6), (12, 4), (3, 11, 8), (4, 4, 4), (2, 2, 3, 5)):
        weight, buffer = random(*shape, other=1), 0.3 * random(*shape, other=2)
        for other in range(3, 6):
            grad = random(*shape, other=other)
            expected = step_by_definition(weight, grad, buffer, 0.3, 0.8, 3)
            weight, buffer = student.muon_step(weight, grad, buffer, lr=0.3, momentum=0.8, steps=3)
            assert_close(buffer, expected[1].float(), rtol=1e-5, atol=1e-6)
            assert_near(weight, expected[0], 1e-4 * size(expected[2]) + 1e-6 * size(weight))  # 1e-6: a float32 sum


def test_defaults(student, random):
    """unless told otherwise, momentum is 0.95 and there are five steps"""
    weight, grad, buffer = random(4, 6), random(4, 6, other=1), 0.1 * random(4, 6, other=2)
    expected = step_by_definition(weight, grad, buffer, 2.0, 0.95)
    weight, buffer = student.muon_step(weight, grad, buffer, lr=2.0)
    assert_close(buffer, expected[1].float(), rtol=1e-5, atol=1e-7)
    assert_near(weight, expected[0])


def test_the_ends_of_the_ranges(student, random):
    """a momentum of 0 forgets the buffer at once, and a learning rate of 0 moves the buffer alone"""
    weight, grad, buffer = random(3, 5), random(3, 5, other=1), random(3, 5, other=2)
    expected = step_by_definition(weight, grad, buffer, 1.0, 0.0)
    forgot, new = student.muon_step(weight, grad, buffer, lr=1.0, momentum=0.0)
    assert_close(new, grad)
    assert_near(forgot, expected[0])
    still, new = student.muon_step(weight, grad, buffer, lr=0.0, momentum=0.5)
    assert_close(still, weight, rtol=0, atol=0)
    assert_close(new, (buffer + grad) / 2)


def test_nothing_to_do(student, random):
    """where gradient and buffer are zero the weight stays, whatever else is in the stack"""
    weight, grad, buffer = random(3, 4, 7), random(3, 4, 7, other=1), random(3, 4, 7, other=2)
    grad[1] = buffer[1] = 0
    expected = step_by_definition(weight, grad, buffer, 0.5, 0.9)
    moved, new = student.muon_step(weight, grad, buffer, lr=0.5, momentum=0.9)
    assert_close(moved[1], weight[1], rtol=0, atol=0)
    assert_close(new, expected[1].float(), rtol=1e-5, atol=1e-6)
    assert_near(moved, expected[0])


@pytest.mark.parametrize("shape", [(16, 64), (64, 16)], ids=["wide", "tall"])
def test_agrees_with_pytorch(student, random, shape):
    """four steps of PyTorch's own Muon, which works in bfloat16"""
    # That makes a difference of 0.02 of a step, so 0.06 is allowed; without Nesterov's look-ahead it would be 0.3 and
    # more. This is the functional form of torch.optim.Muon: the class would load a compiler, which takes seconds.
    from torch.optim._muon import muon

    weight, buffer = random(*shape), 0.3 * random(*shape, other=8)
    for other in range(1, 5):
        grad = random(*shape, other=other)
        theirs, their_buffer = weight.clone(), buffer.clone()
        muon(
            [theirs],
            [grad],
            [their_buffer],
            lr=0.1,
            momentum=0.9,
            weight_decay=0.0,
            nesterov=True,
            ns_coefficients=(3.4445, -4.7750, 2.0315),
            ns_steps=5,
            eps=1e-7,
            adjust_lr_fn="original",
            has_complex=False,
        )
        step = size(theirs - weight)
        weight, buffer = student.muon_step(weight, grad, buffer, lr=0.1, momentum=0.9)
        assert_close(buffer, their_buffer, rtol=1e-5, atol=1e-6)
        assert_near(weight, theirs.double(), 0.06 * step)


def test_dtypes(student, random):
    """weight and buffer keep their dtypes, whatever the gradient's, and are right up to the coarsest one's rounding"""
    for dtypes in (
        (torch.float32, torch.bfloat16, torch.float32),  # as when the model computes in bfloat16
        (torch.bfloat16, torch.float32, torch.float16),
        (torch.bfloat16, torch.bfloat16, torch.bfloat16),
        (torch.float16, torch.float16, torch.float16),
    ):
        weight = (0.02 * random(16, 64)).to(dtypes[0])
        grad = random(16, 64, other=1).to(dtypes[1])
        buffer = (0.2 * random(16, 64, other=2)).to(dtypes[2])
        expected = step_by_definition(weight, grad, buffer, 1.0, 0.9)
        new_weight, new_buffer = student.muon_step(weight, grad, buffer, lr=1.0, momentum=0.9)
        assert new_weight.dtype == weight.dtype
        assert new_buffer.dtype == buffer.dtype
        coarsest = max(dtypes, key=lambda dtype: torch.finfo(dtype).eps)
        unit = torch.finfo(coarsest).eps
        assert_close(new_buffer.double(), expected[1], rtol=0, atol=2 * unit)  # entries up to 1: 0.9 * 0.7 + 0.1 * 3.5
        assert_near(new_weight, expected[0], LOW[coarsest] * size(expected[2]) + 2 * unit * size(expected[0]))


def test_small_steps_are_not_lost(student, random):
    """a float32 weight moves by a ten-thousandth of its size, though the gradient is in bfloat16"""
    # bfloat16 has 8 bits: next to 1 it knows 0.996 and 1.008, so a sum formed in it would stay where it was
    weight, grad, buffer = random(16, 64), random(16, 64, other=1).bfloat16(), random(16, 64, other=2)
    expected = step_by_definition(weight, grad, buffer, 1e-3, 0.9)
    new, _ = student.muon_step(weight, grad, buffer, lr=1e-3, momentum=0.9)
    assert_near(new, expected[0], 0.15 * size(expected[2]) + 1e-6 * size(weight))


# --- both ---


def test_strided_step(student, random):
    """a step with transposed, strided and expanded arguments is the step with their copies"""
    weight, grad, buffer = random(3, 8, 5).mT, random(1, 5, 8, other=1).expand(3, -1, -1), random(3, 5, 16)[..., ::2]
    expected = step_by_definition(weight, grad, buffer, 0.5, 0.9)
    new, buffer = student.muon_step(weight, grad, buffer, lr=0.5, momentum=0.9)
    assert_close(buffer, expected[1].float(), rtol=1e-5, atol=1e-6)
    assert_near(new, expected[0])


def test_agrees_with_the_worked_answer(student, reference, random):
    """the shapes of a small model, all at once as stacks, as the optimizer sends them"""
    for shape in ((8, 24, 24), (2, 96, 24), (2, 24, 96)):
        weight, grad, buffer = (random(*shape, other=other) for other in range(3))
        expected = reference.muon_step(weight, grad, buffer, lr=0.02)
        new, buffer = student.muon_step(weight, grad, buffer, lr=0.02)
        assert_close(buffer, expected[1], rtol=1e-5, atol=1e-6)
        assert_near(new, expected[0].double(), 1e-4 * size(expected[0] - weight) + 1e-6 * size(weight))


def test_leaves_its_arguments_alone(student, random):
    """weights, gradients and buffers are the caller's: what you return is new"""
    for shape in ((4, 6), (6, 4)):
        weight, grad, buffer = (random(*shape, other=other) for other in range(3))
        for steps in (0, 5):
            assert_near(student.orthogonalize(grad, steps), by_singular_values(grad, steps))
            expected = step_by_definition(weight, grad, buffer, 0.1, 0.0, steps)
            assert_near(student.muon_step(weight, grad, buffer, lr=0.1, momentum=0.0, steps=steps)[0], expected[0])


def test_globals_change_nothing(student, random):
    """another default dtype, default device or autocast around your code changes nothing"""
    weight, grad, buffer = (random(5, 4, 9, other=other) for other in range(3))
    expected = step_by_definition(weight, grad, buffer, 0.5, 0.9)
    with student.odd_globals():
        y = student.orthogonalize(grad)
        new, buffer = student.muon_step(weight, grad, buffer, lr=0.5, momentum=0.9)
    assert y.dtype == torch.float32
    assert_near(y, by_singular_values(grad))
    assert_near(new, expected[0])
    assert_close(buffer, expected[1].float(), rtol=1e-5, atol=1e-6)


# --- bad input ---


def test_bad_steps(student):
    """a negative number of steps is refused, and so is one that is no int, by name"""
    with pytest.raises(ValueError, match="steps"):
        student.orthogonalize(G, -1)
    with pytest.raises(TypeError, match="steps"):
        student.orthogonalize(G, 5.0)
    with pytest.raises(ValueError, match="steps"):
        student.muon_step(G, G, G, lr=0.1, steps=-1)


def test_bad_matrices(student):
    """orthogonalize takes a floating-point tensor of two or more axes, and says so of its argument g"""
    with pytest.raises(ValueError, match=r"\bg\b"):
        student.orthogonalize(torch.ones(4))
    with pytest.raises((TypeError, ValueError), match=r"\bg\b"):
        student.orthogonalize([[2.0, 1.0], [2.0, 4.0]])
    with pytest.raises((TypeError, ValueError), match=r"\bg\b"):
        student.orthogonalize(torch.ones(2, 3, dtype=torch.int64))


def test_bad_rates(student):
    """a negative lr, and a momentum outside [0, 1), are refused by name"""
    with pytest.raises(ValueError, match=r"\blr\b"):
        student.muon_step(G, G, G, lr=-0.1)
    for momentum in (1.0, -0.1):
        with pytest.raises(ValueError, match=r"\bmomentum\b"):
            student.muon_step(G, G, G, lr=0.1, momentum=momentum)


def test_bad_shapes(student):
    """weight, grad and momentum_buffer have one shape: nothing is broadcast, nothing transposed"""
    w = torch.ones(4, 6)
    names = "weight|grad|momentum_buffer"  # which of them is the odd one is a matter of taste
    for weight, grad, buffer in (
        (w, w[:1], w),
        (w, w, w[:, :1]),
        (w[:1], w, w),
        (w, w.mT, w),
        (w, w[None], w),
        (w[None], w, w),
        (w, w, w[None]),
        (w[0], w[0], w[0]),
    ):
        with pytest.raises(ValueError, match=names):
            student.muon_step(weight, grad, buffer, lr=0.1)


def test_bad_types(student):
    """a list, or a tensor of integers, is no weight, no gradient and no buffer"""
    for wrong in (G.tolist(), G.long()):
        with pytest.raises((TypeError, ValueError), match="weight"):
            student.muon_step(wrong, G, G, lr=0.1)
        with pytest.raises((TypeError, ValueError), match="grad"):
            student.muon_step(G, wrong, G, lr=0.1)
        with pytest.raises((TypeError, ValueError), match="momentum_buffer"):
            student.muon_step(G, G, wrong, lr=0.1)

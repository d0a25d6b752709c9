"""The rope part against complex numbers in float64."""

from __future__ import annotations

import cmath

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from reference.parts.rope import apply_rotary, rotary_tables


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """The witness: a pair is one complex number z, and z e^(-i angle) is z turned clockwise."""
    x1, x2 = x.double().chunk(2, dim=-1)
    z = torch.complex(x1, x2) * torch.complex(cos.double(), -sin.double()).unsqueeze(-2)
    return torch.cat((z.real, z.imag), dim=-1)


@pytest.mark.parametrize(("head_dim", "base"), [(2, 10000.0), (8, 10000), (8, 500.0), (128, 10000.0)])
def test_tables(head_dim, base):
    """entries are the exact values, to the last float32 digit, also at position 9,999"""
    cos, sin = rotary_tables(10_000, head_dim, base)
    assert cos.shape == sin.shape == (10_000, head_dim // 2)
    assert cos.dtype == sin.dtype == torch.float32
    for t in (0, 1, 77, 9_999):
        for i in range(head_dim // 2):
            exact = cmath.exp(1j * t * base ** (-2 * i / head_dim))
            # 6e-8 is half a unit of float32 at 1; the angles themselves are exact to 1e-12
            assert cos[t, i].item() == pytest.approx(exact.real, abs=6e-8)
            assert sin[t, i].item() == pytest.approx(exact.imag, abs=6e-8)


def test_default_base():
    """without a base it is 10,000"""
    assert torch.equal(torch.stack(rotary_tables(50, 16)), torch.stack(rotary_tables(50, 16, 10000.0)))


@pytest.mark.parametrize("shape", [(5, 3, 2), (4, 4, 4), (2, 6, 1, 8), (2, 3, 5, 2, 64)])
def test_equals_complex_multiplication(shape):
    """y1 + i y2 = (x1 + i x2) e^(-i angle), with any axes before (T, H, D)"""
    x = random(*shape)
    cos, sin = rotary_tables(shape[-3], shape[-1])
    assert_close(apply_rotary(x, cos, sin).double(), turned(x, cos, sin), rtol=0, atol=1e-6)


def test_any_rows_of_the_tables():
    """positions are whatever rows one passes: an offset, a repetition, any order"""
    cos, sin = rotary_tables(100, 8)
    rows = torch.tensor([40, 41, 41, 7])
    x = random(2, 4, 3, 8)
    expected = turned(x, cos[rows], sin[rows])
    assert_close(apply_rotary(x, cos[rows], sin[rows]).double(), expected, rtol=0, atol=1e-6)


def test_scores_depend_on_the_distance_only():
    """a query at 9 and a key at 5 score as at 104 and 100, and unlike at 9 and 6"""
    cos, sin = rotary_tables(128, 64)
    q, k = random(1, 1, 64), random(1, 1, 64, seed=1)

    def score(m: int, n: int) -> float:
        q_m, k_n = (
            apply_rotary(q, cos[m : m + 1], sin[m : m + 1]),
            apply_rotary(k, cos[n : n + 1], sin[n : n + 1]),
        )
        return (q_m * k_n).sum().item()

    assert score(104, 100) == pytest.approx(score(9, 5), abs=1e-4)
    assert score(9, 6) != pytest.approx(score(9, 5), abs=1e-2)


@pytest.mark.parametrize(("dtype", "half_a_unit"), [(torch.bfloat16, 2**-8), (torch.float16, 2**-11)])
def test_rounded_once(dtype, half_a_unit):
    """float32 inside, also where the terms cancel, and x's dtype outside"""
    x = random(3, 50, 2, 64).to(dtype)
    cos, sin = rotary_tables(50, 64)
    y = apply_rotary(x, cos, sin)
    assert y.dtype == dtype
    assert_close(y.double(), turned(x, cos, sin), rtol=1.001 * half_a_unit, atol=1e-6)


def test_the_dtype_of_x_decides():
    """tables in bfloat16 are used as they are, and do not make the result one"""
    x = random(4, 2, 8)
    cos, sin = (table.bfloat16() for table in rotary_tables(4, 8))
    y = apply_rotary(x, cos, sin)
    assert y.dtype == torch.float32
    assert_close(y.double(), turned(x, cos, sin), rtol=0, atol=1e-6)


def test_gradient_is_the_rotation_back():
    """a rotation's transpose is its inverse, so g turned counterclockwise is the gradient"""
    x, g = random(2, 5, 3, 8).requires_grad_(), random(2, 5, 3, 8, seed=1)
    cos, sin = rotary_tables(5, 8)
    apply_rotary(x, cos, sin).backward(g)
    assert_close(x.grad.double(), turned(g, cos, -sin), rtol=0, atol=1e-6)


def test_strided_inputs():
    """views and expanded axes give what their contiguous copies give"""
    cos, sin = rotary_tables(12, 8)
    cos, sin = cos[::2], sin[::2]
    for x in (
        random(2, 3, 6, 8).transpose(1, 2),
        random(2, 1, 3, 8).expand(-1, 6, -1, -1),
        random(6, 3, 16)[..., ::2],
    ):
        assert_close(apply_rotary(x, cos, sin).double(), turned(x, cos, sin), rtol=0, atol=1e-6)


def test_pure(odd_globals):
    """arguments stay as they were, results are new memory, and no global matters"""
    x = random(4, 2, 8)
    tables = rotary_tables(4, 8)
    before = [tensor.clone() for tensor in (x, *tables)]
    expected = apply_rotary(x, *tables)
    with odd_globals():
        again = rotary_tables(4, 8)
        y = apply_rotary(x, *tables)
    assert torch.equal(torch.stack(again), torch.stack(tables))
    assert torch.equal(y, expected)
    assert y.dtype == torch.float32
    y.zero_()
    for tensor, old in zip((x, *tables), before, strict=True):
        assert torch.equal(tensor, old)


X, TABLE = torch.ones(2, 4, 3, 6), torch.ones(4, 3)


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: rotary_tables(0, 8), ValueError, "seq_len"),
        (lambda: rotary_tables(4, 7), ValueError, "head_dim"),
        (lambda: rotary_tables(4, 0), ValueError, "head_dim"),
        (lambda: rotary_tables(4, 8, 0.0), ValueError, "base"),
        (lambda: rotary_tables(4, 8, -1.0), ValueError, "base"),
        (lambda: rotary_tables(4.0, 8), TypeError, "seq_len"),
        (lambda: rotary_tables(4, 8.0), TypeError, "head_dim"),
        (lambda: rotary_tables(4, 8, "10000"), TypeError, "base"),
        (lambda: apply_rotary(torch.ones(4, 6), TABLE, TABLE), ValueError, "x"),
        (lambda: apply_rotary(torch.ones(4, 3, 5), TABLE, TABLE), ValueError, "x"),
        (lambda: apply_rotary(X, TABLE[:1], TABLE), ValueError, "cos"),  # would broadcast
        (lambda: apply_rotary(X, TABLE, TABLE[:, :1]), ValueError, "sin"),  # so would this
        (lambda: apply_rotary(X, TABLE[None], TABLE), ValueError, "cos"),  # and this
        (lambda: apply_rotary(X, torch.ones(3, 3), TABLE), ValueError, "cos"),  # one row per head
        (lambda: apply_rotary(X, TABLE, torch.ones(5, 3)), ValueError, "sin"),
        (lambda: apply_rotary(X, torch.ones(4, 6), torch.ones(4, 6)), ValueError, "cos"),
        (lambda: apply_rotary(X.tolist(), TABLE, TABLE), TypeError, "x"),
        (lambda: apply_rotary(X.long(), TABLE, TABLE), TypeError, "x"),
        (lambda: apply_rotary(X, TABLE.long(), TABLE), TypeError, "cos"),
        (lambda: apply_rotary(X, TABLE, TABLE.tolist()), TypeError, "sin"),
    ],
)
def test_bad_input(call, error, name):
    """bad input is refused with a message that names the argument"""
    with pytest.raises(error, match=rf"^{name} should"):
        call()

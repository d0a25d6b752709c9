"""What rms_norm must do, from easy to hard. `student` is the implementation under test."""

import math
from random import Random

import pytest
import torch
import torch.nn.functional as F

from katas.close import assert_close

pytestmark = pytest.mark.seconds(10)

# float32 keeps 24 bits, about 6e-8 of a number. A sum over a few hundred squares, added one after the other, may lose
# a hundred times that; the nearest wrong version in these tests is off by more than a thousand times as much.
RTOL = 1e-5

ROW = [1.0, -1.0, 3.0, 5.0]  # squares 1, 1, 9, 25, their mean 9, its root 3; the mean of the row itself is 2


@pytest.fixture
def numbers(seed):
    """Not centered on 0, and every row of another size, so that neither a mean nor a neighbor goes unnoticed."""

    def draw(*shape, other=0):
        generator = torch.Generator().manual_seed(seed + other)
        sizes = torch.rand(*shape[:-1], 1, generator=generator) * 4 + 0.25
        return (torch.randn(shape, generator=generator) + 1) * sizes

    return draw


def exact(x, eps=1e-6):
    """The formula of the lesson, in float64."""
    x = x.double()
    return x / torch.sqrt((x * x).sum(-1, keepdim=True) / x.shape[-1] + eps)


def test_by_hand(student):
    """the example of the lesson: the root mean square of 1, -1, 3, 5 is 3, so the row is divided by 3"""
    y = student.rms_norm(torch.tensor(ROW), eps=0.0)
    assert_close(y, torch.tensor([1 / 3, -1 / 3, 1.0, 5 / 3]), rtol=RTOL, atol=0)


def test_eps_by_hand(student):
    """eps is added to the mean square before the root is taken: beside 9, an eps of 16 makes the divisor 5"""
    # outside the root it would be 3 + 16 = 19, squared sqrt(265), as a lower bound 4. The mean square of the second row
    # is 3e-6, so that there the divisor is sqrt(16 + 3e-6), which is 4 in float32
    x = torch.tensor([ROW, [1e-3, -1e-3, 1e-3, 3e-3]])
    assert_close(student.rms_norm(x, 16.0), x / torch.tensor([[5.0], [4.0]]), rtol=RTOL, atol=0)


def test_every_row_by_itself(student):
    """every row is divided by its own root mean square, whatever its neighbors are"""
    row = torch.tensor(ROW)
    x = torch.stack([row, 100 * row, -row])  # their root mean squares are 3, 300 and 3
    assert_close(student.rms_norm(x, eps=0.0), torch.stack([row, row, -row]) / 3, rtol=RTOL, atol=0)


def test_nothing_is_subtracted(student):
    """a row of equal numbers becomes a row of ones, or of minus ones: the mean stays in"""
    x = torch.tensor([[5.0] * 6, [-0.25] * 6])
    assert_close(student.rms_norm(x, eps=0.0), torch.tensor([[1.0] * 6, [-1.0] * 6]), rtol=RTOL, atol=0)


@pytest.mark.parametrize("length", [1, 2, 5, 64, 1000])
def test_size_one_at_any_length(student, numbers, length):
    """without eps every row comes out with a root mean square of 1 and points where it pointed, however long it is"""
    x = numbers(3, length)
    y = student.rms_norm(x, eps=0.0)
    assert_close(y.double().square().mean(-1).sqrt().float(), torch.ones(3), rtol=RTOL, atol=0)
    assert_close(F.cosine_similarity(y.double(), x.double(), dim=-1).float(), torch.ones(3), rtol=RTOL, atol=0)


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1e12])
def test_scale_cancels(student, numbers, scale):
    """without eps a row a thousand times as large or as small gives the same result"""
    x = numbers(4, 7)  # the squares go from 1e-24 to 1e24: float32 holds 1e-38 to 3e38
    assert_close(student.rms_norm(x * scale, eps=0.0), exact(x, 0).float(), rtol=RTOL, atol=0)


def test_default_eps(student):
    """without an eps it is 1e-6: where the mean square is 1e-6 as well, a row comes out smaller by the root of 2"""
    x = torch.tensor(ROW) / 3 * 1e-3
    assert_close(student.rms_norm(x), torch.tensor(ROW) / 3 / 2**0.5, rtol=RTOL, atol=0)


@pytest.mark.parametrize("eps", [1e-10, 1e-5, 0.25, 1e4])
def test_eps_is_the_callers(student, eps):
    """the eps you are given is the one you use, for a row whose mean square is eps as well"""
    x = torch.tensor(ROW) / 3 * eps**0.5
    assert_close(student.rms_norm(x, eps=eps), torch.tensor(ROW) / 3 / 2**0.5, rtol=RTOL, atol=0)


def test_a_row_of_zeros(student):
    """a row of zeros stays zeros instead of becoming NaN, and its neighbor is what it would be without it"""
    y = student.rms_norm(torch.tensor([[0.0] * 4, ROW]))
    # 1e-6 beside a mean square of 9 is a change of 6e-8
    assert_close(y, torch.tensor([[0.0] * 4, [1 / 3, -1 / 3, 1.0, 5 / 3]]), rtol=RTOL, atol=0)


@pytest.mark.parametrize(
    "shape",
    # no axis but the row, rows of one number, all sizes different, sizes that agree, and many axes
    [(1,), (7,), (3, 1), (2, 5), (4, 4), (2, 3, 5), (3, 3, 3), (1, 6, 6), (2, 4, 4), (2, 1, 3, 300), (2, 3, 1, 2, 5)],
)
def test_any_number_of_axes(student, numbers, shape):
    """whatever the axes before it, the mean runs over the last one only; PyTorch's own, in float64, agrees"""
    x = numbers(*shape)
    expected = F.rms_norm(x.double(), shape[-1:], eps=0.25).float()
    assert_close(student.rms_norm(x, eps=0.25), expected, rtol=RTOL, atol=0)


def test_agrees_with_the_worked_answer(student, reference, numbers, seed):
    """on any shape, at any scale and with any eps you agree with the worked answer"""
    rng = Random(seed + 2)
    shapes = [[rng.randint(1, 5) for _ in range(rng.randint(1, 4))] for _ in range(30)]
    for shape in sorted(shapes, key=math.prod):  # the smallest first: the first one that fails is easy to read
        x, eps = numbers(*shape) * rng.choice([1.0, 1e-3, 1e3]), rng.choice([1e-6, 0.0, 1e-3, 3.0])
        assert_close(student.rms_norm(x, eps), reference.rms_norm(x, eps), rtol=RTOL, atol=0)


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.transpose(0, 1),
        lambda x: x.transpose(1, 2),  # the rows themselves are spread out in memory
        lambda x: x[::2, :, 1::2],
        lambda x: x[:1].expand(5, -1, -1),  # five rows at one place in memory
        lambda x: x[..., :1].expand(-1, -1, 3),  # rows of one number, seen three times
    ],
    ids=["rows swapped", "columns swapped", "every other", "expanded rows", "expanded columns"],
)
def test_strided(student, numbers, view):
    """transposed, sliced and expanded tensors give what their contiguous copies give"""
    x = view(numbers(4, 3, 6))
    expected = exact(x, 0.25).float()
    assert_close(student.rms_norm(x.contiguous(), 0.25), expected, rtol=RTOL, atol=0)
    assert_close(student.rms_norm(x, 0.25), expected, rtol=RTOL, atol=0)


# ---- float16 and bfloat16: the arithmetic in float32


def clear_rows(x, eps):
    """The rows none of whose exact results lies near the middle between two numbers of x's dtype, with these results.

    Near the middle, an honest float32 result (here up to 4e-6 off) may round to either side; elsewhere there is one
    right answer. A result rounded twice is off by up to half a percent, so these rows are enough to see it.
    """
    y = exact(x, eps)
    low, high = (y * (1 - 4e-6)).to(x.dtype), (y * (1 + 4e-6)).to(x.dtype)
    clear = (low == high).all(-1)
    return x[clear], low[clear]


@pytest.mark.parametrize("eps", [1e-6, 0.5])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rounded_once(student, numbers, dtype, eps):
    """a bfloat16 or float16 result keeps its dtype and is the number nearest to the exact one: rounded once"""
    x, nearest = clear_rows(numbers(60, 48).to(dtype), eps)
    assert len(x) > 20  # of 60: more than a thousand values
    assert_close(student.rms_norm(x, eps), nearest, rtol=0, atol=0)


def test_large_and_small_float16(student):
    """float16 ends at 65,504 and begins at 6e-8, so the squares of 300 and of 1e-4 must not be taken in it"""
    x = torch.tensor([[300.0] * 4, [60000.0] * 4, [1e-4] * 4]).half()
    y = student.rms_norm(x, eps=1e-8)  # the mean square of the last row is 1e-8 as well
    # 1e-3 is the distance between neighbors in float16
    assert_close(y, torch.tensor([[1.0] * 4, [1.0] * 4, [0.5**0.5] * 4]).half(), rtol=1e-3, atol=0)


@pytest.mark.parametrize(("dtype", "gap"), [(torch.bfloat16, 2**-7), (torch.float16, 2**-10)])
def test_long_rows(student, dtype, gap):
    """20,000 squares are summed in float32: in bfloat16 the sum would stand still, in float16 it would overflow"""
    x = torch.full((1, 20_000), 3.0, dtype=dtype)  # the sum is 180,000; gap is the distance between neighbors
    assert_close(student.rms_norm(x, eps=27.0), torch.full_like(x, 0.5), rtol=gap, atol=0)  # 3 / sqrt(9 + 27)


# ---- gradients


def test_gradient_by_hand(student):
    """the gradient of the third number of the lesson's row: each number counts twice, also in the root mean square"""
    x = torch.tensor(ROW, requires_grad=True)
    student.rms_norm(x, eps=0.0)[2].backward()
    # y3 = x3 / r with r = 3 and dr/dxj = xj / (4 r) = xj / 12, so dy3/dxj = [j is 3] / 3 - 3 / 9 * xj / 12. Along the
    # row itself nothing changes: 1 * -1 - 1 * 1 + 3 * 9 - 5 * 5 = 0
    assert_close(x.grad, torch.tensor([-1.0, 1.0, 9.0, -5.0]) / 36, rtol=RTOL, atol=0)


@pytest.mark.parametrize("eps", [1e-6, 2.0])
@pytest.mark.parametrize("shape", [(6,), (4, 4), (2, 3, 5), (3, 1)])
def test_gradient(student, numbers, shape, eps):
    """your gradient is that of the formula in float64"""
    x, slope = numbers(*shape), numbers(*shape, other=1)
    ours, theirs = x.clone().requires_grad_(), x.double().requires_grad_()
    (student.rms_norm(ours, eps) * slope).sum().backward()
    (exact(theirs, eps) * slope.double()).sum().backward()
    # the atol: where terms cancel, float32 leaves some 1e-7 of them; for rows of one number all but eps cancels
    terms = slope.double() / (x.double().square().mean(-1, keepdim=True) + eps).sqrt()
    assert_close(ours.grad, theirs.grad.float(), rtol=RTOL, atol=1e-6 * terms.abs().max().item() + 1e-6)


def test_gradient_of_a_row_of_zeros(student):
    """at a row of zeros the slope is 1 / sqrt(eps), finite: no root may be taken before eps is there"""
    x = torch.tensor([[0.0] * 4, ROW], requires_grad=True)
    student.rms_norm(x, eps=16.0)[:, 2].sum().backward()
    # the second row as above, but r = 5: dy3/dxj = [j is 3] / 5 - 3 / 25 * xj / 20 = (100 [j is 3] - 3 xj) / 500
    expected = torch.tensor([[0.0, 0.0, 1 / 4, 0.0], [-3 / 500, 3 / 500, 91 / 500, -15 / 500]])
    assert_close(x.grad, expected, rtol=RTOL, atol=0)


def test_gradient_of_zeros_by_default(student, numbers):
    """with the default eps, the gradient of a row of zeros is a thousand times what comes in"""
    x, slope = torch.zeros(3, 4, requires_grad=True), numbers(3, 4)
    (student.rms_norm(x) * slope).sum().backward()
    assert_close(x.grad, 1000 * slope, rtol=RTOL, atol=0)


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.bfloat16, 2**-8), (torch.float16, 2**-11)])
def test_gradient_dtype(student, numbers, dtype, rounding):
    """a bfloat16 or float16 tensor gets a gradient of its own dtype, right but for the rounding"""
    x, slope = numbers(8, 64).to(dtype), numbers(8, 64, other=1).to(dtype)
    ours, theirs = x.clone().requires_grad_(), x.double().requires_grad_()
    (student.rms_norm(ours) * slope).sum().backward()
    (exact(theirs) * slope.double()).sum().backward()
    # autograd may round the terms before it adds them: four roundings of the largest
    largest = theirs.grad.abs().max().item()
    assert_close(ours.grad, theirs.grad.to(dtype), rtol=2 * rounding, atol=4 * rounding * largest)


# ---- manners


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_arguments_stay(student, numbers, dtype):
    """the caller's x stays as it was, and the result lies in memory of its own"""
    x = numbers(2, 6).to(dtype)
    ones = torch.ones(2, 1, dtype=dtype)  # without eps nothing changes here: still a copy
    assert_close(student.rms_norm(x), exact(x).to(dtype), rtol=1e-2, atol=0)  # 1e-2: also for bfloat16
    assert_close(student.rms_norm(2 * ones, eps=0.0), ones, rtol=0, atol=0)
    assert_close(student.rms_norm(ones, eps=0.0), ones, rtol=0, atol=0)


def test_global_settings_do_not_matter(student, numbers):
    """another default dtype, default device or autocast around the call changes nothing"""
    x = numbers(4, 3, 20)
    rough, nearest = clear_rows(numbers(30, 20).bfloat16(), 0.5)
    with student.odd_globals():
        y = student.rms_norm(x, eps=0.5)
        z = student.rms_norm(rough, eps=0.5)
    assert_close(y, exact(x, 0.5).float(), rtol=RTOL, atol=0)
    assert_close(z, nearest, rtol=0, atol=0)


@pytest.mark.parametrize("eps", [-1e-6, -100.0])
def test_negative_eps(student, eps):
    """an eps below 0 is refused by name, also where the root would not notice"""
    with pytest.raises(ValueError, match=r"\beps\b"):
        student.rms_norm(torch.tensor(ROW), eps=eps)


def test_no_axis(student):
    """a tensor without an axis has no rows and is refused by name"""
    with pytest.raises(ValueError, match=r"\bx\b"):
        student.rms_norm(torch.tensor(3.0))


@pytest.mark.parametrize("x", [ROW, torch.tensor([1, -1, 3, 5])], ids=["list", "integers"])
def test_wrong_type(student, x):
    """what is no tensor of floating-point numbers is refused by name"""
    with pytest.raises((TypeError, ValueError), match=r"\bx\b"):
        student.rms_norm(x)

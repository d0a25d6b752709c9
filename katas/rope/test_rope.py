"""What rotary_tables and apply_rotary must do, from easy to hard. `student` is the implementation under test."""

import math
from random import Random

import pytest
import torch

from katas.close import assert_close

pytestmark = pytest.mark.seconds(10)

# Numbers below are at most about 5 in size, a rotation adds two products of them, and float32 rounds to 6e-8 of a
# number: honest results lie within 2e-6. The nearest wrong version in these tests is a thousand times as far off.
ATOL = 3e-6


@pytest.fixture
def numbers(seed):
    """Normal numbers of any shape."""
    return lambda *shape, other=0: torch.randn(shape, generator=torch.Generator().manual_seed(seed + other))


def angles(positions, head_dim, base=10000.0):
    """position * base^(-2i / head_dim), one row per position, in Python's own float64."""
    rows = [[t * base ** (-2 * i / head_dim) for i in range(head_dim // 2)] for t in positions]
    return torch.tensor(rows, dtype=torch.float64)


def rows_at(positions, head_dim, base=10000.0):
    """The rows of exact tables at any positions, in float32."""
    angle = angles(positions, head_dim, base)
    return angle.cos().float(), angle.sin().float()


def turned(x, cos, sin):
    """The witness, in float64: a pair is one complex number, and times cos - i sin it turns clockwise."""
    x1, x2 = x.double().chunk(2, dim=-1)
    z = torch.complex(x1, x2) * torch.complex(cos.double(), -sin.double()).unsqueeze(-2)
    return torch.cat((z.real, z.imag), dim=-1)


def check_tables(tables, positions, head_dim, base=10000.0):
    """Compare the rows at `positions` with the exact ones, as near as the contract asks: 4e-7 * (1 + position)."""
    expected = rows_at(positions, head_dim, base)
    for table, exact in zip(tables, expected, strict=True):
        for t, row in zip(positions, exact, strict=True):
            assert_close(table[t], row, rtol=0, atol=4e-7 * (1 + t))


# ---- the tables


def test_one_position(student):
    """at position 0 nothing turns: every cosine is 1, every sine 0"""
    cos, sin = student.rotary_tables(1, 6)
    assert_close(cos, torch.ones(1, 3), rtol=0, atol=0)
    assert_close(sin, torch.zeros(1, 3), rtol=0, atol=0)


def test_first_pair(student):
    """the first pair turns by one radian a position"""
    cos, sin = student.rotary_tables(4, 2)
    # 1.2e-6 is what the contract allows at position 2, and more than enough at 0 and 1
    assert_close(cos[:3, 0], torch.tensor([1.0, math.cos(1), math.cos(2)]), rtol=0, atol=1.2e-6)
    assert_close(sin[:3, 0], torch.tensor([0.0, math.sin(1), math.sin(2)]), rtol=0, atol=1.2e-6)


def test_speeds_by_hand(student):
    """with four pairs and base 10,000 each turns a tenth as fast as the one before: 3, 0.3, 0.03 and 0.003 at 3"""
    cos, sin = student.rotary_tables(5, 8)
    angle = torch.tensor([3.0, 0.3, 0.03, 0.003])
    assert_close(cos[3], angle.cos(), rtol=0, atol=1.6e-6)  # what the contract allows at position 3
    assert_close(sin[3], angle.sin(), rtol=0, atol=1.6e-6)


def test_base_by_hand(student):
    """the base is yours to obey: with base 16, four pairs turn by 1, 1/2, 1/4 and 1/8"""
    cos, sin = student.rotary_tables(3, 8, 16.0)
    angle = torch.tensor([1.0, 0.5, 0.25, 0.125])
    assert_close(cos[1], angle.cos(), rtol=0, atol=8e-7)
    assert_close(sin[1], angle.sin(), rtol=0, atol=8e-7)


@pytest.mark.parametrize(
    ("seq_len", "head_dim", "base"),
    # all sizes different; as many positions as pairs; one pair; a head of 128; bases from 1/2 to 500,000
    [(7, 10, 10000.0), (4, 8, 100.0), (9, 2, 3.0), (5, 128, 10000.0), (3, 16, 500000.0), (6, 4, 1.0), (5, 6, 0.5)],
)
def test_tables(student, seq_len, head_dim, base):
    """cos and sin are two float32 tables on the CPU, a row per position and a column per pair, right everywhere"""
    tables = student.rotary_tables(seq_len, head_dim, base=base)
    assert type(tables) is tuple, f"expected a tuple of two tensors, got a {type(tables).__name__}"
    assert len(tables) == 2, f"expected two tensors, got {len(tables)}"
    expected = rows_at(range(seq_len), head_dim, base)
    for table, exact in zip(tables, expected, strict=True):
        # at the coarsest; row by row, and finer, below
        assert_close(table, exact, rtol=0, atol=4e-7 * seq_len)
    check_tables(tables, range(seq_len), head_dim, base)


def test_far_positions(student):
    """far out the angles are right, too: up to position 10,000, and 257 is told from 256"""
    tables = student.rotary_tables(10_001, 16)
    check_tables(tables, [0, 1, 2, 100, 255, 256, 257, 1023, 4097, 10_000], 16)


def test_tables_are_made_anew(student):
    """another length, width or base gives other tables: nothing is remembered from the last call"""
    for seq_len, head_dim, base in [(3, 4, 10.0), (5, 4, 10.0), (5, 8, 10.0), (5, 8, 20.0), (5, 8, 10.0), (3, 4, 10.0)]:
        tables = student.rotary_tables(seq_len, head_dim, base)
        assert_close(tables[0], rows_at(range(seq_len), head_dim, base)[0], rtol=0, atol=4e-7 * seq_len)
        assert_close(tables[1], rows_at(range(seq_len), head_dim, base)[1], rtol=0, atol=4e-7 * seq_len)


def test_tables_do_not_depend_on_global_settings(student):
    """another default dtype, default device or autocast around the call changes no table"""
    with student.odd_globals():
        cos, sin = student.rotary_tables(7, 8)
    assert_close(cos, rows_at(range(7), 8)[0], rtol=0, atol=4e-7 * 7)
    assert_close(sin, rows_at(range(7), 8)[1], rtol=0, atol=4e-7 * 7)


# ---- the rotation


def test_one_pair_by_hand(student):
    """with cosine 0.6 and sine 0.8 the pair (5, 10) becomes (5 * 0.6 + 10 * 0.8, -5 * 0.8 + 10 * 0.6) = (11, 2)"""
    x = torch.tensor([[[5.0, 10.0]], [[5.0, 10.0]]])  # two positions of one head with one pair; the first stays
    y = student.apply_rotary(x, torch.tensor([[1.0], [0.6]]), torch.tensor([[0.0], [0.8]]))
    assert_close(y, torch.tensor([[[5.0, 10.0]], [[11.0, 2.0]]]), rtol=0, atol=ATOL)


def test_pairs_by_hand(student):
    """halves form the pairs: of 1, 2, 3, 4 these are (1, 3) and (2, 4)"""
    x = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])
    # the first pair makes a quarter turn clockwise, (1, 3) to (3, -1); the second, (2, 4), stays
    y = student.apply_rotary(x, torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]]))
    assert_close(y, torch.tensor([[[3.0, 2.0, -1.0, 4.0]]]), rtol=0, atol=ATOL)


def test_every_position_its_own_row(student):
    """row j of the tables turns position j, and all heads of a position turn alike"""
    x = torch.tensor([1.0, 0.0]).expand(2, 2, 2)  # two positions, two heads: the sizes do not tell which is which
    y = student.apply_rotary(x, torch.tensor([[0.6], [0.0]]), torch.tensor([[0.8], [1.0]]))
    first, second = [0.6, -0.8], [0.0, -1.0]
    assert_close(y, torch.tensor([[first, first], [second, second]]), rtol=0, atol=ATOL)


@pytest.mark.parametrize(
    "shape",
    # (T, H, D) alone; sizes that agree: T = H = D, T = H, B = T, all; one position, head or pair; more axes in front
    [(5, 3, 2), (4, 4, 4), (2, 3, 3, 8), (5, 5, 2, 6), (3, 3, 3, 6), (2, 1, 4, 8), (3, 6, 1, 2), (2, 3, 5, 4, 16)],
)
def test_equals_complex_multiplication(student, numbers, shape):
    """a pair is a complex number that is multiplied by cos - i sin, with any axes before (T, H, D)"""
    x = numbers(*shape)
    cos, sin = rows_at(range(7, 7 + shape[-3]), shape[-1])  # not from 0: a batch in the middle of a text
    assert_close(student.apply_rotary(x, cos, sin), turned(x, cos, sin).float(), rtol=0, atol=ATOL)


@pytest.mark.parametrize("positions", [[500], [40, 41, 41, 7], [9, 8, 7, 6, 5], [0, 3, 0], [3, 1000, 10_000]])
def test_any_positions(student, numbers, positions):
    """positions are whatever the rows say: an offset, a repetition, backwards, far out"""
    x = numbers(2, len(positions), 3, 8)
    cos, sin = rows_at(positions, 8)
    assert_close(student.apply_rotary(x, cos, sin), turned(x, cos, sin).float(), rtol=0, atol=ATOL)


@pytest.mark.parametrize("base", [100.0, 500000.0])
def test_any_base(student, numbers, base):
    """the rows say how fast the pairs turn, too: tables of another base"""
    x = numbers(2, 4, 3, 8)
    cos, sin = rows_at([2, 3, 4, 5], 8, base)
    assert_close(student.apply_rotary(x, cos, sin), turned(x, cos, sin).float(), rtol=0, atol=ATOL)


def test_scores_depend_on_the_distance(student):
    """turned by your tables, a query and a key score by their distance alone, and otherwise at another distance"""
    cos, sin = student.rotary_tables(128, 2)
    query, key = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.6, 0.8]]])

    def score(m, n):
        q = student.apply_rotary(query, cos[m : m + 1], sin[m : m + 1])
        k = student.apply_rotary(key, cos[n : n + 1], sin[n : n + 1])
        return (q * k).sum()

    # on one clock hand, key lies acos(0.6) = 0.927 ahead of query; m - n positions further it is that plus m - n
    for m, n in [(5, 5), (9, 5), (104, 100), (5, 9), (127, 0)]:
        exact = torch.tensor(math.cos(math.acos(0.6) + m - n))
        assert_close(score(m, n), exact, rtol=0, atol=2e-4)  # four entries, each within 4e-7 * (1 + 127)


def test_turns_add_up(student, numbers):
    """turned by 3 positions and then by 4 is turned by 7"""
    x = numbers(1, 2, 6)
    three, four, seven = (rows_at([t], 6) for t in (3, 4, 7))
    y = student.apply_rotary(student.apply_rotary(x, *three), *four)
    assert_close(y, turned(x, *seven).float(), rtol=0, atol=ATOL)


def random_cases(seed):
    """Thirty shapes and positions, the smallest first, so that the first one that fails is easy to read."""
    rng = Random(seed + 3)
    cases = [
        (
            [rng.randint(1, 3) for _ in range(rng.randint(0, 2))],  # the axes in front
            [rng.randint(0, 300) for _ in range(rng.randint(1, 4))],  # positions
            rng.randint(1, 4),  # heads
            rng.randint(1, 4),  # D / 2
            rng.choice([10000.0, rng.uniform(2, 20000)]),  # base
        )
        for _ in range(30)
    ]
    return sorted(cases, key=lambda case: math.prod(case[0]) * len(case[1]) * case[2] * case[3])


def test_agrees_with_the_worked_answer(student, reference, numbers, seed):
    """on any shape, at any positions and with any base you agree with the worked answer"""
    for front, positions, heads, half, base in random_cases(seed):
        x = numbers(*front, len(positions), heads, 2 * half)
        cos, sin = (table[positions] for table in student.rotary_tables(max(positions) + 1, 2 * half, base))
        exact_cos, exact_sin = (
            table[positions] for table in reference.rotary_tables(max(positions) + 1, 2 * half, base)
        )
        assert_close(cos, exact_cos, rtol=0, atol=4e-7 * 301)
        assert_close(sin, exact_sin, rtol=0, atol=4e-7 * 301)
        y = student.apply_rotary(x, exact_cos, exact_sin)
        assert_close(y, reference.apply_rotary(x, exact_cos, exact_sin), rtol=0, atol=ATOL)


def strided_views(numbers):
    x = numbers(2, 3, 6, 8)
    return {
        "heads before positions": x.transpose(1, 2),  # (2, 6, 3, 8), as a projection is often laid out
        "all axes reversed": x.permute(3, 2, 1, 0)[:6],  # (6, 6, 3, 2)
        "every other entry": numbers(6, 3, 16)[..., ::2],
        "every other position": numbers(2, 12, 3, 8)[:, 1::2],
        "expanded positions": numbers(2, 1, 3, 8).expand(-1, 6, -1, -1),  # six positions at one place in memory
        "expanded entries": numbers(6, 3, 1).expand(-1, -1, 4),
    }


@pytest.mark.parametrize("name", strided_views(torch.ones))
def test_strided(student, numbers, name):
    """transposed, sliced and expanded tensors give what their contiguous copies give"""
    x = strided_views(numbers)[name]
    cos, sin = rows_at(range(4, 10), x.shape[-1])
    expected = turned(x, cos, sin).float()
    assert_close(student.apply_rotary(x.contiguous(), cos, sin), expected, rtol=0, atol=ATOL)
    assert_close(student.apply_rotary(x, cos, sin), expected, rtol=0, atol=ATOL)


def test_strided_tables(student, numbers):
    """every third row of a table, or one row for all positions, will do as tables"""
    x = numbers(2, 5, 3, 8)
    cos, sin = rows_at(range(20), 8)
    for these in (slice(2, 17, 3), [6] * 5):
        rows = (cos[these], sin[these]) if isinstance(these, slice) else (cos[6].expand(5, 4), sin[6].expand(5, 4))
        assert_close(student.apply_rotary(x, *rows), turned(x, *rows).float(), rtol=0, atol=ATOL)


# ---- float16 and bfloat16: the arithmetic in float32


def clear_positions(x, cos, sin):
    """The positions none of whose exact results lies near the middle between two numbers of x's dtype.

    Near the middle, an honest float32 result may round to either side: it is off by up to 4e-7 of the two products
    that are added. Elsewhere there is one right answer.

    Returns:
        x, cos, sin at these positions, and the right answers.
    """
    exact, slack = turned(x, cos, sin), 4e-7 * turned(x, cos, sin * 0).abs()
    slack = slack + 4e-7 * turned(x, cos * 0, sin).abs()
    low, high = (exact - slack).to(x.dtype), (exact + slack).to(x.dtype)
    clear = (low == high).flatten(1).all(1)
    return x[clear], cos[clear], sin[clear], low[clear]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rounded_once(student, numbers, dtype):
    """a bfloat16 or float16 result keeps its dtype and is the number nearest to the exact one: rounded once"""
    cos, sin = rows_at(range(1, 201), 8)
    x, cos, sin, nearest = clear_positions(numbers(200, 2, 8).to(dtype), cos, sin)
    assert len(x) > 50  # of 200: eight hundred values and more
    assert_close(student.apply_rotary(x, cos, sin), nearest, rtol=0, atol=0)


def test_cancellation(student):
    """where the two products nearly cancel, the little that is left is right in bfloat16, too"""
    # 60 * 0.6 - 45 * 0.8 is 0 but for the rounding of 0.6 and 0.8 to float32; in bfloat16 0.6 is 0.6016, 0.8 is 0.8008
    x = torch.tensor([[[60.0, -45.0], [60.0, -44.75]]]).bfloat16()
    y = student.apply_rotary(x, torch.tensor([[0.6]]), torch.tensor([[0.8]]))
    # the second head: 36 - 35.8 = 0.2 and -48 - 26.85 = -74.85; bfloat16 keeps 1 part in 256, float32 1e-5 of 36
    assert_close(y.float(), torch.tensor([[[0.0, -75.0], [0.2, -74.85]]]), rtol=2**-8, atol=1e-5)


# ---- gradients


@pytest.mark.parametrize("shape", [(5, 3, 2), (4, 4, 4), (2, 3, 3, 8), (2, 3, 1, 4, 6)])
def test_gradient_turns_back(student, numbers, shape):
    """the gradient is what comes in, turned back: counterclockwise by the same angles"""
    x, slope = numbers(*shape).requires_grad_(), numbers(*shape, other=1)
    cos, sin = rows_at(range(3, 3 + shape[-3]), shape[-1])
    (student.apply_rotary(x, cos, sin) * slope).sum().backward()
    assert_close(x.grad, turned(slope, cos, -sin).float(), rtol=0, atol=ATOL)


def test_gradient_of_zeros(student, numbers):
    """at a row of zeros, too, the gradient is what comes in, turned back"""
    x, slope = torch.zeros(3, 2, 4, requires_grad=True), numbers(3, 2, 4)
    cos, sin = rows_at([5, 6, 7], 4)
    (student.apply_rotary(x, cos, sin) * slope).sum().backward()
    assert_close(x.grad, turned(slope, cos, -sin).float(), rtol=0, atol=ATOL)


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.bfloat16, 2**-8), (torch.float16, 2**-11)])
def test_gradient_dtype(student, numbers, dtype, rounding):
    """a bfloat16 or float16 tensor gets a gradient of its own dtype, right but for the rounding"""
    x, slope = numbers(6, 2, 8).to(dtype).requires_grad_(), numbers(6, 2, 8, other=1).to(dtype)
    cos, sin = rows_at(range(6), 8)
    (student.apply_rotary(x, cos, sin) * slope).sum().backward()
    # autograd may round the two terms before it adds them; they are at most 3 in size
    assert_close(x.grad, turned(slope, cos, -sin).to(dtype), rtol=2 * rounding, atol=6 * rounding)


# ---- manners


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_arguments_stay(student, numbers, dtype):
    """x and the tables stay as they were, and the result lies in memory of its own, also where nothing turns"""
    x = numbers(3, 2, 4).to(dtype)
    cos, sin = rows_at([0, 0, 9], 4)
    # 1e-2: one rounding of bfloat16 at the most
    assert_close(student.apply_rotary(x, cos, sin), turned(x, cos, sin).to(dtype), rtol=1e-2, atol=ATOL)
    x = 1 + x[:2].abs()
    assert_close(student.apply_rotary(x, cos[:2], sin[:2]), x, rtol=0, atol=0)  # position 0: times 1 plus times 0
    assert_close(student.apply_rotary(-x, cos[:2], sin[:2]), -x, rtol=0, atol=0)


def test_rotation_does_not_depend_on_global_settings(student, numbers):
    """another default dtype, default device or autocast around the call changes nothing"""
    x = numbers(2, 5, 3, 8)
    cos, sin = rows_at(range(5, 10), 8)
    rough = clear_positions(numbers(60, 2, 8).bfloat16(), *rows_at(range(1, 61), 8))
    with student.odd_globals():
        y = student.apply_rotary(x, cos, sin)
        z = student.apply_rotary(*rough[:3])
    assert_close(y, turned(x, cos, sin).float(), rtol=0, atol=ATOL)
    assert_close(z, rough[3], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("seq_len", "head_dim", "base", "name"),
    [
        (0, 8, 10000.0, "seq_len"),
        (-3, 8, 10000.0, "seq_len"),
        (4, 7, 10000.0, "head_dim"),
        (4, 1, 10000.0, "head_dim"),
        (4, 0, 10000.0, "head_dim"),
        (4, -2, 10000.0, "head_dim"),
        (4, 8, 0.0, "base"),
        (4, 8, -10000.0, "base"),
    ],
)
def test_tables_out_of_range(student, seq_len, head_dim, base, name):
    """a seq_len below 1, a head_dim that is odd or below 2, a base of 0 or less: each is refused by name"""
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        student.rotary_tables(seq_len, head_dim, base)


@pytest.mark.parametrize(("seq_len", "head_dim", "name"), [(4.0, 8, "seq_len"), (4, 8.0, "head_dim")])
def test_sizes_are_whole(student, seq_len, head_dim, name):
    """a size that is a float is refused by name: 4.0 is not 4"""
    with pytest.raises(TypeError, match=rf"\b{name}\b"):
        student.rotary_tables(seq_len, head_dim)


T, H, D = 4, 3, 6
X, ROWS = torch.ones(2, T, H, D), torch.ones(T, D // 2)


@pytest.mark.parametrize(
    ("x", "cos", "sin", "name"),
    [
        (torch.ones(T, D), ROWS, ROWS, "x"),  # no axis for the heads
        (torch.ones(D), ROWS, ROWS, "x"),
        (torch.ones(T, H, 5), ROWS[:, :2], ROWS[:, :2], "(x|cos)"),  # no partner for the last
        (X, torch.ones(T + 1, D // 2), ROWS, "cos"),  # the whole table: which rows are meant?
        (X, ROWS, torch.ones(T + 1, D // 2), "sin"),
        (X, ROWS[:3], ROWS, "cos"),  # as many rows as heads
        (X, ROWS[:1], ROWS, "cos"),  # broadcasting would accept this,
        (X, ROWS, ROWS[:1], "sin"),
        (X, ROWS[:, :1], ROWS, "cos"),  # and this,
        (X, ROWS, ROWS[:, :1], "sin"),
        (X, ROWS[:, None], ROWS, "cos"),  # and this,
        (X, ROWS, ROWS[None], "sin"),  # and this
        (X, torch.ones(T, D), torch.ones(T, D), "cos"),  # every angle twice
        (X, ROWS[0], ROWS, "cos"),
        (torch.ones(1, H, D), ROWS[0], ROWS[:1], "cos"),
        (torch.ones(1, H, D), ROWS, ROWS, "cos"),  # one position, four rows
    ],
)
def test_wrong_shapes(student, x, cos, sin, name):
    """x is (..., T, H, D) with D even, cos and sin are exactly (T, D/2): any other shape is refused by name"""
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        student.apply_rotary(x, cos, sin)


@pytest.mark.parametrize(
    ("x", "cos", "sin", "name"),
    [
        (X.tolist(), ROWS, ROWS, "x"),
        (X, ROWS.tolist(), ROWS, "cos"),
        (X, ROWS, ROWS.tolist(), "sin"),
        (X.long(), ROWS, ROWS, "x"),
        (X, ROWS.long(), ROWS, "cos"),
        (X, ROWS, ROWS.long(), "sin"),
    ],
)
def test_wrong_types(student, x, cos, sin, name):
    """what is no tensor of floating-point numbers is refused by name"""
    with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
        student.apply_rotary(x, cos, sin)

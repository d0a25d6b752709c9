"""What KVCache must do, from easy to hard. `student` is the implementation under test."""

import random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from katas.close import assert_close

pytestmark = pytest.mark.seconds(10)

L, H, D = 3, 5, 4  # layers, key/value heads, head_dim of most tests
EXACT = {"rtol": 0, "atol": 0}  # a cache stores and shows; it computes nothing


def block(t: int, batch: int = 1, other: int = 0, H: int = H, D: int = D) -> Tensor:
    """Keys or values of t positions, other ones for every `other`."""
    return torch.randn(batch, H, t, D, generator=torch.Generator().manual_seed(other))


def fill(cache: Any, t: int, batch: int = 1, other: int = 0) -> list[tuple[Tensor, Tensor]]:
    """One round: every layer inserts other keys and values; what each layer got back."""
    return [cache.insert(layer, *new) for layer, new in enumerate(news(t, batch, other))]


def news(t: int, batch: int = 1, other: int = 0) -> list[tuple[Tensor, Tensor]]:
    """What `fill` inserts, layer by layer."""
    return [(block(t, batch, other + 2 * layer), block(t, batch, other + 2 * layer + 1)) for layer in range(L)]


@pytest.fixture(name="block")
def block_from(seed: int) -> Any:
    """The same from a seed; where a test takes no seed, the numbers do not matter."""
    return lambda t, batch=1, other=0, **sizes: block(t, batch, seed + other, **sizes)


@pytest.fixture(name="fill")
def fill_from(seed: int) -> Any:
    return lambda cache, t, batch=1, other=0: fill(cache, t, batch, seed + other)


@pytest.fixture(name="news")
def news_from(seed: int) -> Any:
    return lambda t, batch=1, other=0: news(t, batch, seed + other)


def joined(*rounds: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
    """Brute force: what every layer holds after these rounds, all positions put one after another."""
    return [
        (torch.cat([k for k, _ in inserts], dim=2), torch.cat([v for _, v in inserts], dim=2))
        for inserts in zip(*rounds, strict=True)
    ]


def rows(held: list[tuple[Tensor, Tensor]], batch: int) -> list[tuple[Tensor, Tensor]]:
    """The same keys and values in every one of `batch` rows."""
    return [(k.repeat(batch, 1, 1, 1), v.repeat(batch, 1, 1, 1)) for k, v in held]


# Rounds


def test_by_hand(student):
    """the lesson's example: two tokens, then one more; the layer gets all three"""
    cache = student.KVCache(n_layers=1, batch=1, n_kv_heads=1, head_dim=2, capacity=4)
    assert cache.length == 0
    k, v = torch.tensor([[[[1.0, 2], [3, 4]]]]), torch.tensor([[[[10.0, 20], [30, 40]]]])
    assert_close(cache.insert(0, k, v), (k, v), **EXACT)
    assert cache.length == 2
    keys, values = cache.insert(0, torch.tensor([[[[5.0, 6]]]]), torch.tensor([[[[50.0, 60]]]]))
    assert_close(keys, torch.tensor([[[[1.0, 2], [3, 4], [5, 6]]]]), **EXACT)
    assert_close(values, torch.tensor([[[[10.0, 20], [30, 40], [50, 60]]]]), **EXACT)
    assert cache.length == 3
    assert cache.capacity == 4


def test_a_round(student, block):
    """the length stays until the last layer has inserted, then it advances by t, once"""
    cache = student.KVCache(L, 2, H, D, 8)
    lengths = []
    for t in (3, 1):
        for layer in range(L):
            cache.insert(layer, block(t, 2), block(t, 2))
            lengths.append(cache.length)
    assert lengths == [0, 0, 3, 3, 3, 4]


def test_every_layer_gets_its_own(student, news, fill):
    """every layer gets its own keys and its own values, old ones first, and nothing else"""
    cache = student.KVCache(L, 2, H, D, 16)
    first, second, third = news(6, 2, 0), news(1, 2, 10), news(2, 2, 20)
    assert_close(fill(cache, 6, 2, 0), first, **EXACT)
    assert_close(fill(cache, 1, 2, 10), joined(first, second), **EXACT)
    assert_close(fill(cache, 2, 2, 20), joined(first, second, third), **EXACT)


def test_attention_token_by_token(student, block):
    """attention over the cache, token by token, gives what attention over the whole text gives"""
    q, k, v = (block(7, 2, other=other) for other in range(3))
    cache = student.KVCache(1, 2, H, D, 8)
    whole = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    for t in range(7):
        keys, values = cache.insert(0, k[:, :, t : t + 1], v[:, :, t : t + 1])
        y = F.scaled_dot_product_attention(q[:, :, t : t + 1], keys, values)
        assert_close(y, whole[:, :, t : t + 1], rtol=1e-5, atol=1e-6)


# Room


def test_exactly_full(student, news, fill):
    """an exactly full cache does not grow"""
    cache = student.KVCache(L, 2, H, D, 6)
    assert_close(fill(cache, 4, 2, 0), news(4, 2, 0), **EXACT)
    assert_close(fill(cache, 2, 2, 10), joined(news(4, 2, 0), news(2, 2, 10)), **EXACT)
    assert (cache.length, cache.capacity) == (6, 6)


def test_growth(student, news, fill):
    """one position too many at least doubles the room, and what every layer held is kept"""
    cache = student.KVCache(L, 2, H, D, 5)
    first, second, third = news(5, 2, 0), news(1, 2, 10), news(1, 2, 20)
    fill(cache, 5, 2, 0)
    assert_close(fill(cache, 1, 2, 10), joined(first, second), **EXACT)
    grown = cache.capacity
    assert cache.length == 6
    assert grown >= 10, f"capacity should be at least 2 * 5 = 10, not {grown}"
    assert_close(fill(cache, 1, 2, 20), joined(first, second, third), **EXACT)
    assert cache.capacity == grown, "there was room for one more, so the capacity should have stayed"


@pytest.mark.parametrize("held", [0, 3])
def test_a_long_block(student, news, fill, held):
    """a block longer than twice the room gets the room that it needs"""
    cache = student.KVCache(L, 2, H, D, 4)
    blocks = [news(held, 2, 0)] if held else []
    if held:
        fill(cache, held, 2, 0)
    assert_close(fill(cache, 19, 2, 10), joined(*blocks, news(19, 2, 10)), **EXACT)
    assert cache.length == held + 19
    assert cache.capacity >= held + 19, f"{held + 19} positions are held, so capacity should not be {cache.capacity}"


def test_token_by_token_from_1(student, news, fill):
    """from a capacity of 1, token by token, the room grows again and again and nothing gets lost"""
    cache = student.KVCache(L, 1, H, D, 1)
    held = []
    for length in range(1, 19):
        before = cache.capacity
        held.append(news(1, other=10 * length))
        assert_close(fill(cache, 1, other=10 * length), joined(*held), **EXACT)
        if length <= before:
            assert cache.capacity == before, "there was room, so the capacity should have stayed"
        else:
            assert cache.capacity >= 2 * before, f"capacity should be at least 2 * {before}, not {cache.capacity}"


@pytest.mark.parametrize("n", [1, 2, 3])
def test_equal_sizes(student, block, n):
    """sizes that coincide are not mixed up: n layers, n rows, n heads of n numbers, n positions at a time"""
    cache = student.KVCache(n, n, n, n, n)
    for start in range(0, 3 * n, n):
        for layer in range(n):
            k, v = (block(n, n, other=layer + 10 * x, H=n, D=n) for x in (start, start + 50))
            keys, values = cache.insert(layer, k, v)
            assert keys.shape == (n, n, start + n, n)
            assert_close(keys[:, :, start:], k, **EXACT)
            assert_close(values[:, :, start:], v, **EXACT)
    assert cache.length == 3 * n


# Expand


def test_expand(student, news, fill):
    """every row of an expanded cache holds the one row of its source, in all layers, and goes on by itself"""
    one = student.KVCache(L, 1, H, D, 7)
    fill(one, 3, other=0)
    four = one.expand(4)
    assert (four.length, four.capacity) == (3, 7)
    got = fill(four, 2, batch=4, other=10)
    assert_close(got, joined(rows(news(3, other=0), 4), news(2, 4, other=10)), **EXACT)
    assert four.length == 5


@pytest.mark.parametrize("batch", [1, 3])
def test_expanded_caches_share_nothing(student, news, fill, batch):
    """after expand, neither the source nor a second copy sees what the first copy does, and the other way round"""
    one = student.KVCache(L, 1, H, D, 8)
    fill(one, 2, other=0)
    a, b = one.expand(batch), one.expand(batch)
    start = rows(news(2, other=0), batch)
    assert_close(fill(a, 1, batch, other=10), joined(start, news(1, batch, 10)), **EXACT)
    assert (one.length, b.length) == (2, 2)
    assert_close(fill(one, 1, other=20), joined(news(2), news(1, other=20)), **EXACT)
    assert_close(fill(b, 1, batch, other=30), joined(start, news(1, batch, 30)), **EXACT)
    # now each once more: what stands at position 2 must still be its own
    assert_close(fill(one, 1, other=40), joined(news(2), news(1, other=20), news(1, other=40)), **EXACT)
    assert_close(fill(a, 1, batch, 50), joined(start, news(1, batch, 10), news(1, batch, 50)), **EXACT)
    one.reset()
    fill(one, 2, other=60)
    assert_close(fill(b, 1, batch, 70), joined(start, news(1, batch, 30), news(1, batch, 70)), **EXACT)


def test_expand_after_growth(student, news, fill):
    """an expanded cache has the capacity to which its source has grown, and grows from there"""
    one = student.KVCache(L, 1, H, D, 2)
    fill(one, 5, other=0)
    two = one.expand(2)
    grown = one.capacity
    assert two.capacity == grown
    assert_close(fill(two, grown, 2, other=10), joined(rows(news(5), 2), news(grown, 2, other=10)), **EXACT)
    assert two.length == 5 + grown
    assert two.capacity >= 2 * grown
    assert (one.length, one.capacity) == (5, grown)


def test_expand_an_empty_cache(student, news, fill):
    """an empty cache expands too, and so does the copy of a copy"""
    empty = student.KVCache(L, 1, H, D, 4).expand(3)
    assert (empty.length, empty.capacity) == (0, 4)
    assert_close(fill(empty, 2, 3, other=10), news(2, 3, other=10), **EXACT)
    one = student.KVCache(L, 1, H, D, 4)
    fill(one, 1, other=0)
    two = one.expand(1).expand(2)
    assert_close(fill(two, 1, 2, other=10), joined(rows(news(1), 2), news(1, 2, other=10)), **EXACT)


# Reset


def test_reset(student, news, fill):
    """after reset the length is 0, the room stays what it had grown to, and nothing old comes back"""
    cache = student.KVCache(L, 2, H, D, 3)
    fill(cache, 3, 2, other=0)
    fill(cache, 1, 2, other=2)
    grown = cache.capacity  # at least 6, for 4 positions
    cache.reset()
    assert (cache.length, cache.capacity) == (0, grown)
    assert_close(fill(cache, 2, 2, other=10), news(2, 2, other=10), **EXACT)
    assert_close(fill(cache, 3, 2, other=20), joined(news(2, 2, 10), news(3, 2, 20)), **EXACT)
    assert (cache.length, cache.capacity) == (5, grown)


@pytest.mark.parametrize("inserted", [1, 2])
def test_reset_in_the_middle_of_a_round(student, block, news, fill, inserted):
    """reset drops an unfinished round: layer 0 is next, with any t, and a round is a whole round again"""
    cache = student.KVCache(L, 2, H, D, 8)
    fill(cache, 2, 2, other=0)
    for layer in range(inserted):
        cache.insert(layer, block(3, 2), block(3, 2))
    cache.reset()
    assert cache.length == 0
    for layer, (k, v) in enumerate(news(1, 2, other=10)):
        assert cache.length == 0
        assert_close(cache.insert(layer, k, v), (k, v), **EXACT)
    assert cache.length == 1


# Copies and dtypes


def test_detached_copies(student, block):
    """the cache holds copies outside any graph: changing k and v later changes nothing, and no gradient is asked"""
    cache = student.KVCache(1, 2, H, D, 8)
    k, v = block(2, 2, other=0).requires_grad_(), block(2, 2, other=1).requires_grad_()
    old = k.detach().clone(), v.detach().clone()
    first = cache.insert(0, k, v)
    with torch.no_grad():
        k.fill_(7.0)
        v.fill_(7.0)
    keys, values = cache.insert(0, block(1, 2, other=2).requires_grad_(), block(1, 2, other=3))
    assert_close(keys, torch.cat([old[0], block(1, 2, other=2)], dim=2), **EXACT)
    assert_close(values, torch.cat([old[1], block(1, 2, other=3)], dim=2), **EXACT)
    for x in (*first, keys, values):
        assert not x.requires_grad, "what the cache returns should not be part of a graph"


@pytest.mark.parametrize("inserted", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("held", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_dtypes(student, block, held, inserted):
    """keys and values are converted to the cache's dtype, also after growth and in an expanded cache"""
    one = student.KVCache(1, 1, H, D, 2, dtype=held)
    k, v = block(2, other=0).to(inserted), block(2, other=1).to(inserted)
    if torch.float16 not in (held, inserted):
        k[..., 0] *= 2.0**100  # beyond float16, but not beyond the others
    assert_close(one.insert(0, k, v), (k.to(held), v.to(held)), **EXACT)
    two = one.expand(2)
    for cache, batch in ((one, 1), (two, 2)):
        new = block(1, batch, other=2).to(inserted), block(1, batch, other=3).to(inserted)
        keys, values = cache.insert(0, *new)
        assert_close(keys, torch.cat([k.repeat(batch, 1, 1, 1), new[0]], dim=2).to(held), **EXACT)
        assert_close(values, torch.cat([v.repeat(batch, 1, 1, 1), new[1]], dim=2).to(held), **EXACT)


def test_strided_inputs(student, block):
    """transposed, cut out and expanded keys and values are as good as any, and stay as they were"""
    cache = student.KVCache(1, 2, H, D, 4)
    k = torch.randn(2, 3, H, D, generator=torch.Generator().manual_seed(0)).transpose(1, 2)
    v = block(9, 1, other=1)[:, :, 2:8:2].expand(2, -1, -1, -1)
    assert_close(cache.insert(0, k, v), (k.contiguous(), v.contiguous()), **EXACT)
    keys, values = cache.insert(0, v, k)
    assert_close(keys, torch.cat([k, v], dim=2), **EXACT)
    assert_close(values, torch.cat([v, k], dim=2), **EXACT)


def test_globals_do_not_matter(student, news, fill):
    """float32 on the CPU unless told otherwise, whatever the default dtype and device are"""
    with student.odd_globals():
        one = student.KVCache(L, 1, H, D, 1)
        first = fill(one, 2, other=0)
        two = one.expand(2)
        second = fill(two, 9, 2, other=10)
    assert_close(first, news(2), **EXACT)
    assert_close(second, joined(rows(news(2), 2), news(9, 2, other=10)), **EXACT)


@pytest.mark.parametrize("story", range(4))
def test_a_long_story(student, block, news, fill, seed, story):
    """whatever the order of rounds, growth, resets and expansions, every layer gets what it has inserted"""
    rng = random.Random(seed + story)
    batch = 1 if story < 2 else 3
    cache = student.KVCache(L, batch, H, D, rng.randint(1, 4))
    held: list = []
    for step in range(25):
        event = rng.random()
        if event < 0.1:
            for layer in range(rng.randint(0, L - 1)):  # perhaps in the middle of a round
                cache.insert(layer, block(2, batch), block(2, batch))
            cache.reset()
            held = []
        elif event < 0.25 and batch == 1 and held:
            cache = cache.expand(1)
        elif event < 0.3 and batch == 1 and held:
            batch = rng.randint(2, 3)
            cache, held = cache.expand(batch), [rows(each, batch) for each in held]
        t = rng.choice([1, 1, 1, 2, 5])
        held.append(news(t, batch, other=100 * step))
        assert_close(fill(cache, t, batch, other=100 * step), joined(*held), **EXACT)
        assert cache.length == joined(*held)[0][0].shape[2]


# Bad input

NAMED = r"(?<![A-Za-z])(k|v|t)(?![A-Za-z])"  # the argument, or t


def after_a_refusal(cache: Any, t: int, done: list[tuple[Tensor, Tensor]]) -> None:
    """The cache of `refusing` goes on as if nothing had been tried: this round of t positions, and another."""
    this, last = news(t, 2, other=10), news(1, 2, other=20)
    expected = joined(news(2, 2, other=0), this)
    assert cache.length == 2, "a refused insert should leave the length alone"
    assert cache.capacity == 8, "a refused insert should leave the capacity alone"
    for layer in range(len(done), L):
        assert_close(cache.insert(layer, *this[layer]), expected[layer], **EXACT)
    assert cache.length == 2 + t
    assert_close(fill(cache, 1, 2, other=20), joined(news(2, 2, other=0), this, last), **EXACT)


def refusing(student: Any, turn: int) -> tuple[Any, list[tuple[Tensor, Tensor]]]:
    """A cache of 2 rows that holds 2 positions, with room for 8, in a round of 3 in which it is layer `turn`'s turn."""
    cache = student.KVCache(L, 2, H, D, 8)
    fill(cache, 2, 2, other=0)
    return cache, [cache.insert(layer, *news(3, 2, other=10)[layer]) for layer in range(turn)]


@pytest.mark.parametrize(
    ("turn", "layer"), [(0, 1), (0, 2), (0, -3), (0, 3), (1, 0), (1, 2), (1, -2), (2, 0), (2, 1), (2, -1), (2, 3)]
)
def test_out_of_turn(student, turn, layer):
    """an insert out of turn, or of a layer that does not exist, is refused by name and changes nothing"""
    cache, done = refusing(student, turn)
    with pytest.raises(ValueError, match="layer"):
        cache.insert(layer, block(3, 2), block(3, 2))
    after_a_refusal(cache, 3, done)


@pytest.mark.parametrize("turn", [1, 2])
@pytest.mark.parametrize("t", [1, 2, 4, 50])
def test_another_t(student, turn, t):
    """within a round every layer inserts the same t: another is refused, changes nothing, and nothing grows"""
    cache, done = refusing(student, turn)
    with pytest.raises(ValueError, match=NAMED):
        cache.insert(turn, block(t, 2), block(t, 2))
    after_a_refusal(cache, 3, done)


@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize(
    ("k", "v"),
    [
        pytest.param(block(3, 2), block(1, 2), id="v of 1 position, k of 3"),
        pytest.param(block(1, 2), block(3, 2), id="k of 1 position, v of 3"),
        pytest.param(block(3, 1), block(3, 1), id="one row for two"),
        pytest.param(block(3, 2), block(3, 1), id="v of one row"),
        pytest.param(block(3, 2, H=1), block(3, 2, H=1), id="one head for five"),
        pytest.param(block(3, 2, H=10), block(3, 2, H=10), id="heads repeated for the queries"),
        pytest.param(block(3, 2, D=1), block(3, 2, D=1), id="head_dim 1 for 4"),
        pytest.param(block(3, 2), block(3, 2, D=8), id="v of head_dim 8"),
        pytest.param(block(3, 2)[0], block(3, 2)[0], id="no batch"),
        pytest.param(block(3, 2)[:, :, 0], block(3, 2)[:, :, 0], id="no positions axis"),
        pytest.param(block(3, 2)[0, 0], block(3, 2)[0, 0], id="two axes"),
        pytest.param(block(3, 2)[None], block(3, 2)[None], id="five axes"),
        pytest.param(block(3, 2).transpose(1, 2), block(3, 2).transpose(1, 2), id="heads and positions exchanged"),
    ],
)
def test_bad_shapes(student, turn, k, v):
    """any other shape is refused by name, also where broadcasting would take it, and the round goes on"""
    cache, done = refusing(student, turn)
    with pytest.raises(ValueError, match=NAMED):
        cache.insert(turn, k, v)
    after_a_refusal(cache, 3, done)


@pytest.mark.parametrize(
    ("k", "v"),
    [
        pytest.param(block(3, 2).tolist(), block(3, 2), id="k a list"),
        pytest.param(block(3, 2), block(3, 2).tolist(), id="v a list"),
        pytest.param(block(3, 2).long(), block(3, 2).long(), id="integers"),
    ],
)
def test_bad_types(student, k, v):
    """k and v are float tensors, and anything else is refused by name"""
    cache, _ = refusing(student, 1)
    with pytest.raises((TypeError, ValueError), match=NAMED):
        cache.insert(1, k, v)


def test_layer_is_an_int(student):
    """1.0 is not a layer"""
    cache, done = refusing(student, 1)
    with pytest.raises(TypeError, match="layer"):
        cache.insert(1.0, block(3, 2), block(3, 2))
    after_a_refusal(cache, 3, done)


@pytest.mark.parametrize("name", ["n_layers", "batch", "n_kv_heads", "head_dim", "capacity"])
def test_sizes_are_ints(student, name):
    """a size of 2.0 is refused by name"""
    sizes: dict = {"n_layers": 2, "batch": 2, "n_kv_heads": 2, "head_dim": 2, "capacity": 2}
    with pytest.raises(TypeError, match=name):
        student.KVCache(**(sizes | {name: 2.0}))


@pytest.mark.parametrize(
    ("held", "batch", "error"),
    [
        (1, 0, ValueError),
        (1, -1, ValueError),
        (2, 3, ValueError),
        (2, 2, ValueError),
        (3, 1, ValueError),
        (1, 2.0, TypeError),
    ],
)
def test_bad_expand(student, held, batch, error):
    """only a cache of one row can be expanded, and only to one row or more"""
    cache = student.KVCache(L, held, H, D, 4)
    fill(cache, 2, held, other=0)
    with pytest.raises(error, match="batch"):
        cache.expand(batch)
    assert_close(fill(cache, 1, held, other=10), joined(news(2, held), news(1, held, other=10)), **EXACT)

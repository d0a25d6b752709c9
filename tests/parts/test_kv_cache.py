"""The kv_cache part against a list of tensors that is concatenated anew each time."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from reference.parts.kv_cache import KVCache

L, H, D = 3, 2, 4


def cache(batch: int = 1, capacity: int = 8, **options) -> KVCache:
    return KVCache(L, batch, H, D, capacity, **options)


def block(t: int, batch: int = 1, seed: int = 0) -> Tensor:
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn((batch, H, t, D), generator=generator, dtype=torch.float32, device="cpu")


def fill(c: KVCache, t: int, batch: int = 1, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    """One round; what each layer got back, copied."""
    got = []
    for layer in range(L):
        k, v = c.insert(layer, block(t, batch, seed + 2 * layer), block(t, batch, seed + 2 * layer + 1))
        got.append((k.clone(), v.clone()))
    return got


def test_a_round():
    """every layer gets back what it put in, and the length advances with the last layer only"""
    c = cache()
    for layer in range(L):
        assert c.length == 0
        k, v = block(3, seed=layer), block(3, seed=layer + 10)
        keys, values = c.insert(layer, k, v)
        assert torch.equal(keys, k)
        assert torch.equal(values, v)
    assert c.length == 3
    assert c.capacity == 8


@pytest.mark.parametrize("seed", range(6))
def test_against_concatenation(seed):
    """random rounds, growth and resets: each layer always gets all that was inserted since the last reset"""
    rng = random.Random(seed)
    batch = rng.randint(1, 3)
    c = cache(batch, capacity=rng.randint(1, 5))
    held: list[list[list[Tensor]]] = [[[], []] for _ in range(L)]
    for step in range(40):
        if rng.random() < 0.1:
            for layer in range(rng.randint(0, L - 1)):  # perhaps in the middle of a round
                c.insert(layer, block(2, batch), block(2, batch))
            c.reset()
            held = [[[], []] for _ in range(L)]
            assert c.length == 0
        t = rng.choice([1, 1, 2, 7])
        for layer in range(L):
            new = block(t, batch, seed=step * 10 + layer), block(t, batch, seed=step * 10 + layer + 5)
            for kind, result in enumerate(c.insert(layer, *new)):
                held[layer][kind].append(new[kind])
                assert torch.equal(result, torch.cat(held[layer][kind], dim=2))
        assert c.length == sum(x.shape[2] for x in held[0][0])
        assert c.capacity >= c.length


def test_growth():
    """an exactly full cache does not grow; one more position doubles it; a long block takes what it needs"""
    c = cache(capacity=4)
    fill(c, 4)
    assert (c.length, c.capacity) == (4, 4)
    fill(c, 1)
    assert c.length == 5
    assert c.capacity >= 8
    c = cache(capacity=4)
    fill(c, 3)
    fill(c, 20)
    assert c.length == 23
    assert c.capacity >= 23


def test_reset():
    """the length is 0, an unfinished round is forgotten, the capacity stays, and nothing old comes back"""
    c = cache(capacity=2)
    fill(c, 9)
    c.insert(0, block(1), block(1))
    grown = c.capacity
    c.reset()
    assert (c.length, c.capacity) == (0, grown)
    for (keys, values), layer in zip(fill(c, 2, seed=50), range(L), strict=True):
        assert torch.equal(keys, block(2, seed=50 + 2 * layer))
        assert torch.equal(values, block(2, seed=51 + 2 * layer))


def test_expand():
    """every row of the new cache continues the one row of the old, and they share nothing"""
    one = cache(capacity=3, dtype=torch.bfloat16)
    first = fill(one, 2)
    three = one.expand(3)
    assert isinstance(three, KVCache)
    assert (three.length, three.capacity) == (2, 3)
    second = fill(three, 2, batch=3, seed=100)
    for (k1, v1), (k2, v2), layer in zip(first, second, range(L), strict=True):
        assert k2.dtype == torch.bfloat16
        for old, new, added in ((k1, k2, 100), (v1, v2, 101)):
            assert new.shape == (3, H, 4, D)
            assert torch.equal(new[:, :, :2], old.expand(3, -1, -1, -1))
            assert torch.equal(new[:, :, 2:], block(2, 3, seed=added + 2 * layer).bfloat16())
    assert one.length == 2
    again = one.insert(0, block(1, seed=7), block(1, seed=8))[0]
    assert torch.equal(again[:, :, :2], first[0][0])


def test_rows_of_an_expanded_cache_are_independent():
    """what one row inserts, another does not see, and neither does a second expansion"""
    one = cache()
    held = fill(one, 1)
    two, other = one.expand(2), one.expand(2)
    k = block(1, 2)
    keys, _ = two.insert(0, k, k)
    assert not torch.equal(keys[0], keys[1])
    keys.zero_()
    assert torch.equal(other.insert(0, k, k)[0][:, :, :1], held[0][0].expand(2, -1, -1, -1))


def test_a_single_row_and_an_empty_cache_expand():
    """one row may become one row, of a cache of its own, and nothing may be held yet"""
    one = cache()
    copy = one.expand(1)
    assert fill(copy, 2)[0][0].shape == (1, H, 2, D)
    assert (copy.length, one.length) == (2, 0)
    empty = cache().expand(4)
    assert empty.length == 0
    assert torch.equal(fill(empty, 1, batch=4)[1][1], block(1, 4, seed=3))


def test_the_cache_holds_detached_copies():
    """changing k and v later changes nothing, and no graph is kept"""
    c = cache()
    k, v = block(2).requires_grad_(), block(2, seed=1).requires_grad_()
    expected = k.detach().clone()
    c.insert(0, k, v)
    with torch.no_grad():
        k.zero_()
    for layer in (1, 2):
        c.insert(layer, block(2), block(2))
    keys, values = c.insert(0, block(1), block(1))
    assert torch.equal(keys[:, :, :2], expected)
    assert not keys.requires_grad
    assert not values.requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_dtype(dtype):
    """keys and values are converted to the cache's dtype, whichever their own"""
    c = cache(dtype=dtype)
    k, v = block(2).bfloat16(), block(2, seed=1)
    keys, values = c.insert(0, k, v)
    assert torch.equal(keys, k.to(dtype))
    assert torch.equal(values, v.to(dtype))


def test_globals_do_not_matter(odd_globals):
    """float32 on the CPU unless asked for something else"""
    with odd_globals():
        c = cache(capacity=1)
        got = fill(c.expand(1), 3)
    assert got[2][1].dtype == torch.float32
    assert torch.equal(got[2][1], block(3, seed=5))


def test_strided_inputs():
    """(batch, t, heads, head_dim) transposed, and expanded rows"""
    c = cache(batch=2)
    k = torch.randn((2, 3, H, D), generator=torch.Generator().manual_seed(0)).transpose(1, 2)
    v = block(3).expand(2, -1, -1, -1)
    keys, values = c.insert(0, k, v)
    assert torch.equal(keys, k)
    assert torch.equal(values, v)


@pytest.mark.parametrize(
    ("insert", "error", "name"),
    [
        ((0, block(2), block(2)), ValueError, "layer"),  # layer 1 is next
        ((2, block(2), block(2)), ValueError, "layer"),
        ((3, block(2), block(2)), ValueError, "layer"),
        ((-1, block(2), block(2)), ValueError, "layer"),
        ((1.0, block(2), block(2)), TypeError, "layer"),
        ((1, block(3), block(3)), ValueError, "k"),  # the round is one of 2
        ((1, block(2), block(1)), ValueError, "v"),  # would broadcast
        ((1, block(2, 2), block(2)), ValueError, "k"),
        ((1, block(2)[:, :1], block(2)), ValueError, "k"),
        ((1, block(2), block(2)[..., :1]), ValueError, "v"),
        ((1, block(2)[0], block(2)), ValueError, "k"),
        ((1, block(2), block(2)[0]), ValueError, "v"),
        ((1, block(2).tolist(), block(2)), TypeError, "k"),
        ((1, block(2), block(2).long()), TypeError, "v"),
    ],
)
def test_bad_insert_changes_nothing(insert, error, name):
    """an insert out of turn or of another shape is refused, and the round goes on as if it had not been"""
    c, reference = cache(capacity=2), cache(capacity=2)
    for each in (c, reference):
        fill(each, 1)
        each.insert(0, block(2), block(2))
    with pytest.raises(error, match=rf"^{name} should"):
        c.insert(*insert)
    assert (c.length, c.capacity) == (reference.length, reference.capacity)
    for layer in (1, 2):
        k, v = block(2, seed=layer), block(2, seed=layer + 5)
        for ours, theirs in zip(c.insert(layer, k, v), reference.insert(layer, k, v), strict=True):
            assert torch.equal(ours, theirs)
    assert c.length == reference.length == 3


def test_bad_first_insert_changes_nothing():
    """at the beginning of a round v must match k, and a refused block does not make the cache grow"""
    c = cache(capacity=2)
    with pytest.raises(ValueError, match=r"^v should"):
        c.insert(0, block(5), block(4))
    assert (c.length, c.capacity) == (0, 2)
    assert torch.equal(fill(c, 1)[0][0], block(1))


@pytest.mark.parametrize("position", range(5))
@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (-1, ValueError), (2.0, TypeError), ("2", TypeError)])
def test_bad_sizes(position, size, error):
    """sizes are ints of at least 1, and the message names the one that is not"""
    sizes: list = [2, 2, 2, 2, 2]
    sizes[position] = size
    name = ("n_layers", "batch", "n_kv_heads", "head_dim", "capacity")[position]
    with pytest.raises(error, match=rf"^{name} should"):
        KVCache(*sizes)


@pytest.mark.parametrize("dtype", [torch.int64, "float32"])
def test_bad_dtype(dtype):
    """keys and values are floats"""
    with pytest.raises(TypeError, match=r"^dtype should"):
        cache(dtype=dtype)


@pytest.mark.parametrize(
    ("rows", "batch", "error"),
    [(1, 0, ValueError), (1, -1, ValueError), (2, 3, ValueError), (1, 2.0, TypeError)],
)
def test_bad_expand(rows, batch, error):
    """only one row can be expanded, and only to at least one"""
    with pytest.raises(error, match=r"^batch"):
        cache(rows).expand(batch)

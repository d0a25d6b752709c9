"""Wrong versions of KVCache that people write, each with what a good teacher would say."""

# ruff: noqa: N801

from __future__ import annotations

import torch
from torch import Tensor


class _Cache:
    """A right one, in steps that a mistake can replace one by one."""

    def __init__(
        self,
        n_layers: int,
        batch: int,
        n_kv_heads: int,
        head_dim: int,
        capacity: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        sizes = {"n_layers": n_layers, "batch": batch, "n_kv_heads": n_kv_heads}
        sizes |= {"head_dim": head_dim, "capacity": capacity}
        for name, size in sizes.items():
            _check_int(name, size)
        self.n_layers, self.batch, self.n_kv_heads, self.head_dim = n_layers, batch, n_kv_heads, head_dim
        self.dtype, self.device = dtype, device
        self.length, self.capacity = 0, capacity
        self.turn, self.t = 0, 0  # whose turn it is, and the t of the round under way
        self.held = self.room(capacity)  # per layer: keys and values

    def room(self, capacity: int) -> Tensor:
        shape = (self.n_layers, 2, self.batch, self.n_kv_heads, capacity, self.head_dim)
        return torch.zeros(shape, dtype=self.dtype, device=self.device)

    def insert(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        self.check(layer, k, v)
        end = self.length + k.shape[2]
        self.make_room(end)
        self.write(layer, k, v, end)
        self.advance(layer, k.shape[2])
        keys, values = self.held[layer]
        return keys[:, :, :end], values[:, :, :end]

    def check(self, layer: int, k: Tensor, v: Tensor) -> None:
        self.check_turn(layer)
        self.check_shapes(k, v)

    def check_turn(self, layer: int) -> None:
        _check_int("layer", layer)
        if layer != self.turn:
            raise ValueError(f"layer should be {self.turn}, not {layer}")

    def check_shapes(self, k: Tensor, v: Tensor) -> None:
        _check_tensors(k, v)
        t = self.t if self.turn else k.shape[2]
        for name, x in (("k", k), ("v", v)):
            if x.shape != (self.batch, self.n_kv_heads, t, self.head_dim):
                raise ValueError(f"{name} should be (batch, n_kv_heads, {t}, head_dim), not {tuple(x.shape)}")

    def make_room(self, end: int) -> None:
        if end > self.capacity:
            self.grow(max(2 * self.capacity, end))

    def grow(self, capacity: int) -> None:
        old, self.held, self.capacity = self.held, self.room(capacity), capacity
        self.held[..., : self.length, :] = old[..., : self.length, :]

    def write(self, layer: int, k: Tensor, v: Tensor, end: int) -> None:
        self.held[layer, 0, :, :, self.length : end] = k.detach()
        self.held[layer, 1, :, :, self.length : end] = v.detach()

    def advance(self, layer: int, t: int) -> None:
        self.turn, self.t = layer + 1, t
        if self.turn == self.n_layers:
            self.turn = 0
            self.length += t

    def expand(self, batch: int) -> _Cache:
        self.check_expand(batch)
        copy = self.wider(batch, self.capacity)
        copy.length = self.length
        copy.held[..., : self.length, :] = self.held[..., : self.length, :]
        return copy

    def wider(self, batch: int, capacity: int) -> _Cache:
        sizes = (self.n_layers, batch, self.n_kv_heads, self.head_dim, capacity)
        return type(self)(*sizes, dtype=self.dtype, device=self.device)

    def check_expand(self, batch: int) -> None:
        _check_int("batch", batch)
        if batch < 1 or self.batch != 1:
            raise ValueError("batch should be at least 1, and that of the source 1")

    def reset(self) -> None:
        self.length, self.turn = 0, 0


def _check_int(name: str, value: int) -> None:
    if not isinstance(value, int):
        raise TypeError(f"{name} should be an int, not {type(value).__name__}")


def _check_tensors(k: Tensor, v: Tensor) -> None:
    for name, x in (("k", k), ("v", v)):
        if not isinstance(x, Tensor) or not x.is_floating_point():
            raise TypeError(f"{name} should be a floating-point tensor")
        if x.ndim != 4:
            raise ValueError(f"{name} should have four axes")


# What comes back


class KVCache__keys_and_values_swapped(_Cache):
    """You return values where keys are due, and keys where values are."""

    def insert(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = super().insert(layer, k, v)
        return values, keys


class KVCache__keys_stored_twice(_Cache):
    """You store the keys in both places: what comes back as values are keys."""

    def write(self, layer: int, k: Tensor, v: Tensor, end: int) -> None:
        super().write(layer, k, k, end)


class KVCache__only_the_new_returned(_Cache):
    """You return what was just inserted. The new queries must see everything that is held."""

    def insert(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = super().insert(layer, k, v)
        return keys[:, :, -k.shape[2] :], values[:, :, -k.shape[2] :]


class KVCache__new_ones_not_returned(_Cache):
    """You return only what was held before. A position sees itself, so the new ones belong to it."""

    def insert(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = super().insert(layer, k, v)
        return keys[:, :, : -k.shape[2]], values[:, :, : -k.shape[2]]


class KVCache__unwritten_places_returned(_Cache):
    """You return all the room that there is. Beyond the positions held lie places that nobody has written to, and
    attention would weigh them like any other."""

    def insert(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        super().insert(layer, k, v)
        keys, values = self.held[layer]
        return keys, values


# Where it is written


class KVCache__always_written_at_the_start(_Cache):
    """Every round is written to position 0 onwards: the new tokens overwrite the first ones."""

    def write(self, layer: int, k: Tensor, v: Tensor, end: int) -> None:
        self.held[layer, 0, :, :, : k.shape[2]] = k.detach()
        self.held[layer, 1, :, :, : k.shape[2]] = v.detach()


class KVCache__layers_share_one_place(_Cache):
    """All layers write to the same place, so that the last one overwrites the others."""

    def insert(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        super().insert(layer, k, v)
        end = self.length + k.shape[2] * (layer + 1 < self.n_layers)
        keys, values = self.held[0]
        return keys[:, :, :end], values[:, :, :end]

    def write(self, layer: int, k: Tensor, v: Tensor, end: int) -> None:
        super().write(0, k, v, end)


class KVCache__newest_first(_Cache):
    """You put new positions in front of the old ones. Queries are taken to be the last positions, so keys must stand in
    the order of the text."""

    def insert(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = super().insert(layer, k, v)
        t = k.shape[2]
        return keys.roll(t, dims=2), values.roll(t, dims=2)


# When the length advances


class KVCache__advances_with_every_layer(_Cache):
    """Your length advances with every layer, so the second layer writes behind the first one's positions. All layers of
    a round write to the same ones."""

    def advance(self, layer: int, t: int) -> None:
        self.turn, self.t = (layer + 1) % self.n_layers, t
        self.length += t


class KVCache__advances_with_the_first_layer(_Cache):
    """Your length advances when the first layer has inserted; the others of the round then write t positions too
    late."""

    def advance(self, layer: int, t: int) -> None:
        self.turn, self.t = (layer + 1) % self.n_layers, t
        if layer == 0:
            self.length += t


class KVCache__advances_by_one(_Cache):
    """Your length advances by 1, however many positions were inserted. A prompt comes as one block of many."""

    def advance(self, layer: int, t: int) -> None:
        self.turn, self.t = (layer + 1) % self.n_layers, t
        if self.turn == 0:
            self.length += 1


# Room


class KVCache__grows_when_full(_Cache):
    """You grow as soon as the cache is full. It may be full; only one position more needs new room."""

    def make_room(self, end: int) -> None:
        if end >= self.capacity:
            self.grow(max(2 * self.capacity, end))


class KVCache__grows_by_what_is_missing(_Cache):
    """You grow by no more than what is missing. Then every further token copies everything again, and n tokens cost n^2
    copies; with at least a doubling they cost 2n."""

    def make_room(self, end: int) -> None:
        if end > self.capacity:
            self.grow(end)


class KVCache__doubles_and_no_more(_Cache):
    """You double once, whatever comes. A block longer than all the room, such as a prompt, needs more than that."""

    def make_room(self, end: int) -> None:
        if end > self.capacity:
            self.grow(2 * self.capacity)


class KVCache__growth_forgets(_Cache):
    """You make more room and leave in the old one what was held."""

    def grow(self, capacity: int) -> None:
        self.held, self.capacity = self.room(capacity), capacity


class KVCache__growth_keeps_layer_0_only(_Cache):
    """When you grow, you carry over the layer that is inserting. The others held something too."""

    def grow(self, capacity: int) -> None:
        old, self.held, self.capacity = self.held, self.room(capacity), capacity
        self.held[0][..., : self.length, :] = old[0][..., : self.length, :]


class KVCache__forgets_the_oldest(_Cache):
    """Where there is no more room, you drop the oldest positions. Nothing may get lost: the cache must grow."""

    def insert(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        self.check(layer, k, v)
        new = torch.stack([k, v]).detach().to(self.dtype)
        kept = torch.cat([self.held[layer, ..., : self.length, :], new], dim=-2)[..., -self.capacity :, :]
        end = kept.shape[-2]
        self.held[layer, ..., :end, :] = kept
        self.turn, self.t = (layer + 1) % self.n_layers, k.shape[2]
        if self.turn == 0:
            self.length = end
        keys, values = self.held[layer]
        return keys[:, :, :end], values[:, :, :end]


class KVCache__refuses_to_grow(_Cache):
    """You refuse what does not fit. The capacity is where the cache begins, not where it ends."""

    def make_room(self, end: int) -> None:
        if end > self.capacity:
            raise ValueError(f"the cache is full: k ends at {end}, the capacity is {self.capacity}")


# Expand


class KVCache__expanded_rows_share_memory(_Cache):
    """You expand with torch's expand, or with the same tensor: all rows, and the source, are one memory. What one row
    writes, the others would see."""

    def expand(self, batch: int) -> _Cache:
        self.check_expand(batch)
        copy = self.wider(batch, self.capacity)
        copy.length, copy.held = self.length, self.held.expand(-1, -1, batch, -1, -1, -1)
        return copy


class KVCache__expand_forgets_the_length(_Cache):
    """Your expanded cache believes that it is empty: the length was not taken over."""

    def expand(self, batch: int) -> _Cache:
        copy = super().expand(batch)
        copy.length = 0
        return copy


class KVCache__expand_copies_layer_0_only(_Cache):
    """You copy the first layer only; the prompt is held by all of them."""

    def expand(self, batch: int) -> _Cache:
        copy = super().expand(batch)
        copy.held[1:] = 0
        return copy


class KVCache__expand_drops_spare_room(_Cache):
    """Your expanded cache has room for what is held and no more. It should have the capacity of its source."""

    def expand(self, batch: int) -> _Cache:
        copy = super().expand(batch)
        copy.capacity = max(1, self.length)
        copy.held = copy.held[..., : copy.capacity, :].clone()
        return copy


class KVCache__expand_in_float32(_Cache):
    """Your expanded cache is float32, whatever its source was."""

    def wider(self, batch: int, capacity: int) -> _Cache:
        return type(self)(self.n_layers, batch, self.n_kv_heads, self.head_dim, capacity, device=self.device)


class KVCache__expand_takes_the_first_of_many(_Cache):
    """You expand a cache of several rows and silently take one of them. Which one was meant? That is an error."""

    def check_expand(self, batch: int) -> None:
        _check_int("batch", batch)
        if batch < 1:
            raise ValueError(f"batch should be at least 1, not {batch}")

    def expand(self, batch: int) -> _Cache:
        self.check_expand(batch)
        copy = self.wider(batch, self.capacity)
        copy.length = self.length
        copy.held[..., : self.length, :] = self.held[:, :, :1, :, : self.length]
        return copy


# Reset


class KVCache__reset_keeps_the_length(_Cache):
    """Your reset wipes the memory and leaves the length where it was."""

    def reset(self) -> None:
        self.held = self.room(self.capacity)
        self.turn = 0


class KVCache__reset_keeps_the_round(_Cache):
    """Your reset forgets the positions, but not whose turn it was: after an unfinished round layer 0 is refused."""

    def reset(self) -> None:
        self.length = 0


class KVCache__reset_shrinks(_Cache):
    """Your reset goes back to the first capacity. The room is there already; the next conversation can use it."""

    def __init__(
        self,
        n_layers: int,
        batch: int,
        n_kv_heads: int,
        head_dim: int,
        capacity: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(n_layers, batch, n_kv_heads, head_dim, capacity, dtype, device)
        self.first_capacity = capacity

    def reset(self) -> None:
        super().reset()
        self.capacity = self.first_capacity
        self.held = self.room(self.capacity)


# What is refused


class KVCache__any_turn_accepted(_Cache):
    """You accept any layer at any time. A layer that is skipped or comes twice leaves the layers with different
    positions, and nobody is told."""

    def check_turn(self, layer: int) -> None:
        _check_int("layer", layer)
        if not 0 <= layer < self.n_layers:
            raise ValueError(f"layer should be 0 .. {self.n_layers - 1}, not {layer}")


class KVCache__negative_layers_accepted(_Cache):
    """You let layer -1 pass for the last one, as lists do. There is no such layer."""

    def insert(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        if isinstance(layer, int) and -self.n_layers <= layer < 0:
            layer += self.n_layers
        return super().insert(layer, k, v)


class KVCache__another_t_accepted(_Cache):
    """You let a layer insert another number of positions than the first one of the round. The layers would then hold
    different numbers of positions, and there is only one length."""

    def check_shapes(self, k: Tensor, v: Tensor) -> None:
        _check_tensors(k, v)
        for name, x in (("k", k), ("v", v)):
            if x.shape != (self.batch, self.n_kv_heads, k.shape[2], self.head_dim):
                raise ValueError(f"{name} should be (batch, n_kv_heads, t, head_dim), not {tuple(x.shape)}")


class KVCache__grows_before_it_refuses(_Cache):
    """You make room first and refuse afterwards: an insert that fails must leave everything as it was, the capacity
    too."""

    def check(self, layer: int, k: Tensor, v: Tensor) -> None:
        self.check_turn(layer)
        _check_tensors(k, v)
        self.make_room(self.length + k.shape[2])
        self.check_shapes(k, v)


class KVCache__a_refused_insert_counts(_Cache):
    """You count the turn before you have checked what was inserted: after a refused insert the layer cannot try
    again."""

    def check(self, layer: int, k: Tensor, v: Tensor) -> None:
        self.check_turn(layer)
        try:
            self.check_shapes(k, v)
        except (TypeError, ValueError):
            self.advance(layer, self.t)
            raise


class KVCache__broadcast_accepted(_Cache):
    """You leave the check of the shapes to the assignment, which broadcasts: one row, one head or one position would
    fill them all."""

    def check_shapes(self, k: Tensor, v: Tensor) -> None:
        _check_tensors(k, v)
        t = self.t if self.turn else k.shape[2]
        if k.shape[2] != t:
            raise ValueError(f"k should have the {t} positions of this round, not {k.shape[2]}")

    def write(self, layer: int, k: Tensor, v: Tensor, end: int) -> None:
        try:
            super().write(layer, k, v, end)
        except RuntimeError as error:  # what does not even broadcast
            raise ValueError(f"k and v should fit: {error}") from error


# Copies and dtypes


class KVCache__graph_kept(_Cache):
    """You store k and v with the graph that made them. The cache then holds on to every step's graph, and wants
    gradients."""

    def write(self, layer: int, k: Tensor, v: Tensor, end: int) -> None:
        self.held = self.held.clone()
        self.held[layer, 0, :, :, self.length : end] = k
        self.held[layer, 1, :, :, self.length : end] = v


class KVCache__dtype_ignored(_Cache):
    """You ignore the dtype that was asked for: the room is always float32."""

    def room(self, capacity: int) -> Tensor:
        return super().room(capacity).float()


class KVCache__dtype_of_what_comes(_Cache):
    """You keep the dtype of what is inserted. The cache was made for one dtype, and converts."""

    def insert(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        self.check(layer, k, v)
        self.dtype = k.dtype
        self.held = self.held.to(k.dtype)
        return super().insert(layer, k, v)

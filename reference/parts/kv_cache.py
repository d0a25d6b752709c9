"""Part 08: the cache of keys and values, by which a new token costs one position of work, not all of them."""

from __future__ import annotations

import torch
from torch import Tensor


class KVCache:
    """Keys and values of all positions so far, for every layer of a model.

    One forward pass is a round: the layers insert in order, each the same number t of new positions, and only
    after the last one has done so do the positions count.

    Attributes:
        length: positions held, the same for all layers; advances when a round ends.
        capacity: positions for which there is room; grows when needed.
    """

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
        """An empty cache.

        Raises:
            TypeError: a size is not an int, or dtype not a floating-point torch.dtype.
            ValueError: a size is below 1.
        """
        shape = (n_layers, 2, batch, n_kv_heads, capacity, head_dim)  # 2: keys, values
        names = ("n_layers", "", "batch", "n_kv_heads", "capacity", "head_dim")
        for name, size in zip(names, shape, strict=True):
            _check_size(name, size)
        if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
            raise TypeError(f"dtype should be a floating-point torch.dtype, not {dtype!r}")
        self.length = 0
        self._next_layer = 0
        self._t = 0  # the number of positions of the round under way
        self._hold(torch.empty(shape, dtype=dtype, device=device))

    def _hold(self, held: Tensor) -> None:
        self._held = held
        self._layers = [layer.unbind() for layer in held]  # of each its keys and its values

    @property
    def capacity(self) -> int:
        return self._held.shape[4]

    def insert(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store a layer's keys and values at positions length .. length + t - 1.

        Args:
            layer: 0 .. n_layers - 1, in this order, again and again.
            k, v: (batch, n_kv_heads, t, head_dim), any float dtype; t as at layer 0. They are copied.

        Returns:
            all keys and all values of the layer, (batch, n_kv_heads, length + t, head_dim) each, in the
            cache's dtype: views of the cache, to be read only, valid until the next insert or reset.

        Raises:
            TypeError: layer is not an int, or k or v not a floating-point tensor.
            ValueError: another layer's turn, or any other shape; nothing was changed.
        """
        self._check_insert(layer, k, v)
        end = self.length + k.shape[2]
        if end > self.capacity:
            self._grow(max(2 * self.capacity, end))  # doubling moves each position about once on average
        keys, values = self._layers[layer]  # (batch, n_kv_heads, capacity, head_dim)
        keys.narrow(2, self.length, k.shape[2]).copy_(k.detach())
        values.narrow(2, self.length, k.shape[2]).copy_(v.detach())
        self._next_layer, self._t = layer + 1, k.shape[2]
        if self._next_layer == len(self._layers):
            self._next_layer, self.length = 0, end
        return keys.narrow(2, 0, end), values.narrow(2, 0, end)

    def expand(self, batch: int) -> KVCache:
        """A new cache of `batch` rows, each a copy of this one's single row: one prompt, many continuations.

        Raises:
            TypeError: batch is not an int.
            ValueError: batch is below 1, or this cache has more than one row.
        """
        _check_size("batch", batch)
        n_layers, _, rows, n_kv_heads, capacity, head_dim = self._held.shape
        if rows != 1:
            raise ValueError(f"batch of the cache to expand should be 1, not {rows}")
        copy = KVCache(n_layers, batch, n_kv_heads, head_dim, capacity, self._held.dtype, self._held.device)
        copy.length = self.length
        copy._held[..., : self.length, :] = self._held[..., : self.length, :]
        return copy

    def reset(self) -> None:
        """Forget everything, an unfinished round included; the capacity stays."""
        self.length = 0
        self._next_layer = 0

    def _grow(self, capacity: int) -> None:
        held = self._held
        self._hold(held.new_empty(*held.shape[:4], capacity, held.shape[5]))
        self._held[..., : self.length, :] = held[..., : self.length, :]

    def _check_insert(self, layer: int, k: Tensor, v: Tensor) -> None:
        if not isinstance(layer, int):
            raise TypeError(f"layer should be an int, not {type(layer).__name__}")
        if layer != self._next_layer:
            raise ValueError(f"layer should be {self._next_layer}, whose turn it is, not {layer}")
        for name, tensor in (("k", k), ("v", v)):
            if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
                raise TypeError(f"{name} should be a floating-point tensor")
            if tensor.ndim != 4:
                raise ValueError(f"{name} should have four axes, not {tensor.ndim}")
        _, _, batch, n_kv_heads, _, head_dim = self._held.shape
        due = (batch, n_kv_heads, self._t if layer > 0 else k.shape[2], head_dim)
        for name, tensor in (("k", k), ("v", v)):
            if tensor.shape != due:
                raise ValueError(
                    f"{name} should be (batch, n_kv_heads, t, head_dim) = {due}, not {tuple(tensor.shape)}"
                )


def _check_size(name: str, size: int) -> None:
    if not isinstance(size, int):
        raise TypeError(f"{name} should be an int, not {type(size).__name__}")
    if size < 1:
        raise ValueError(f"{name} should be at least 1, not {size}")

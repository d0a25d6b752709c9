"""Kata 08: the KV cache. The lesson is katas/kv_cache/README.md."""

from __future__ import annotations

import torch
from torch import Tensor


class KVCache:
    """Keys and values of all positions so far, for every layer of a model.

    One forward pass is a round: the layers insert in order 0 .. n_layers - 1, each the same number t of new positions,
    and only after the last one has done so do the positions count.

    Attributes:
        length: positions held, the same for all layers; advances by t when a round ends.
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
        """An empty cache: length 0, room for `capacity` positions.

        Raises:
            TypeError: a size is not an int.
        """
        raise NotImplementedError("kata 08 kv_cache: write KVCache(); the lesson is katas/kv_cache/README.md")

    def insert(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store a layer's keys and values at positions length .. length + t - 1.

        When length + t > capacity, capacity becomes at least max(2 * capacity, length + t), and what was held is kept.

        Args:
            layer: 0 .. n_layers - 1, in this order, round after round.
            k, v: (batch, n_kv_heads, t, head_dim), float32, float16 or bfloat16; t as at layer 0. The cache holds
                detached copies, converted to its own dtype.

        Returns:
            all keys and all values of that layer, (batch, n_kv_heads, length + t, head_dim) each: possibly views of
            the cache, to be read only, valid until the next insert or reset.

        Raises:
            TypeError: layer is not an int, or k or v not a floating-point tensor.
            ValueError: another layer's turn, no such layer, another t, or any other shape. Nothing has changed.
        """
        raise NotImplementedError("kata 08 kv_cache: write KVCache.insert(); the lesson is katas/kv_cache/README.md")

    def expand(self, batch: int) -> KVCache:
        """A new cache of `batch` rows, each a copy of this one's single row; nothing is shared.

        Returns:
            a cache of the same length, capacity, dtype and device.

        Raises:
            TypeError: batch is not an int.
            ValueError: batch is below 1, or this cache has more than one row.
        """
        raise NotImplementedError("kata 08 kv_cache: write KVCache.expand(); the lesson is katas/kv_cache/README.md")

    def reset(self) -> None:
        """Forget everything: length 0, an unfinished round dropped, layer 0 next. The capacity stays."""
        raise NotImplementedError("kata 08 kv_cache: write KVCache.reset(); the lesson is katas/kv_cache/README.md")

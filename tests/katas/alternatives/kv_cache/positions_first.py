"""One tensor per layer with the positions as first axis, so that new ones lie behind the old; views are permuted."""

from __future__ import annotations

import torch
from torch import Tensor


class KVCache:
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
        sizes = (n_layers, batch, n_kv_heads, head_dim, capacity)
        for name, size in zip(("n_layers", "batch", "n_kv_heads", "head_dim", "capacity"), sizes, strict=True):
            if not isinstance(size, int) or isinstance(size, bool):
                raise TypeError(f"{name}: an int is due, not {size!r}")
        self.length = 0
        self.options = {"dtype": dtype, "device": device}
        self.next = 0
        self.t: int | None = None
        self.layers = [torch.empty(capacity, 2, batch, n_kv_heads, head_dim, **self.options) for _ in range(n_layers)]

    @property
    def capacity(self) -> int:
        return self.layers[0].shape[0]

    def insert(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        t = self._refuse(layer, k, v)
        start, end = self.length, self.length + t
        if end > self.capacity:
            more = max(self.capacity, end - self.capacity)
            self.layers = [torch.cat([x, torch.empty_like(x[:1]).repeat(more, 1, 1, 1, 1)]) for x in self.layers]
        with torch.no_grad():
            new = torch.stack([k.to(**self.options), v.to(**self.options)]).permute(3, 0, 1, 2, 4)
            self.layers[layer][start:end].copy_(new)
        self.next, self.t = layer + 1, t
        if self.next == len(self.layers):
            self.next, self.t, self.length = 0, None, end
        both = self.layers[layer][:end].permute(1, 2, 3, 0, 4)  # (2, batch, heads, end, dim)
        return both[0], both[1]

    def _refuse(self, layer: int, k: Tensor, v: Tensor) -> int:
        if not isinstance(layer, int):
            raise TypeError(f"layer: an int is due, not {layer!r}")
        if layer != self.next:
            raise ValueError(f"layer: {self.next} is due, not {layer}")
        _, _, batch, heads, dim = self.layers[0].shape
        for name, x in (("k", k), ("v", v)):
            if not isinstance(x, Tensor) or not torch.is_floating_point(x):
                raise TypeError(f"{name}: a tensor of floats is due")
        t = k.shape[2] if k.ndim == 4 else -1
        for name, x in (("k", k), ("v", v)):
            if tuple(x.shape) != (batch, heads, t, dim):
                raise ValueError(f"{name}: ({batch}, {heads}, t, {dim}) is due, not {tuple(x.shape)}")
        if self.t not in (None, t):
            raise ValueError(f"k: {self.t} positions are due in this round, not {t}")
        return t

    def expand(self, batch: int) -> KVCache:
        if not isinstance(batch, int):
            raise TypeError(f"batch: an int is due, not {batch!r}")
        if batch <= 0:
            raise ValueError(f"batch: at least 1 is due, not {batch}")
        capacity, _, rows, heads, dim = self.layers[0].shape
        if rows != 1:
            raise ValueError(f"a cache of batch 1 can be expanded, not one of {rows}")
        new = KVCache(len(self.layers), batch, heads, dim, capacity, **self.options)
        new.layers = [x.repeat_interleave(batch, dim=2) for x in self.layers]
        new.length = self.length
        return new

    def reset(self) -> None:
        self.length, self.next, self.t = 0, 0, None

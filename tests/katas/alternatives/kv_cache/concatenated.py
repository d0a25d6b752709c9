"""No room at all: everything is joined anew at every insert, and the capacity is a number that is kept for show."""

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
        names = ("n_layers", "batch", "n_kv_heads", "head_dim", "capacity")
        for name, value in zip(names, (n_layers, batch, n_kv_heads, head_dim, capacity), strict=True):
            if type(value) is not int:
                raise TypeError(f"{name} must be an int, not {value!r}")
            if value < 1:
                raise ValueError(f"{name} must be positive, not {value}")
        self.length, self.capacity = 0, capacity
        self.dtype, self.device = dtype, torch.device(device)
        self._shape = (batch, n_kv_heads, head_dim)
        self._layers = [self._empty() for _ in range(n_layers)]
        self._round: list[tuple[Tensor, Tensor]] = []  # what the layers of the round under way will hold

    def _empty(self) -> tuple[Tensor, Tensor]:
        batch, heads, dim = self._shape
        nothing = torch.zeros(batch, heads, 0, dim, dtype=self.dtype, device=self.device)
        return nothing, nothing

    def insert(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        if type(layer) is not int:
            raise TypeError("layer must be an int")
        if layer not in range(len(self._layers)) or layer != len(self._round):
            raise ValueError(f"layer must be {len(self._round)} now, not {layer}")
        batch, heads, dim = self._shape
        for name, x in {"k": k, "v": v}.items():
            if not isinstance(x, Tensor) or not x.dtype.is_floating_point:
                raise TypeError(f"{name} must be a float tensor")
            if x.ndim != 4 or (x.shape[0], x.shape[1], x.shape[3]) != (batch, heads, dim):
                raise ValueError(f"{name} must be ({batch}, {heads}, t, {dim}), not {tuple(x.shape)}")
        if k.shape[2] != v.shape[2]:
            raise ValueError("k and v must hold equally many positions")
        t = k.shape[2]
        if self._round and self._round[0][0].shape[2] != self.length + t:
            raise ValueError(f"t must be {self._round[0][0].shape[2] - self.length} in this round, not {t}")
        old = self._layers[layer]
        new = tuple(torch.cat([a, b.detach().to(a)], dim=2) for a, b in zip(old, (k, v), strict=True))
        self._round.append(new)
        if self.length + t > self.capacity:
            self.capacity = max(2 * self.capacity, self.length + t)
        if len(self._round) == len(self._layers):
            self._layers, self._round = self._round, []
            self.length += t
        return new

    def expand(self, batch: int) -> KVCache:
        if type(batch) is not int:
            raise TypeError("batch must be an int")
        rows, heads, dim = self._shape
        if batch < 1:
            raise ValueError("batch must be positive")
        if rows != 1:
            raise ValueError("only a cache of batch 1 can be expanded")
        wide = KVCache(len(self._layers), batch, heads, dim, self.capacity, self.dtype, self.device)
        wide.length = self.length
        wide._layers = [(k.repeat(batch, 1, 1, 1), v.repeat(batch, 1, 1, 1)) for k, v in self._layers]
        return wide

    def reset(self) -> None:
        self.length, self._round = 0, []
        self._layers = [self._empty() for _ in self._layers]

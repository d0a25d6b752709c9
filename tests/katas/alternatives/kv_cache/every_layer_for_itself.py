"""A small object per layer that looks after its own room; the cache only keeps the turns."""

from __future__ import annotations

import copy

import torch
from torch import Tensor


class _Layer:
    def __init__(self, shape: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device | str) -> None:
        self.k = torch.zeros(shape, dtype=dtype, device=device)
        self.v = torch.zeros_like(self.k, device=device)

    def put(self, start: int, k: Tensor, v: Tensor, capacity: int) -> tuple[Tensor, Tensor]:
        missing = capacity - self.k.shape[2]
        if missing > 0:
            self.k = torch.nn.functional.pad(self.k, (0, 0, 0, missing))
            self.v = torch.nn.functional.pad(self.v, (0, 0, 0, missing))
        end = start + k.shape[2]
        self.k.data[:, :, start:end] = k.data
        self.v.data[:, :, start:end] = v.data
        return self.k.narrow(2, 0, end).clone(), self.v.narrow(2, 0, end).clone()


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
        for name, x in list(locals().items())[1:6]:
            if not isinstance(x, int):
                raise TypeError(f"{name} has to be an int")
            if x < 1:
                raise ValueError(f"{name} has to be 1 or more")
        self.layers = [_Layer((batch, n_kv_heads, capacity, head_dim), dtype, device) for _ in range(n_layers)]
        self.shape = (batch, n_kv_heads, head_dim)
        self.capacity = capacity
        self.length = 0
        self.waiting = list(range(n_layers))
        self.t = 0

    def insert(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        if not isinstance(layer, int):
            raise TypeError("layer has to be an int")
        if layer != self.waiting[0]:
            raise ValueError(f"layer has to be {self.waiting[0]}")
        if not (isinstance(k, Tensor) and isinstance(v, Tensor)):
            raise TypeError("k and v have to be tensors")
        if not (k.is_floating_point() and v.is_floating_point()):
            raise TypeError("k and v have to hold floats")
        if k.shape != v.shape or k.ndim != 4 or (k.shape[0], k.shape[1], k.shape[3]) != self.shape:
            raise ValueError("k and v have to be (batch, n_kv_heads, t, head_dim)")
        if layer and k.shape[2] != self.t:
            raise ValueError(f"t has to be {self.t} in this round")
        self.t = k.shape[2]
        if self.length + self.t > self.capacity:
            self.capacity = max(self.capacity * 2, self.length + self.t)
        held = self.layers[layer].put(self.length, k, v, self.capacity)
        del self.waiting[0]
        if not self.waiting:
            self.waiting = list(range(len(self.layers)))
            self.length += self.t
        return held

    def expand(self, batch: int) -> KVCache:
        if not isinstance(batch, int):
            raise TypeError("batch has to be an int")
        if self.shape[0] != 1 or batch < 1:
            raise ValueError("batch has to be 1 in the source and 1 or more in the copy")
        other = copy.deepcopy(self)
        other.shape = (batch, *self.shape[1:])
        for layer in other.layers:
            layer.k, layer.v = (torch.cat([x] * batch) for x in (layer.k, layer.v))
        return other

    def reset(self) -> None:
        self.length = 0
        self.waiting = list(range(len(self.layers)))

"""Every inserted block is kept as a piece of its own, in a list per layer, and joined when it is asked for."""

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
        for name in ("n_layers", "batch", "n_kv_heads", "head_dim", "capacity"):
            if not isinstance(locals()[name], int):
                raise TypeError(f"{name} should be an int")
        self.n_layers, self.batch, self.heads, self.dim = n_layers, batch, n_kv_heads, head_dim
        self.capacity, self.dtype, self.device = capacity, dtype, device
        self.reset()

    def reset(self) -> None:
        self.pieces: list[list[tuple[Tensor, Tensor]]] = [[] for _ in range(self.n_layers)]

    @property
    def length(self) -> int:
        return sum(k.shape[2] for k, _ in self.pieces[-1])  # what the last layer holds, every layer holds

    def insert(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        if isinstance(layer, float):
            raise TypeError("layer should be an int")
        rounds = [len(pieces) for pieces in self.pieces]
        turn = rounds.index(min(rounds))
        if layer != turn:
            raise ValueError(f"layer {layer} is out of turn, {turn} is next")
        for name, x in (("k", k), ("v", v)):
            if not torch.is_tensor(x):
                raise TypeError(f"{name} is no tensor")
            if not x.is_floating_point():
                raise ValueError(f"{name} holds no floats")
            if x.ndim != 4 or x.shape[2] != k.shape[2]:
                raise ValueError(f"{name} has a bad shape")
            if x.shape[:2] != (self.batch, self.heads) or x.shape[3] != self.dim:
                raise ValueError(f"{name} has a bad shape")
        if turn > 0 and k.shape[2] != self.pieces[0][-1][0].shape[2]:
            raise ValueError("t differs from that of layer 0")
        needed = self.length + k.shape[2]
        self.pieces[layer].append(tuple(x.detach().to(self.device, self.dtype, copy=True) for x in (k, v)))
        if needed > self.capacity:
            self.capacity = max(needed, self.capacity * 3)  # at least double
        keys, values = zip(*self.pieces[layer], strict=True)
        return torch.cat(keys, dim=2), torch.cat(values, dim=2)

    def expand(self, batch: int) -> KVCache:
        if not isinstance(batch, int):
            raise TypeError("batch should be an int")
        if batch < 1 or self.batch > 1:
            raise ValueError("batch should be at least 1, and a source should have one row")
        copy = KVCache(self.n_layers, batch, self.heads, self.dim, self.capacity, self.dtype, self.device)
        copy.pieces = [
            [tuple(x.expand(batch, -1, -1, -1).contiguous().clone() for x in piece) for piece in pieces]
            for pieces in self.pieces
        ]
        return copy

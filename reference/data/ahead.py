"""The next batches made, and on their way to the device, while the device is busy with those before."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Loader(Protocol):
    """Batches of two tensors, and where the next begins, JSON."""

    position: dict

    def next_batch(self) -> tuple[Tensor, Tensor]: ...


class Ahead:
    """A loader's batches on a device, `count` at a time: `take` them, start the work on them, then `fetch` the next.

    `position` is where the batches begin that `take` gives next: what has been fetched and not taken is not used up.
    """

    def __init__(self, loader: Loader, device: torch.device, count: int = 1) -> None:
        self._loader, self._device, self._count = loader, device, count
        self.fetch()

    def fetch(self) -> None:
        self.position = self._loader.position
        loaded = [self._loader.next_batch() for _ in range(self._count)]
        self._batches = [(self._sent(one), self._sent(other)) for one, other in loaded]

    def take(self) -> list[tuple[Tensor, Tensor]]:
        """What the loader gave, on the device."""
        return self._batches

    def _sent(self, tensor: Tensor) -> Tensor:
        if self._device.type != "cuda":
            return tensor.to(self._device)
        return tensor.pin_memory().to(self._device, non_blocking=True)  # from pinned memory nobody has to wait

"""The next batch made, and on its way to the device, while the device is busy with the one before."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Loader(Protocol):
    """Batches of two tensors, and where the next begins, JSON."""

    position: dict

    def next_batch(self) -> tuple[Tensor, Tensor]: ...


class Ahead:
    """A loader's batches on a device: `take` one, start the work on it, then `fetch` the next.

    `position` is where the batch begins that `take` gives next: what has been fetched and not taken is not used up.
    """

    def __init__(self, loader: Loader, device: torch.device) -> None:
        self._loader, self._device = loader, device
        self.fetch()

    def fetch(self) -> None:
        self.position = self._loader.position
        one, other = self._loader.next_batch()
        self._batch = self._sent(one), self._sent(other)

    def take(self) -> tuple[Tensor, Tensor]:
        """What the loader gave, on the device."""
        return self._batch

    def _sent(self, tensor: Tensor) -> Tensor:
        if self._device.type != "cuda":
            return tensor.to(self._device)
        return tensor.pin_memory().to(self._device, non_blocking=True)  # from pinned memory nobody has to wait

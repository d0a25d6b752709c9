"""The next batch made, and on its way to the device, while the device is busy with the one before."""

from __future__ import annotations

import torch
from torch import Tensor

from reference.data.loader import TokenLoader


class Ahead:
    """A loader's batches on a device: `take` one, start the work on it, then `fetch` the next.

    `position` is where the batch begins that `take` gives next: what has been fetched and not taken is not used up.
    """

    def __init__(self, loader: TokenLoader, device: torch.device) -> None:
        self._loader, self._device = loader, device
        self.fetch()

    def fetch(self) -> None:
        self.position = self._loader.position
        inputs, targets = self._loader.next_batch()
        self._batch = self._sent(inputs), self._sent(targets)

    def take(self) -> tuple[Tensor, Tensor]:
        """Inputs and targets, (B, T) int64 on the device."""
        return self._batch

    def _sent(self, tensor: Tensor) -> Tensor:
        if self._device.type != "cuda":
            return tensor.to(self._device)
        return tensor.pin_memory().to(self._device, non_blocking=True)  # from pinned memory nobody has to wait

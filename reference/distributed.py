"""Many processes that train one model: who this one is among them, and what they tell one another.

`torchrun --nproc_per_node=8 -m reference ...` starts one process per GPU; each finds its place in the environment.
A `World` of size 1, the default everywhere, is a process alone, and then nothing here communicates.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from reference.errors import UserError

PATIENCE = timedelta(minutes=30)  # rank 0 may evaluate or write for so long while the others wait


class PeerLost(UserError):
    """Another process of the world has ended or does not answer."""

    is_echo = True


@dataclass(frozen=True)
class World:
    """Process `rank` of `size`, all of which call the methods below in the same order."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @property
    def is_main(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.rank == 0

    def sum(self, *values: float) -> list[float]:
        """The sums over all processes, in float64."""
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        with peers_needed():
            dist.all_reduce(tensor)
            return tensor.tolist()

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """The means over all processes, by name; NaN wherever one process has NaN."""
        if self.size == 1 or not values:
            return values
        return {name: total / self.size for name, total in zip(values, self.sum(*values.values()), strict=True)}

    def barrier(self) -> None:
        """Wait until all processes are here."""
        self.sum(0)

    def gather(self, value: Any) -> list[Any]:
        """The JSON-like values of all processes, by rank, in every process."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        with peers_needed():
            dist.all_gather_object(values, value)
        return values

    def reduce_scatter(self, rows: Tensor) -> tuple[Tensor, dist.Work]:
        """Start to sum (n, ...) tensors over all processes, of which each gets its rows of `shares(n)`.

        Returns:
            the rows (ceil(n / size), ...), whose values are there once the work has been waited for.
        """
        rows = self._padded(rows)
        mine = rows.new_empty(len(rows) // self.size, *rows.shape[1:])
        return mine, _begun(dist.reduce_scatter_tensor(mine, rows, async_op=True))

    def all_gather(self, mine: Tensor) -> tuple[Tensor, dist.Work]:
        """The opposite: start to put the rows of all processes below one another, (size * rows, ...)."""
        rows = mine.new_empty(self.size * len(mine), *mine.shape[1:])
        return rows, _begun(dist.all_gather_into_tensor(rows, mine.contiguous(), async_op=True))

    def share(self, rows: Tensor) -> Tensor:
        """This process' part of (n, ...) rows, (ceil(n / size), ...), zeros where they do not divide evenly."""
        return self._padded(rows).tensor_split(self.size)[self.rank]

    def _padded(self, rows: Tensor) -> Tensor:
        missing = -len(rows) % self.size
        return F.pad(rows, (0, 0) * (rows.ndim - 1) + (0, missing)) if missing else rows.contiguous()


ALONE = World()


def _begun(work: dist.Work | None) -> dist.Work:
    assert work is not None, "only a process outside of the group gets none"
    return work


@contextmanager
def peers_needed() -> Iterator[None]:
    """Around communication: that it failed means that another process is gone, which is not this one's defect."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise PeerLost(
            "Another process of this run has ended or does not answer, so this one stops; what it said stands above, "
            "and the same command goes on from the last checkpoint."
        ) from error


@contextmanager
def joined_world(device: str = "auto") -> Iterator[World]:
    """The world that torchrun has described in the environment, or the world of one process.

    Args:
        device: "cuda" or "cpu"; "auto" takes CUDA where there is any.

    Raises:
        UserError: a machine has fewer GPUs than processes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    rank, size, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    on_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if on_gpu and local >= torch.cuda.device_count():
        raise UserError(
            f"This machine has {torch.cuda.device_count()} GPUs but was given a process number {local + 1}; start at "
            f"most as many processes a machine as it has GPUs: NPROC={max(1, torch.cuda.device_count())}."
        )
    if on_gpu:
        torch.cuda.set_device(local)
    dist.init_process_group(
        "nccl" if on_gpu else "gloo", timeout=PATIENCE, device_id=torch.device("cuda", local) if on_gpu else None
    )
    yield World(rank, size, f"cuda:{local}" if on_gpu else "cpu")
    dist.destroy_process_group()  # after an error the end of the process does it, without waiting for the others

"""GPUs that such models are trained on: their speed, memory and price."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 2**30


@dataclass(frozen=True)
class Gpu:
    """A kind of GPU: dense bfloat16 FLOPs a second, memory in bytes, dollars an hour (about what clouds ask).

    Of memory it is what PyTorch reports: of the 80 GB in an H100's name, for one, which are 80 GiB, 79.1 GiB.
    """

    name: str
    flops: float
    memory: float
    dollars: float


GPUS = (
    Gpu("B200", 2250e12, 178.4 * GIB, 5.00),
    Gpu("H200", 989e12, 139.8 * GIB, 3.50),
    Gpu("H100", 989e12, 79.1 * GIB, 3.00),
    Gpu("A100", 312e12, 79.1 * GIB, 1.79),
    Gpu("L40S", 362e12, 44.4 * GIB, 1.00),
    Gpu("4090", 165e12, 23.6 * GIB, 0.50),
)

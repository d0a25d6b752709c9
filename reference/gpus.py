"""GPUs that such models are trained on: their speed, memory and price."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """A kind of GPU: dense bfloat16 FLOPs a second, memory in bytes, dollars an hour (about what clouds ask)."""

    name: str
    flops: float
    memory: float
    dollars: float


GPUS = (
    Gpu("B200", 2250e12, 180e9, 5.00),
    Gpu("H200", 989e12, 141e9, 3.50),
    Gpu("H100", 989e12, 80e9, 3.00),
    Gpu("A100", 312e12, 80e9, 1.79),
    Gpu("L40S", 362e12, 48e9, 1.00),
    Gpu("4090", 165e12, 24e9, 0.50),
)

"""How an update is divided among devices, and what is said when it does not divide or fit."""

from __future__ import annotations

import pytest

from reference.errors import UserError
from reference.memory import micro_batches, rows_that_fit, training_bytes
from reference.presets import at_scale

GIB = 2**30


@pytest.mark.parametrize(
    ("rows", "world_size", "device_rows", "times"), [(256, 8, 32, 1), (256, 1, 32, 8), (256, 4, 16, 4), (16, 1, 16, 1)]
)
def test_accumulation(rows: int, world_size: int, device_rows: int, times: int) -> None:
    """rows = micro-batches x rows at a time x processes"""
    assert micro_batches(rows, world_size, device_rows) == times


def test_a_batch_that_does_not_divide() -> None:
    """The refusal names the nearest values that do, and taking one of them helps."""
    with pytest.raises(UserError, match=r"^An update of 256 rows does not divide into 6 .* to 252 or 258 with --set"):
        micro_batches(256, 6, 2)
    assert micro_batches(252, 6, 2) * 6 * 2 == 252
    with pytest.raises(UserError, match=r"^The 32 rows that each of 8 .* micro-batches of 12; take 8 or 16 with"):
        micro_batches(256, 8, 12)
    with pytest.raises(UserError, match=r"of 100; take 32 with --device-batch\.$"):
        micro_batches(256, 8, 100)


@pytest.mark.parametrize(
    ("depth", "gib", "world_size", "rows"),
    [(20, 80, 8, 32), (26, 80, 8, 16), (20, 141, 1, 32), (12, 80, 1, 32), (32, 80, 8, 8)],
)
def test_what_fits(depth: int, gib: int, world_size: int, rows: int) -> None:
    """The estimate allows what is known to run: nanochat's d20, d26 and d32 at 32, 16 and 8 rows on 80 GB."""
    config = at_scale(depth).model_config(65_536)
    assert rows_that_fit(config, 256 // world_size, gib * 10**9, world_size) == rows
    assert training_bytes(config, rows, world_size) < gib * 10**9


def test_what_cannot_fit() -> None:
    """Where not even one row fits, a sentence says what would."""
    config = at_scale(32).model_config(65_536)
    with pytest.raises(UserError, match=r"^A model of depth 32 needs about \d+ GiB .* smaller depth, more GPUs, or"):
        rows_that_fit(config, 256, 24 * GIB)

"""The rope part's tables, nearer to the exact values than its contract asks."""

from __future__ import annotations

import cmath

import pytest

from reference.parts.rope import rotary_tables


@pytest.mark.parametrize(("head_dim", "base"), [(8, 500.0), (128, 10000)])
def test_tables_to_the_last_digit(head_dim, base):
    """entries are the exact values, to the last float32 digit, also at position 9,999"""
    cos, sin = rotary_tables(10_000, head_dim, base)
    for t in (1, 77, 9_999):
        for i in range(head_dim // 2):
            exact = cmath.exp(1j * t * base ** (-2 * i / head_dim))
            # 6e-8 is half a unit of float32 at 1; the angles themselves are exact to 1e-12
            assert cos[t, i].item() == pytest.approx(exact.real, abs=6e-8)
            assert sin[t, i].item() == pytest.approx(exact.imag, abs=6e-8)

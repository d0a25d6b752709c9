"""Whether two results agree up to rounding. torch.testing has this too, but takes over a second to import."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

TOLERANCES = {  # (relative, absolute): what some hundred roundings of a dtype add up to
    torch.float64: (1e-7, 1e-7),
    torch.float32: (1.3e-6, 1e-5),
    torch.float16: (1e-3, 1e-5),
    torch.bfloat16: (1.6e-2, 1e-5),
}


def assert_close(
    actual: Any,
    expected: Any,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_dtype: bool = True,
    msg: str | None = None,
) -> None:
    """Demand the same shape, device and dtype, and |actual - expected| <= atol + rtol |expected| everywhere.

    Args:
        actual: a tensor, a number, or a list or tuple of them; what is tested.
        expected: the same.
        rtol, atol: by default those of the dtype; whoever gives one gives both.
        equal_nan: NaN agrees with NaN.
        check_dtype: False compares values only.
        msg: said first when they do not agree.
    """
    if isinstance(expected, (list, tuple)):
        assert isinstance(actual, (list, tuple)), _told(msg, f"expected a {type(expected).__name__}, not {actual!r}")
        assert len(actual) == len(expected), _told(msg, f"{len(actual)} values, not {len(expected)}")
        for one, other in zip(actual, expected, strict=True):
            assert_close(one, other, rtol=rtol, atol=atol, equal_nan=equal_nan, check_dtype=check_dtype, msg=msg)
        return
    if not isinstance(expected, Tensor):
        assert not isinstance(actual, Tensor), _told(msg, f"expected the number {expected}, not a tensor")
        actual, expected = (torch.tensor(value, dtype=torch.float64) for value in (actual, expected))
    assert isinstance(actual, Tensor), _told(msg, f"expected a tensor, not {actual!r}")
    assert actual.shape == expected.shape, _told(msg, f"shape {tuple(actual.shape)}, not {tuple(expected.shape)}")
    assert actual.device == expected.device, _told(msg, f"on {actual.device}, not {expected.device}")
    assert not check_dtype or actual.dtype == expected.dtype, _told(msg, f"dtype {actual.dtype}, not {expected.dtype}")
    default = TOLERANCES.get(expected.dtype, (0.0, 0.0))
    a, b = actual.detach().double(), expected.detach().double()
    agree = torch.isclose(
        a, b, rtol=default[0] if rtol is None else rtol, atol=default[1] if atol is None else atol, equal_nan=equal_nan
    )
    assert bool(agree.all()), _told(msg, f"{int((~agree).sum())} of {agree.numel()} values differ")


def _told(msg: str | None, why: str) -> str:
    return f"{msg}: {why}" if msg else why

"""Unusual global settings, on which nothing may depend, and what torch does once before it computes under them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from dojo.clock import Clock
from dojo.values import tensors_in


@contextlib.contextmanager
def odd_globals(clock: Clock | None = None) -> Iterator[None]:
    """Every global that a part must not depend on has an unusual value.

    Args:
        clock: counts what is computed in it, but for what torch needs once before it can compute on the meta device.
    """
    torch = sys.modules["torch"]
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        # on the meta device nothing has a value: a tensor made there by default does not go unnoticed
        with torch.device("meta"), paid_for(clock), torch.autocast("cpu", dtype=torch.bfloat16):
            yield
    finally:
        torch.set_default_dtype(dtype)


@contextlib.contextmanager
def paid_for(clock: Clock | None) -> Iterator[None]:
    """While this lasts, whoever computes on the meta device first has the import of torch's compiler for free."""
    torch = sys.modules["torch"]  # not imported here: some katas answer without it
    if clock is None or "torch._dynamo" in sys.modules:
        yield
        return
    pause = clock.paused

    class Watch(torch.overrides.TorchFunctionMode):  # type: ignore[name-defined]
        def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
            given = kwargs or {}
            if any(tensor.device.type == "meta" for tensor in tensors_in((args, given))):
                with pause(), contextlib.suppress(Exception):  # if it fails, it fails again below
                    torch.ones(1, device="meta") * 2
            return function(*args, **given)

    with Watch():
        yield

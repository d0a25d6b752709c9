"""What torch does once before it computes on the meta device: it imports its compiler, for seconds."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from dojo.clock import Clock
from dojo.values import tensors_in


@contextlib.contextmanager
def paid_for(clock: Clock | None) -> Iterator[None]:
    """While this lasts, whoever computes with a tensor on the meta device first has the import for free."""
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

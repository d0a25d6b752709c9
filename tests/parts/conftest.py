"""What the tests of every part need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import torch


@pytest.fixture
def odd_globals() -> Callable[[], AbstractContextManager[None]]:
    """Inside `with odd_globals():` every global that a part must not depend on has an unusual value."""

    @contextmanager
    def odd() -> Iterator[None]:
        dtype = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            # on the meta device nothing has a value: a tensor made there by default would not go unnoticed
            with torch.device("meta"), torch.autocast("cpu", dtype=torch.bfloat16):
                yield
        finally:
            torch.set_default_dtype(dtype)

    return odd

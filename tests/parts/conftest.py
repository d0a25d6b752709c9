"""What the tests of every part need."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from dojo.executor import odd_globals as unusual


@pytest.fixture
def odd_globals() -> Callable[[], AbstractContextManager[None]]:
    """Inside `with odd_globals():` every global that a part must not depend on has an unusual value."""
    return unusual

"""How hypothesis works here, and the tiny run that several test files copy. Imports no torch: some tests need none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.tiny_run import Whole

settings.load_profile("ci")  # the same examples every time, and no deadline that a busy machine misses
pytest.register_assert_rewrite("tests.tiny_run")


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    from tests.tiny_run import Whole, go

    return Whole(*go(tmp_path_factory.mktemp("whole") / "runs"))

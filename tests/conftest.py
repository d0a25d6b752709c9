"""The tiny run that several test files copy. Imports no torch: some tests do without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.tiny_run import Whole

pytest.register_assert_rewrite("tests.tiny_run")


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    from tests.tiny_run import Whole, go

    return Whole(*go(tmp_path_factory.mktemp("whole") / "runs"))

"""How hypothesis works here, and the tiny run that several test files copy. Imports no torch: some tests need none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.tiny_run import Whole

settings.load_profile("ci")  # the same examples every time, and no deadline that a busy machine misses
pytest.register_assert_rewrite("tests.tiny_run")


# The files that take longest, the longest first: several processes share the tests by files, and none is to come last.
LONGEST = (
    "test_run_full.py",
    "test_exercises.py",
    "test_attacks.py",
    "test_learner.py",
    "test_grade.py",
    "test_proofs.py",
    "test_clock.py",
    "test_brought_along.py",
    "test_pipeline.py",
    "test_going_on.py",
    "test_run.py",
    "test_scale.py",
    "test_torchrun.py",
    "test_sandbox.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    from tests.tiny_run import Whole, go

    return Whole(*go(tmp_path_factory.mktemp("whole") / "runs"))

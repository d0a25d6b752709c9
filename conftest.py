"""Fixtures for every test of the project and of the katas. Imports no torch: some katas answer without it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The real data pack: the folder that the environment variable NANOKATA_DATA names."""
    named = os.environ.get("NANOKATA_DATA")
    if not named:
        pytest.skip("NANOKATA_DATA is not set to the folder of the real data sets")
    if not Path(named).is_dir():
        pytest.skip(f"NANOKATA_DATA names no folder: {named}")
    return Path(named)

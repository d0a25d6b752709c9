"""Fixtures for every test of the project and of the katas. Imports no torch: some katas answer without it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

pytest_plugins = ["dojo.plugin"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--gpu", action="store_true", help="Let the tests see the GPUs: for tests/gpu, and only these.")


def pytest_configure(config: pytest.Config) -> None:
    """Take Ctrl-C as a person at a terminal would send it: jobs in the background begin with SIGINT ignored.

    And compute on the CPU wherever it runs: bit for bit the same, which a GPU does not promise.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not config.getoption("--gpu"):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The real data pack: the folder that the environment variable NANOKATA_DATA names."""
    named = os.environ.get("NANOKATA_DATA")
    if not named:
        pytest.skip("NANOKATA_DATA is not set to the folder of the real data sets")
    if not Path(named).is_dir():
        pytest.skip(f"NANOKATA_DATA names no folder: {named}")
    return Path(named)

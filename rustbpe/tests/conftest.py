"""The module under test is the rustbpe of the path; the published one answers from another process.

RUSTBPE_PUBLISHED names the folder in which `pip install --target FOLDER rustbpe==0.1.0` has put it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import rustbpe

PEER = Path(__file__).with_name("peer.py")
Ask = Callable[[dict[str, Any]], dict[str, Any]]


def pytest_ignore_collect() -> bool | None:
    """Where the published wheel is installed, there is nothing of ours to test."""
    return None if hasattr(rustbpe.Tokenizer, "train_from_files") else True


@pytest.fixture(scope="session")
def published() -> Iterator[Ask]:
    """What the published package answers to a request: see peer.py."""
    if not os.environ.get("RUSTBPE_PUBLISHED"):
        pytest.skip("RUSTBPE_PUBLISHED names no folder with the published package")
    with ask_published() as ask:
        yield ask


@contextmanager
def ask_published() -> Iterator[Ask]:
    """The package in the folder that RUSTBPE_PUBLISHED names, in a process of its own."""
    folder = os.environ["RUSTBPE_PUBLISHED"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"RUST_BACKTRACE": "0"}
    process = subprocess.Popen(
        [sys.executable, PEER, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    assert process.stdin
    assert process.stdout
    with process:

        def ask(request: dict[str, Any]) -> dict[str, Any]:
            print(json.dumps(request), file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())

        yield ask
        process.stdin.close()

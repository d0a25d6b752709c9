"""What only a GPU can tell: pytest --gpu tests/gpu."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def gpu(pytestconfig: pytest.Config) -> torch.device:
    """The GPU; where there is none, or it is hidden, the test is skipped."""
    if not pytestconfig.getoption("--gpu"):
        pytest.skip("the GPUs are hidden; pytest --gpu tests/gpu shows them")
    if not torch.cuda.is_available():
        pytest.skip("PyTorch finds no CUDA GPU")
    return torch.device("cuda")

"""What is said of the machine, and the number format that is chosen for it."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import sys
from pathlib import Path

import psutil
import pytest
import torch

from reference import compute
from reference.compute import (
    check_compiler,
    compute_device,
    describe_machine,
    fastest_dtype,
    keep_freed_memory,
    peak_rss_gib,
)
from reference.errors import UserError

CPU = torch.device("cpu")


def test_devices_by_name_and_by_default() -> None:
    """a name is taken at its word; otherwise an accelerator wins where there is one"""
    assert compute_device("cpu") == CPU
    assert compute_device("mps") == torch.device("mps")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match=r"^PyTorch finds no CUDA device here; run nvidia-smi .* --device cpu\.$"):
            compute_device("cuda")
    best = compute_device().type
    if torch.cuda.is_available():
        assert best == "cuda"
    elif torch.backends.mps.is_available():
        assert best == "mps"
    else:
        assert best == "cpu"


def test_a_compiler_is_needed(tmp_path: Path) -> None:
    """Where there is no compiler, or no Python.h, the sentence names what is missing, and only that."""
    programs, headers = tmp_path / "bin", tmp_path / "include"
    for folder in (programs, headers):
        folder.mkdir()
    with pytest.raises(
        UserError, match=r"misses a C compiler and Python's headers in .*include; on Debian .* gcc pyth"
    ):
        check_compiler(str(programs), headers)
    (programs / "gcc").touch(mode=0o755)
    with pytest.raises(UserError, match=r"misses Python's headers in .*; on Debian"):
        check_compiler(str(programs), headers)
    (headers / "Python.h").touch()
    check_compiler(str(programs), headers)
    (programs / "gcc").unlink()
    with pytest.raises(UserError, match=r"misses a C compiler; on Debian"):
        check_compiler(str(programs), headers)


def test_number_formats() -> None:
    """CUDA computes in bfloat16 and MPS in float32; a CPU in either, and float32 where it has no bfloat16 products"""
    assert fastest_dtype(torch.device("cuda")) == torch.bfloat16
    assert fastest_dtype(torch.device("mps")) == torch.float32
    threads = torch.get_num_threads()
    assert fastest_dtype(CPU) in (torch.float32, torch.bfloat16)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(("seconds", "expected"), [(1.5, torch.float32), (0.9, torch.float32), (0.7, torch.bfloat16)])
@pytest.mark.parametrize("hindered", [torch.float32, torch.bfloat16])
def test_a_busy_machine_does_not_change_the_number_format(
    monkeypatch: pytest.MonkeyPatch, seconds: float, expected: torch.dtype, hindered: torch.dtype
) -> None:
    """Against a product of 1 s in float32, bfloat16 must be clearly faster, whichever was held up most of the time."""
    calls = 0

    def timed(dtype: torch.dtype) -> float:
        nonlocal calls
        calls += 1
        true = {torch.float32: 1.0, torch.bfloat16: seconds}[dtype]
        return true if calls % 9 == 0 else true * (5 if dtype == hindered else 1.1)

    monkeypatch.setattr(compute, "_product_seconds", timed)
    assert fastest_dtype(CPU) == expected


def test_peak_memory_is_in_gib() -> None:
    """the peak lies between what the process holds now and what the machine has, and it never falls"""
    before = peak_rss_gib()
    block = torch.ones(50_000_000)  # 0.19 GiB
    held = psutil.Process().memory_info().rss / 2**30
    assert held > 0.19
    assert held - 0.02 < peak_rss_gib() < psutil.virtual_memory().total / 2**30  # the kernel counts pages in batches
    del block
    assert peak_rss_gib() >= max(before, held - 0.02)


def test_the_machine_in_words() -> None:
    """the description is JSON and names what a reader needs to compare runs"""
    machine = describe_machine(CPU)
    assert json.loads(json.dumps(machine)) == machine
    assert machine["device"] == "cpu"
    assert machine["torch"] == torch.__version__
    assert machine["python"] == platform.python_version()
    assert machine["threads"] == torch.get_num_threads()
    assert 1 <= machine["cores"] <= os.cpu_count()
    assert abs(machine["memory_gib"] * 2**30 - psutil.virtual_memory().total) <= 2**29
    assert machine["cpu"].strip()


@pytest.mark.skipif(sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="speaks to glibc")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_freed_memory_is_kept() -> None:
    """a large block that was freed is still the process's own, so that the next one need not be paged in"""
    size = 256 * 2**20
    child = os.fork()  # what is told to malloc stays with the process
    if not child:
        status = 1
        try:
            keep_freed_memory()
            libc = ctypes.CDLL(None)
            libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
            block = libc.malloc(size)
            ctypes.memset(block, 1, size)
            held = psutil.Process().memory_info().rss
            libc.free(block)
            status = 0 if held - psutil.Process().memory_info().rss < 0.3 * size else 1
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

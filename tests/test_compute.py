"""What is said of the machine, and the number format that is chosen for it."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from reference.compute import (
    check_compiler,
    compute_device,
    cpu_words,
    describe_machine,
    keep_freed_memory,
    number_format,
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


@pytest.mark.parametrize(
    ("words", "expected", "reason"),
    [
        ("AuthenticAMD avx2 avx512f avx512_bf16", torch.bfloat16, "AVX512-BF16"),  # measured: 2 times as fast
        ("AuthenticAMD avx2 avx512f", torch.float32, "not multiply faster"),
        ("GenuineIntel avx512f avx512_bf16", torch.float32, "not multiply faster"),  # measured: half as fast
        ("GenuineIntel avx512f avx512_bf16 amx_bf16 amx_tile", torch.bfloat16, "AMX"),
        ("fp asimd bf16", torch.float32, "not multiply faster"),
        ("", torch.float32, "not multiply faster"),  # not Linux
    ],
)
def test_the_processor_decides_the_number_format(words: str, expected: torch.dtype, reason: str) -> None:
    """auto goes by the processor's instructions and vendor, and says so"""
    found = number_format("auto", CPU, frozenset(words.split()))
    assert found.dtype == expected
    assert found.reason.startswith("auto: ")
    assert reason in found.reason


def test_number_formats_of_other_devices() -> None:
    """CUDA computes in bfloat16, and MPS in float32"""
    assert number_format("auto", torch.device("cuda")).name == "bfloat16"
    assert number_format("auto", torch.device("mps")).name == "float32"


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_a_number_format_that_is_ordered(name: str, device: str) -> None:
    """is taken, whatever the processor"""
    found = number_format(name, torch.device(device), frozenset({"AuthenticAMD", "avx512_bf16", "amx_bf16"}))
    assert (found.name, found.reason) == (name, f"as --dtype {name} says")


def test_the_number_format_does_not_depend_on_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """no time is taken, so that a busy machine decides nothing, and what this processor is decides always the same"""

    def asked() -> float:
        raise AssertionError("somebody looked at the clock")

    for clock in ("perf_counter", "monotonic", "time", "process_time", "thread_time"):
        monkeypatch.setattr(time, clock, asked)
    assert number_format("auto", CPU) == number_format("auto", CPU, cpu_words())


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

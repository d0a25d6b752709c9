"""The machine: which device and which number format a run computes with, and what it takes of memory."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import shutil
import sys
import sysconfig
import time
from pathlib import Path

import psutil
import torch

from reference.errors import UserError


def compute_device(name: str = "auto") -> torch.device:
    """The device called `name`, or the best there is: CUDA, then Apple's MPS, then the CPU."""
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "PyTorch finds no CUDA device here; run nvidia-smi to see whether the driver does, install a CUDA build of "
            "torch (pip install torch), or compute on the processor with --device cpu."
        )
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def fastest_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device multiplies matrices clearly faster in it, float32 elsewhere.

    CUDA does. Among CPUs it depends on the model, and the instruction flags do not tell: so a product as wide as the
    model's widest is timed, for a fifth of a second. Other programs may want the machine too: so the two formats take
    turns, the best time of each counts, and a product takes one thread about a millisecond. Threads that wait for one
    another are never undisturbed on a busy machine.
    """
    if device.type != "cpu":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    best = {torch.float32: math.inf, torch.bfloat16: math.inf}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    until = time.perf_counter() + 0.2
    while math.inf in best.values() or time.perf_counter() < until:
        for dtype in best:
            best[dtype] = min(best[dtype], _product_seconds(dtype))
    torch.set_num_threads(threads)
    return torch.bfloat16 if best[torch.float32] > 1.2 * best[torch.bfloat16] else torch.float32


def _product_seconds(dtype: torch.dtype) -> float:
    a, b = torch.ones(256, 256, dtype=dtype), torch.ones(256, 1024, dtype=dtype)
    started = time.perf_counter()
    a @ b
    return time.perf_counter() - started


def set_up_gpu() -> None:
    """How every process of ours computes on a GPU.

    What is left of float32 products may round its factors to TF32's ten bits: eight times as fast. And attention is not
    cuDNN's, which PyTorch prefers on Hopper: that plans anew for every shape, and sampling meets hundreds of them.
    Training, whose shape is always the same, takes it nevertheless, see compiled.py.
    """
    torch.set_float32_matmul_precision("high")
    torch.backends.cuda.enable_cudnn_sdp(False)


def check_compiler(path: str, headers: Path) -> None:
    """UserError unless Triton, which compiles for GPUs, can build what starts its kernels.

    Args:
        path: the folders where programs are looked for, as in PATH.
        headers: the folder of Python's.
    """
    has_compiler = any(shutil.which(program, path=path) for program in (os.environ.get("CC", "gcc"), "gcc", "clang"))
    missing = [] if has_compiler else ["a C compiler"]
    missing += [] if (headers / "Python.h").exists() else [f"Python's headers in {headers}"]
    if missing:
        raise UserError(
            f"Training on a GPU compiles its kernels and misses {' and '.join(missing)}; on Debian and Ubuntu: "
            f"sudo apt install gcc python3.{sys.version_info.minor}-dev. Or compute on the processor with --device cpu."
        )


def python_headers() -> Path:
    """The folder where Triton looks for Python.h."""
    scheme = sysconfig.get_default_scheme()
    return Path(sysconfig.get_paths("posix_prefix" if scheme == "posix_local" else scheme)["include"])


def keep_freed_memory() -> None:
    """Tell glibc to keep what is freed for the next allocation; elsewhere do nothing.

    By default every large tensor is given back to the kernel when it is freed, and the next one of that size is paged
    in anew, zeroed page by page. Kept, a training step of depth 4 on two cores has a seventh of the page faults and
    takes about 8 % less time (1 to 18 % in six pairs of processes), for 0.1 GiB more at the peak.
    """
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h


def peak_rss_gib() -> float:
    """The most memory this process has held so far, in GiB."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / 2**30
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)


def peak_gpu_gib() -> float:
    """The most memory that tensors of this process have held on its GPU so far, in GiB."""
    return torch.cuda.max_memory_allocated() / 2**30


def describe_machine(device: torch.device) -> dict[str, str | int]:
    """What a report says of where it was made."""
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        **({"gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}),
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()

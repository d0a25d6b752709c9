"""The machine: which device and which number format a run computes with, and what it takes of memory."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import sys
import sysconfig
from dataclasses import dataclass
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


FORMATS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class NumberFormat:
    """What a run computes in, and why.

    Attributes:
        dtype: torch.float32 or torch.bfloat16.
        reason: half a sentence, in a person's words.
    """

    dtype: torch.dtype
    reason: str

    @property
    def name(self) -> str:
        """Its name in commands and in run.json."""
        return str(self.dtype).removeprefix("torch.")


def number_format(order: str, device: torch.device, cpu: frozenset[str] | None = None) -> NumberFormat:
    """The format of one of FORMATS: one that is named is taken; "auto" decides by what the device is, not by a clock.

    bfloat16 where the device has instructions that multiply faster in it: on CUDA, on CPUs with AMX, and on AMD's with
    AVX512-BF16: two that were measured multiply 2.3 and 4.4 times as fast. An Intel without AMX that has them too was
    half as fast with them as in float32. Elsewhere torch converts every factor first, and float32 is faster.

    Args:
        cpu: words that describe the processor, as `cpu_words` gives them; None: of this one.
    """
    if order != "auto":
        return NumberFormat(getattr(torch, order), f"as --dtype {order} says")
    if device.type != "cpu":
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        return NumberFormat(dtype, f"auto: the format for {device.type}")
    words = cpu_words() if cpu is None else cpu
    if "amx_bf16" in words:
        return NumberFormat(torch.bfloat16, "auto: this CPU has AMX for it")
    if {"AuthenticAMD", "avx512_bf16"} <= words:
        return NumberFormat(torch.bfloat16, "auto: this CPU has AVX512-BF16 for it, and is AMD's")
    return NumberFormat(torch.float32, "auto: this CPU does not multiply faster in bfloat16")


def cpu_words() -> frozenset[str]:
    """The processor's vendor and features in Linux's words; nothing where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    told = [line.partition(":")[2] for line in lines if line.startswith(("vendor_id", "flags", "Features"))]
    return frozenset(" ".join(told).split())


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

"""The wall around the first process: how it is started with as little of the machine in sight as the system allows."""

from __future__ import annotations

import os
import platform
import shutil
import site
import sys
import sysconfig
from collections.abc import Callable, Iterable
from pathlib import Path

ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "HOME": "/nonexistent",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "PYTHONHASHSEED": "0",  # sets have one order in every run: the same code earns the same points
    "PYTHONDONTWRITEBYTECODE": "1",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",  # memory in large pages: a fork copies a table of them, hundreds of MiB
}
LARGE_PAGES = "/sys/kernel/mm/transparent_hugepage"


def python_path() -> list[str]:
    """Where the running Python finds the standard library and installed packages, and nothing else."""
    packages = [*site.getsitepackages(), site.getusersitepackages()]
    library = Path(sysconfig.get_paths()["stdlib"]).parent
    return [place for place in sys.path if place in packages or Path(place).is_relative_to(library)]


def interpreter() -> Path:
    """The running Python itself, not the link to it in a virtual environment."""
    return Path(getattr(sys, "_base_executable", "") or sys.executable).resolve()


def python_needs() -> list[Path]:
    """Files and folders without which the running Python and its packages cannot work."""
    base = Path(sys.base_prefix)
    system = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/usr/share/zoneinfo", "/System/Library"]
    places = [*map(Path, python_path()), base / "lib", interpreter(), *map(Path, system)]
    return [place for place in dict.fromkeys(places) if place.exists()]


def bubblewrap(command: list[str], files: Iterable[Path], folder: Path) -> list[str] | None:
    """`command` with nothing in sight but what Python needs, `files` and an empty folder; None without bwrap."""
    if not shutil.which("bwrap"):
        return None
    options = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--uid", "65534"]
    for place in (*python_needs(), *files):
        options += ["--ro-bind", str(place), str(place)]
    for device in ("null", "zero", "urandom", "random"):
        options += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    options += ["--ro-bind-try", LARGE_PAGES, LARGE_PAGES]  # the C library asks there, before any untrusted code runs
    options += ["--proc", "/proc", "--dir", str(folder), "--chdir", str(folder), "--remount-ro", "/"]
    return ["bwrap", *options, "--", *command]


def namespaces(command: list[str], files: Iterable[Path], folder: Path) -> list[str] | None:
    """`command` with processes, network and host name of its own; None where that cannot be asked for."""
    if platform.system() != "Linux" or not shutil.which("unshare"):
        return None
    return ["unshare", "--user", "--pid", "--fork", "--kill-child", "--net", "--ipc", "--uts", "--", *command]


def limits(command: list[str], files: Iterable[Path], folder: Path) -> list[str] | None:
    """`command` as it is: what holds is what every process of untrusted code gives up by itself."""
    return command


Wall = Callable[[list[str], Iterable[Path], Path], list[str] | None]
WALLS: dict[str, Wall] = {"bubblewrap": bubblewrap, "namespaces": namespaces, "limits": limits}  # the best first

PROMISES = {
    "bubblewrap": ("a file system of its own, without this repository", "no network", "no other processes in sight"),
    "namespaces": ("no network", "no other processes in sight"),
    "limits": (),
}
MISSING = {
    "bubblewrap": (),
    "namespaces": ("bubblewrap: install it for a second wall around the files",),
    "limits": ("bubblewrap or namespaces: there is no second wall",),
}


def clean_environment() -> dict[str, str]:
    """Nothing of the caller's environment but where programs are."""
    return {**ENVIRONMENT, "PATH": os.environ.get("PATH", os.defpath)}

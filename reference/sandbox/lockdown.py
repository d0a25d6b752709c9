"""What a process gives up for good before it runs untrusted code. Nothing here needs rights, or can be taken back."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import resource
import signal
import struct
from collections.abc import Iterable
from pathlib import Path

from reference.sandbox import landlock, seccomp
from reference.sandbox.limits import Limits

DEVICES = tuple(Path("/dev") / name for name in ("null", "zero", "urandom", "random"))


def lock_down(limits: Limits, readable: Iterable[Path]) -> None:
    """Limit the calling process, which must have one thread, as far as the system can; see `promises`.

    Args:
        readable: files and folders; no others can be opened where there is Landlock.

    Raises:
        OSError: what the system said that it has could not be had.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    for kind, most in _limits(limits).items():
        resource.setrlimit(kind, (most, most))
    if platform.system() != "Linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    die_with_parent()
    libc.prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: nobody but the kernel looks into its memory
    nothing = struct.pack("<IIIIII", 0, 0, 0, 0, 0, 0)
    libc.capset(ctypes.c_char_p(struct.pack("<Ii", 0x20080522, 0)), ctypes.c_char_p(nothing))  # root is nobody special
    if libc.prctl(38, 1, 0, 0, 0):  # PR_SET_NO_NEW_PRIVS
        raise OSError(ctypes.get_errno(), "the system refuses no_new_privs")
    if landlock.version():
        there = [path for path in (*readable, *DEVICES) if path.exists()]
        landlock.allow_only(there, writable=[path for path in DEVICES[:1] if path.exists()])
    if seccomp.available():
        seccomp.install(seccomp.filter_program(platform.machine()))


def die_with_parent() -> None:
    """The calling process does not outlive the one that has made it, where the system can see to that."""
    if platform.system() == "Linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


def _limits(limits: Limits) -> dict[int, int]:
    """For resource.setrlimit. A process over its time is killed at once, without a signal that it could catch."""
    most = {
        resource.RLIMIT_CPU: math.ceil(limits.cpu_seconds),
        resource.RLIMIT_FSIZE: 0,  # in bytes: a file can be made, if at all, and nothing be put into it
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_CORE: 0,
    }
    if platform.system() == "Linux":  # macOS keeps no account of address space
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most[resource.RLIMIT_AS] = pages * os.sysconf("SC_PAGE_SIZE") + limits.memory
    if not seccomp.available():
        most[resource.RLIMIT_NPROC] = 0  # neither processes nor, on Linux, threads; root is not bound by it
    return most


def promises() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(what lock_down makes hold on this system, what it does not), a phrase each."""
    linux = platform.system() == "Linux"
    found = {
        "limits on computing time, waiting time, file size, open files and output": True,
        "a limit on memory": linux,
        "no processes of its own, no other programs, no signals, no sockets (seccomp)": seccomp.available(),
        "files: only Python and its packages can be read, nothing written (Landlock)": landlock.version() > 0,
    }
    return tuple(what for what in found if found[what]), tuple(what for what in found if not found[what])

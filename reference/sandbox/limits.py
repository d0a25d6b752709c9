"""What untrusted code may use, and what keeps it from using more."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """For one process of untrusted code. It may have threads, but neither start a process nor write a file.

    Attributes:
        cpu_seconds: of computing, rounded up to whole seconds.
        wall_seconds: from its start to its end: a last resort many times as long, for on a busy machine it may wait for
            a processor most of the time.
        memory: bytes of address space beyond what it was born with.
        open_files: at once.
        output: bytes of what it prints that are kept; the rest is read and dropped.
    """

    cpu_seconds: float = 10.0
    wall_seconds: float = 120.0
    memory: int = 2**30
    open_files: int = 64
    output: int = 16 * 2**10


@dataclass(frozen=True)
class Isolation:
    """What stands between untrusted code and the machine.

    Attributes:
        name: "bubblewrap", "namespaces" or "limits": the wall around the first process.
        what_holds, what_does_not: a phrase each.
    """

    name: str
    what_holds: tuple[str, ...]
    what_does_not: tuple[str, ...]

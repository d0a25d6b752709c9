"""Files that untrusted code may read, and none that it may write: Landlock, which needs no rights to be used.

Documentation/userspace-api/landlock.rst of the Linux kernel; the three calls have the same numbers everywhere.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Iterable
from pathlib import Path

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_WRITE_FILE, _READ_FILE, _READ_DIR = 2, 4, 8
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # version of the interface: how many rights on files it knows


def version() -> int:
    """Of the kernel's interface; 0 where there is none."""
    if platform.system() != "Linux":
        return 0
    return max(0, ctypes.CDLL(None).syscall(_CREATE, None, ctypes.c_size_t(0), 1))


def allow_only(readable: Iterable[Path], writable: Iterable[Path] = ()) -> None:
    """From here on only these files, and what lies in these folders, can be opened; nothing can be run or made.

    Where the kernel can, also no TCP and no signals to processes outside. Needs no_new_privs. Raises OSError.
    """
    known = version()
    rights = (1 << _RIGHTS.get(known, 16)) - 1
    attributes = struct.pack("<QQQ", rights, 3 if known >= 4 else 0, 3 if known >= 6 else 0)  # files, TCP, scopes
    attributes = attributes[: 24 if known >= 6 else 16 if known >= 4 else 8]
    ruleset = _call(_CREATE, ctypes.c_char_p(attributes), ctypes.c_size_t(len(attributes)), 0)
    for path in (*readable, *writable):
        allowed = _READ_FILE | (_READ_DIR if path.is_dir() else 0) | (_WRITE_FILE if path in writable else 0)
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        _call(_ADD, ruleset, 1, ctypes.c_char_p(struct.pack("<Qi", allowed, place)), 0)  # 1: beneath a path
        os.close(place)
    _call(_RESTRICT, ruleset, 0)
    os.close(ruleset)


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "Landlock refuses the rules")
    return result

"""A lock on an open file, held by one process and ended with it."""

from __future__ import annotations

import sys
from typing import IO

if sys.platform == "win32":
    import msvcrt

    def try_lock(stream: IO[str]) -> bool:
        """Lock `stream` for this process; False when another has it."""
        stream.seek(1 << 30)  # Windows locks bytes: take one far behind the text, which stays readable
        try:
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def try_lock(stream: IO[str]) -> bool:
        """Lock `stream` for this process; False when another has it."""
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

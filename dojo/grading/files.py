"""Files that are written whole or not at all, and the texts of strangers made fit for them."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that it is never seen half written, whatever happens; lone surrogates become escapes."""
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def printable(text: str) -> str:
    """A text without control characters, but for line feeds and tabs, and without marks that turn the reading order."""
    kept = (c if c.isprintable() or c in "\n\t" else _escaped(c) for c in text.replace("\r\n", "\n"))
    return "".join(kept)


def _escaped(c: str) -> str:
    code = ord(c)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"

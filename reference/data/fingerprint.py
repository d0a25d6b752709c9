"""What tells data from other data, in a few values for JSON: a run does not go on with text that was exchanged."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from reference.errors import UserError

SLICES = 16  # of a file that is not read whole
SLICE_BYTES = 1 << 16


def of_texts(texts: list[str]) -> dict[str, int | str]:
    """Of texts in memory: any change is noticed, but not another division of the same text among files."""
    digest, size = hashlib.sha256(), 0
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        size += len(data)
        digest.update(b"%d " % len(data))
        digest.update(data)
    return {"documents": len(texts), "bytes": size, "sha256": digest.hexdigest()}


def of_files(files: Iterable[Path], documents: int) -> dict[str, int | str]:
    """Of files that are too large to be read for this, in their order: the size and 16 slices of 64 KiB of each.

    The slices lie evenly from the first byte to the last, so a file up to 1 MiB counts whole. Of a larger one a change
    of size, of the beginning or of the end is noticed (a parquet file ends in what it knows of all its columns), as
    is a file that was exchanged for another; a few bytes changed in place between two slices are not.
    """
    digest, size = hashlib.sha256(), 0
    for file in files:
        try:
            bytes_here = file.stat().st_size
            digest.update(b"%d " % bytes_here)
            with file.open("rb") as stream:
                for i in range(SLICES):
                    stream.seek(max(0, bytes_here - SLICE_BYTES) * i // (SLICES - 1))
                    digest.update(stream.read(SLICE_BYTES))
        except OSError as error:
            raise UserError(f"{file} cannot be read ({error.strerror}).") from error
        size += bytes_here
    return {"documents": documents, "bytes": size, "sha256": digest.hexdigest()}

"""Takes the few files that matter out of a zip or tar, without trusting anything that it says.

Members are read as a stream and written under checked names into an empty folder: nothing is extracted by its own
name, no link is made or followed, and whatever is too large, too many or too odd is left out with a note.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, cast

from dojo.grading.names import is_archive, is_told_of, kata_and_owner, looked_into, parts_of, plain

SOLUTION_BYTES = 256 << 10
ARCHIVE_BYTES = 64 << 20  # of an archive within an archive
MEMBERS = 50_000
DIRECTORY_BYTES = 8 << 20  # of the list of members at the end of a zip
STREAM_BYTES = 512 << 20  # of an unpacked tar, which has to be read from its start
WRITTEN_BYTES = 512 << 20


class UnreadableError(Exception):
    """A submission cannot be read, so it cannot be checked; the message says why, and what would help."""


@dataclass
class Unpacked:
    """What came out of an archive.

    Attributes:
        notes: what was left out, and why.
        refused: for solutions among that, by name of the file as the learner knows it: why.
        told_of: names of other files that a person may want to know of.
    """

    folder: Path
    notes: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    told_of: list[str] = field(default_factory=list)
    written: int = 0

    def offer(self, name: str, size: int, kind: str, read: Callable[[int], bytes]) -> None:
        """Take or leave one member.

        Args:
            name: as the archive gives it, folders separated by slashes.
            size: in bytes, as the archive gives it.
            kind: "file", or in words what else it is.
            read: gives at most so many bytes of it.
        """
        parts = parts_of(name)
        if parts is None:
            self.notes.append(f"{plain(name)} leads out of the submission and was left out")
            return
        wanted = looked_into(parts[:-1]) and (kata_and_owner(parts[-1]) or (len(parts) <= 3 and is_archive(parts[-1])))
        if not wanted:
            self._make_folders(parts[:-1][:2])  # in a class, who has handed in nothing useful should be seen
            if looked_into(parts[:-1]) and kata_and_owner(parts[-1].lower()):
                self.notes.append(f"{plain('/'.join(parts))} was left out: the name of a solution is in lower case")
            if kind == "file" and is_told_of(parts, size):
                self.told_of.append(plain("/".join(parts)))
            return
        limit = ARCHIVE_BYTES if is_archive(parts[-1]) else SOLUTION_BYTES
        shown = "/".join(parts)
        if kind != "file":
            self.refuse(shown, f"is {kind}, not a file, and was not followed")
            return
        data = read(limit + 1)
        if len(data) > limit:
            self.refuse(shown, f"is larger than {limit >> 10} KB, which no solution is")
            return
        self.written += len(data)
        if self.written > WRITTEN_BYTES:
            raise UnreadableError("it unpacks to more than 512 MB of solutions, which no class has.")
        self._write(parts, shown, data)

    def _make_folders(self, folders: tuple[str, ...]) -> None:
        if looked_into(folders):
            with contextlib.suppress(OSError):  # a file is there
                self._place(folders).mkdir(parents=True, exist_ok=True)

    def _place(self, parts: tuple[str, ...]) -> Path:
        return self.folder.joinpath(*(part.encode("utf-8", "backslashreplace").decode() for part in parts))

    def refuse(self, shown: str, why: str) -> None:
        self.refused[shown] = why
        self.notes.append(f"{plain(shown)} {why}")

    def _write(self, parts: tuple[str, ...], shown: str, data: bytes) -> None:
        place = self._place(parts)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.exists():
                self.notes.append(f"{plain(shown)} is in it more than once; the last was taken")
            place.write_bytes(data)
        except OSError:  # a folder where a file was, or the other way round
            self.notes.append(f"{plain(shown)} is in it both as a file and as a folder; the first was taken")


def unpack(archive: Path, folder: Path) -> Unpacked:
    """Put the solutions, and archives near the top, of a zip or tar into an empty folder.

    Raises:
        UnreadableError: it is neither, or encrypted, truncated, damaged or too large.
    """
    unpacked = Unpacked(folder)
    try:
        with archive.open("rb") as file:
            if _starts_as_zip(file):
                _unpack_zip(file, unpacked)
            else:
                _unpack_tar(file, unpacked)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, struct.error) as error:
        raise UnreadableError(f"the archive is truncated or damaged ({plain(str(error))}); upload it again.") from None
    except (NotImplementedError, ValueError, RecursionError, MemoryError) as error:
        raise UnreadableError(f"the archive cannot be read ({plain(str(error))}); make it anew.") from None
    except OSError as error:
        raise UnreadableError(f"the archive is truncated or damaged ({plain(error.strerror or str(error))}).") from None
    return unpacked


def _starts_as_zip(file: IO[bytes]) -> bool:
    start = file.read(4)
    file.seek(0)
    return start in (b"PK\3\4", b"PK\5\6")


class _Bounded(io.RawIOBase):
    """A stream that is never read far or much at once: what is written in an archive decides neither."""

    def __init__(self, inner: IO[bytes], at_once: int, in_all: int) -> None:
        self.inner, self.at_once, self.in_all = inner, at_once, in_all
        self.count, self.last = 0, b""

    def read(self, size: int = -1) -> bytes:
        if size > self.at_once:
            raise UnreadableError("the archive says that a list in it is larger than any learner's is.")
        self.last = self.inner.read(size if size >= 0 else self.at_once)
        self.count += len(self.last)
        self._check(self.count)
        return self.last

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 0:
            self._check(offset)
        return self.inner.seek(offset, whence)

    def tell(self) -> int:
        return self.inner.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def _check(self, many: int) -> None:
        if many > self.in_all:
            raise UnreadableError(
                f"the archive holds more than {self.in_all >> 20} MB; hand in one without .venv and runs, "
                "such as `git archive -o mine.zip HEAD` makes."
            )


def _unpack_zip(file: IO[bytes], unpacked: Unpacked) -> None:
    bounded = cast(IO[bytes], _Bounded(file, DIRECTORY_BYTES, 1 << 50))
    with zipfile.ZipFile(bounded) as archive:
        members = archive.infolist()
        if len(members) > MEMBERS:
            raise UnreadableError(f"the archive holds more than {MEMBERS:,} files; hand in one without .venv and runs.")
        for member in members:
            if member.is_dir():
                continue
            name = member.filename.replace("\\", "/")  # some tools of Windows write these
            unpacked.offer(name, member.file_size, _kind(member), partial(_read_zip, archive, member))


def _kind(member: zipfile.ZipInfo) -> str:
    mode = member.external_attr >> 16
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    return "file" if stat.S_IFMT(mode) in (0, stat.S_IFREG) else "a device"


def _read_zip(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
    if member.flag_bits & 1:
        raise UnreadableError("the archive is encrypted; hand in one without a password.")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack without a limit
        raise UnreadableError("the archive is compressed in an uncommon way; hand in a plain zip.")
    data = bytearray()
    with archive.open(member) as stream:
        while len(data) < most and (piece := stream.read(min(1 << 16, most - len(data)))):
            data += piece
    return bytes(data)


def _unpack_tar(file: IO[bytes], unpacked: Unpacked) -> None:
    bounded = _Bounded(_decompressed(file), 1 << 20, STREAM_BYTES)
    with tarfile.open(fileobj=cast(IO[bytes], bounded), mode="r:") as archive:
        reached = 0
        for count, member in enumerate(archive):
            if count >= MEMBERS:
                raise UnreadableError(
                    f"the archive holds more than {MEMBERS:,} files; hand in one without .venv and runs."
                )
            if archive.offset <= reached:  # where the next begins: a size below zero leads back
                raise UnreadableError("the archive is damaged; make it anew.")
            reached = archive.offset
            if not member.isdir():
                unpacked.offer(member.name, member.size, _tar_kind(member), partial(_read_tar, archive, member))
        if bounded.last != bytes(tarfile.BLOCKSIZE):  # what stands behind the last member
            raise UnreadableError("the archive is truncated or damaged; upload it again.")


def _tar_kind(member: tarfile.TarInfo) -> str:
    if member.issym():
        return "a symbolic link"
    if member.islnk():
        return "a hard link"
    return "file" if member.isreg() and not member.issparse() else "a device or the like"


def _read_tar(archive: tarfile.TarFile, member: tarfile.TarInfo, most: int) -> bytes:
    stream = archive.extractfile(member)
    assert stream is not None
    return stream.read(most)


def _decompressed(file: IO[bytes]) -> IO[bytes]:
    start = file.read(6)
    file.seek(0)
    if start.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.GzipFile(fileobj=file))
    if start.startswith(b"BZh"):
        return cast(IO[bytes], bz2.BZ2File(file))
    if start == b"\xfd7zXZ\0":
        return cast(IO[bytes], lzma.LZMAFile(file))
    return file

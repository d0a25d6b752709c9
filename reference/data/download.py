"""One file from the internet, or from a folder: resumed where it broke off, checked, there whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests

from reference.checkpoint import user_error_unless_written
from reference.errors import UserError

CHUNK = 1 << 16
DIGEST = re.compile(r'"?([0-9a-f]{64})"?')
NO_URL = requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema
WORTH_ANOTHER_ATTEMPT = {408, 425, 429, 500, 502, 503, 504}


class Stopped(Exception):
    """A download ended because its downloader was told to stop."""


class _Broken(Exception):
    """Not all has come; what has is kept for the next attempt."""


class _Wrong(Exception):
    """All has come, and it is not what it should be; nothing of it is kept."""


@dataclass(frozen=True)
class Downloader:
    """How files are fetched.

    Attributes:
        attempts: before giving up.
        backoff: seconds of waiting after the first failure; twice as long after each further one.
        timeout: seconds without a byte after which a connection counts as broken.
        arrived: told of every so many bytes that have come.
        stop: once it is set, every download ends.
    """

    attempts: int = 5
    backoff: float = 1.0
    timeout: float = 30.0
    arrived: Callable[[int], None] = lambda count: None
    stop: threading.Event = field(default_factory=threading.Event)

    def fetch(self, url: str, path: Path, check: Callable[[Path], None] = lambda path: None) -> None:
        """Put what is at `url` (http, https or file) at `path`; do nothing if a file is there already.

        Until it is whole it is `path`.part, and a later attempt, of this process or another, goes on from there. Its
        length must be what the server said, and its SHA-256 too where it says one, as the hub does.

        Args:
            url: of the file.
            path: where it goes; missing folders are made.
            check: looks at the whole file; ValueError if it is not what it should be.

        Raises:
            UserError: it cannot be had, or not be written.
            Stopped: `stop` is set.
        """
        if path.exists():
            return
        part = path.with_name(f"{path.name}.part")
        with user_error_unless_written(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, self.attempts + 1):
            try:
                _check(part, self._receive(url, part), check)
            except (requests.RequestException, _Broken, _Wrong) as error:
                if attempt == self.attempts or _is_final(error):
                    raise UserError(f"Cannot fetch {url}: {_reason(error)}; {_advice(error, path)}.") from error
                if self.stop.wait(self.backoff * 2 ** (attempt - 1)):
                    raise Stopped from error
            else:
                with user_error_unless_written(path):
                    part.replace(path)
                return

    def _receive(self, url: str, part: Path) -> str | None:
        """Bring `part` to its full length; the SHA-256 that the server promises, if it does."""
        if urlsplit(url).scheme == "file":
            self._write(_chunks_of(Path(url2pathname(urlsplit(url).path))), part, append=False)
            return None
        have = part.stat().st_size if part.exists() else 0
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
        with requests.get(url, headers=headers, stream=True, timeout=self.timeout) as response:
            if response.status_code == 416:  # nothing comes after what we have: begin anew
                part.unlink()
                raise _Broken("what was there is longer than the file")
            response.raise_for_status()
            resumed = response.status_code == 206
            length = int(response.headers.get("Content-Length", -1))
            self._write(response.iter_content(CHUNK), part, append=resumed)
            if length >= 0 and part.stat().st_size != length + have * resumed:
                raise _Broken("the connection broke off")
            return _promised_digest(response)

    def _write(self, chunks: Iterable[bytes], part: Path, append: bool) -> None:
        with user_error_unless_written(part):
            file = part.open("ab" if append else "wb")
        with file:
            for chunk in chunks:  # not under the guard: what requests raises is an OSError too
                if self.stop.is_set():
                    raise Stopped
                with user_error_unless_written(part):
                    file.write(chunk)
                self.arrived(len(chunk))
            with user_error_unless_written(part):
                file.flush()
                os.fsync(file.fileno())


def _chunks_of(source: Path) -> Iterator[bytes]:
    try:
        stream = source.open("rb")
    except OSError as error:
        raise UserError(f"Cannot read {source} ({error.strerror}); name another --source.") from error
    with stream:
        yield from iter(lambda: stream.read(CHUNK), b"")


def _promised_digest(response: requests.Response) -> str | None:
    """The hub names a large file's SHA-256 in the answer that leads on to where the file lies."""
    for answer in (*response.history, response):
        if match := DIGEST.fullmatch(answer.headers.get("X-Linked-ETag", "")):
            return match[1]
    return None


def _check(part: Path, digest: str | None, check: Callable[[Path], None]) -> None:
    try:
        if digest is not None:
            with part.open("rb") as file:
                found = hashlib.sha256()
                while chunk := file.read(CHUNK):
                    found.update(chunk)
            if found.hexdigest() != digest:
                raise ValueError("its SHA-256 is not the one that the server names")
        check(part)
    except ValueError as error:
        part.unlink()
        raise _Wrong(str(error)) from error


def _is_final(error: Exception) -> bool:
    """Would another attempt end the same way?"""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return error.response.status_code not in WORTH_ANOTHER_ATTEMPT
    return isinstance(error, NO_URL)


def _reason(error: Exception) -> str:
    match error:
        case requests.HTTPError(response=requests.Response() as response):
            return f"the server answers {response.status_code} {response.reason}"
        case requests.exceptions.SSLError():
            return "the connection is not secure"
        case requests.Timeout():
            return "the server does not answer in time"
        case requests.ConnectionError() | requests.exceptions.ChunkedEncodingError():
            return "there is no connection, or it broke off"
    return str(error)


def _advice(error: Exception, path: Path) -> str:
    if isinstance(error, NO_URL):
        return "name another --source"
    if _is_final(error):
        return f"get it elsewhere and put it at {path}"
    return f"look to the network and run this again, which goes on from here, or put a copy at {path}"

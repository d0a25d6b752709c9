"""A web server on this machine that misbehaves as it is told, to try downloads on."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Unruly:
    """What it serves, what it is to do wrong, and what it was asked.

    Attributes:
        files: content by path, such as "/a.parquet".
        deeds: by path, what to do with the first request, the second, ...; afterwards it behaves:
            503 or another number: answer with it.
            "cut": send half of what is asked, and hang up.
            "stall": send half, then nothing until `released`.
            "other": send other bytes of the same length.
            "short": send half and call that all.
        ranges: honor Range headers.
        digests: lead on to the file, and name its SHA-256 on the way as the hub does.
        asked: (path, Range header or None) of every request for content.
    """

    files: dict[str, bytes]
    deeds: dict[str, list[int | str]] = field(default_factory=dict)
    ranges: bool = True
    digests: bool = False
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def requests_of(self, path: str) -> list[str | None]:
        return [header for asked, header in self.asked if asked == path]


def _handler(unruly: Unruly) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def answer(self, status: int, **headers: object) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), str(value))
            self.end_headers()

        def do_GET(self) -> None:
            path = self.path.removesuffix("?raw")
            content = unruly.files.get(path)
            if content is None:
                return self.answer(404, Content_Length=0)
            if unruly.digests and path == self.path:
                digest = hashlib.sha256(content).hexdigest()
                return self.answer(302, Location=f"{path}?raw", X_Linked_ETag=f'"{digest}"', Content_Length=0)
            asked = self.headers.get("Range")
            unruly.asked.append((path, asked))
            return self.send(content, asked, *(unruly.deeds.get(path) or [0])[:1])

        def send(self, content: bytes, asked: str | None, deed: int | str) -> None:
            if unruly.deeds.get(self.path.removesuffix("?raw")):
                unruly.deeds[self.path.removesuffix("?raw")].pop(0)
            if isinstance(deed, int) and deed:
                return self.answer(deed, Content_Length=0)
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and unruly.ranges else 0
            if asked and unruly.ranges and start >= len(content):
                return self.answer(416, Content_Length=0)
            body = content[start:]
            if deed == "other":
                body = bytes(byte ^ 1 for byte in body)
            if deed == "short":
                body = body[: len(body) // 2]
            self.answer(206 if asked and unruly.ranges else 200, Content_Length=len(body))
            half = len(body) // 2
            self.wfile.write(body[:half] if deed in ("cut", "stall") else body)
            self.wfile.flush()
            if deed == "stall":
                unruly.released.wait(2400)
            self.close_connection = True
            return None

    return Handler


@contextmanager
def serving(unruly: Unruly) -> Iterator[Unruly]:
    """Serve on a free port of the loopback until the end of the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(unruly))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    unruly.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield unruly
    finally:
        unruly.released.set()
        server.shutdown()
        server.server_close()
        thread.join()

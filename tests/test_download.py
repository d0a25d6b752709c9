"""One file from a server that fails, cuts, stalls and lies."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from reference.data.download import CHUNK, Downloader, Stopped
from reference.errors import UserError
from tests.unruly_server import Unruly, serving

CONTENT = Random(0).randbytes(3_000_000)
QUICK = Downloader(attempts=4, backoff=0.001, timeout=600)


@pytest.fixture
def server() -> Iterator[Unruly]:
    with serving(Unruly({"/file": CONTENT, "/empty": b""})) as unruly:
        yield unruly


def left(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in folder.iterdir()}


def test_a_file_arrives_whole(server: Unruly, tmp_path: Path) -> None:
    """In a folder that it makes, byte for byte, without a trace of the way; every byte is told of once."""
    told: list[int] = []
    Downloader(arrived=told.append).fetch(f"{server.url}/file", tmp_path / "new" / "file")
    assert (tmp_path / "new" / "file").read_bytes() == CONTENT
    assert left(tmp_path / "new") == {"file": len(CONTENT)}
    assert sum(told) == len(CONTENT)
    QUICK.fetch(f"{server.url}/empty", tmp_path / "empty")
    assert (tmp_path / "empty").read_bytes() == b""


def test_a_file_that_is_there_is_not_fetched(server: Unruly, tmp_path: Path) -> None:
    """Not even asked for."""
    (tmp_path / "file").write_bytes(b"mine")
    QUICK.fetch(f"{server.url}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"mine"
    assert server.asked == []


@pytest.mark.parametrize("deed", [503, 429, 500, "cut"])
def test_another_attempt_helps(server: Unruly, tmp_path: Path, deed: int | str) -> None:
    """A server that is busy, or hangs up, twice: the third attempt brings the file."""
    server.deeds["/file"] = [deed, deed]
    QUICK.fetch(f"{server.url}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert len(server.asked) == 3


def test_what_came_is_not_asked_for_again(server: Unruly, tmp_path: Path) -> None:
    """After a cut in the middle the next request begins there, in another process too."""
    server.deeds["/file"] = ["cut"] * 2
    with pytest.raises(UserError, match="broke off; look to the network and run this again"):
        Downloader(attempts=1).fetch(f"{server.url}/file", tmp_path / "file")
    have = left(tmp_path)["file.part"]
    assert 1_500_000 - CHUNK < have <= 1_500_000
    QUICK.fetch(f"{server.url}/file", tmp_path / "file")
    first, second, third = server.requests_of("/file")
    assert (first, second) == (None, f"bytes={have}-")
    assert third is not None
    assert int(third[6:-1]) > have + (len(CONTENT) - have) // 2 - CHUNK
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert left(tmp_path) == {"file": len(CONTENT)}


def test_a_server_without_ranges(server: Unruly, tmp_path: Path) -> None:
    """It sends all from the beginning, and that replaces what was there."""
    server.ranges = False
    server.deeds["/file"] = ["cut"]
    QUICK.fetch(f"{server.url}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("extra", [0, 7])
def test_a_part_that_is_as_long_as_the_file_or_longer(server: Unruly, tmp_path: Path, extra: int) -> None:
    """It may be of another file: it is thrown away."""
    (tmp_path / "file.part").write_bytes(b"x" * (len(CONTENT) + extra))
    QUICK.fetch(f"{server.url}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("deed", ["other", "short"])
def test_the_promised_sha256_is_held_against_what_came(server: Unruly, tmp_path: Path, deed: str) -> None:
    """Bytes that were changed or left out on the way, unnoticed by the connection, are fetched again from the start."""
    server.digests = True
    server.deeds["/file"] = [deed]
    QUICK.fetch(f"{server.url}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.requests_of("/file") == [None, None]
    server.deeds["/file"] = ["other"] * 4
    with pytest.raises(UserError, match="SHA-256 is not the one that the server names"):
        QUICK.fetch(f"{server.url}/file", tmp_path / "again")
    assert left(tmp_path) == {"file": len(CONTENT)}


def test_a_part_of_another_version_is_found_out(server: Unruly, tmp_path: Path) -> None:
    """The file was exchanged between two attempts: its SHA-256 tells."""
    server.digests = True
    (tmp_path / "file.part").write_bytes(b"of yesterday")
    QUICK.fetch(f"{server.url}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_the_callers_check(server: Unruly, tmp_path: Path) -> None:
    """What it refuses is fetched again, and in the end not kept; its reason is said."""
    server.deeds["/file"] = ["other"]

    def check(path: Path) -> None:
        assert path.name.endswith(".part")
        if path.read_bytes() != CONTENT:
            raise ValueError("it smells")

    QUICK.fetch(f"{server.url}/file", tmp_path / "file", check)
    assert (tmp_path / "file").read_bytes() == CONTENT
    server.deeds["/file"] = ["other"] * 4
    with pytest.raises(UserError, match=r"Cannot fetch http.*/file: it smells; look to the network"):
        QUICK.fetch(f"{server.url}/file", tmp_path / "again", check)
    assert left(tmp_path) == {"file": len(CONTENT)}


def test_a_stalled_connection(server: Unruly, tmp_path: Path) -> None:
    """When no byte comes for the timeout the connection is given up and made anew, from where it was."""
    server.deeds["/file"] = ["stall"]
    # one attempt more would do, unless this machine is so busy that an honest answer comes late as well
    Downloader(attempts=12, backoff=0.001, timeout=0.2).fetch(f"{server.url}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    server.deeds["/file"] = ["stall"]
    with pytest.raises(UserError, match=r"the server does not answer in time|there is no connection"):
        Downloader(attempts=1, timeout=0.2).fetch(f"{server.url}/file", tmp_path / "again")


def test_what_is_not_there(server: Unruly, tmp_path: Path) -> None:
    """No second attempt is made, for it would end the same way, and the sentence says what to do."""
    server.deeds["/file"] = [404]
    with pytest.raises(UserError, match="the server answers 404 Not Found; get it elsewhere and put it at") as error:
        QUICK.fetch(f"{server.url}/file", tmp_path / "file")
    assert "\n" not in str(error.value)
    assert (len(server.asked), left(tmp_path)) == (1, {})


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/file", "http://nowhere.invalid/file"])
def test_no_network(tmp_path: Path, url: str) -> None:
    """One sentence: what could not be fetched, why, and that running it again goes on."""
    with pytest.raises(UserError, match=r"there is no connection, .*; look to the network and run this again") as error:
        QUICK.fetch(url, tmp_path / "file")
    assert url in str(error.value)
    assert len(str(error.value)) < 250


@pytest.mark.parametrize("url", ["nonsense", "gopher://x/y"])
def test_no_url(tmp_path: Path, url: str) -> None:
    """What is no URL is refused at once."""
    with pytest.raises(UserError, match="; name another --source"):
        QUICK.fetch(url, tmp_path / "file")


def test_the_wait_doubles(server: Unruly, tmp_path: Path) -> None:
    """Between attempts it waits once, twice, four times the backoff, and not after the last."""
    waited = []

    class Clock(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(timeout)
            return False

    server.deeds["/file"] = [503] * 4
    with pytest.raises(UserError, match="503"):
        Downloader(attempts=4, backoff=0.5, stop=Clock()).fetch(f"{server.url}/file", tmp_path / "file")
    assert waited == [0.5, 1.0, 2.0]


def test_stopping(server: Unruly, tmp_path: Path) -> None:
    """It ends at the next chunk, or while waiting, and what has come stays for the next time."""
    stop = threading.Event()
    with pytest.raises(Stopped):
        Downloader(stop=stop, arrived=lambda count: stop.set()).fetch(f"{server.url}/file", tmp_path / "file")
    assert 0 < left(tmp_path)["file.part"] < len(CONTENT)
    server.deeds["/file"] = [503]
    with pytest.raises(Stopped):
        Downloader(backoff=60, stop=stop).fetch(f"{server.url}/file", tmp_path / "file")
    QUICK.fetch(f"{server.url}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_from_a_folder(tmp_path: Path) -> None:
    """A file:// URL is copied, blanks and all; one that is not there is named."""
    source = tmp_path / "a folder" / "file"
    source.parent.mkdir()
    source.write_bytes(CONTENT)
    QUICK.fetch(source.as_uri(), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    with pytest.raises(UserError, match=r"Cannot read .*none"):
        QUICK.fetch((tmp_path / "none").as_uri(), tmp_path / "other")


@pytest.mark.skipif(os.name == "nt" or not Path("/dev/full").exists(), reason="needs a full disk")
def test_a_full_disk(server: Unruly, tmp_path: Path) -> None:
    """It is said as such, and no further attempt is made."""
    (tmp_path / "file.part").symlink_to("/dev/full")
    with pytest.raises(UserError, match="The disk is full"):
        QUICK.fetch(f"{server.url}/file", tmp_path / "file")
    assert len(server.asked) == 1

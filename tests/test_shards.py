"""Shards: which are fetched, in what order, what a folder holds while they arrive, and Ctrl-C."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from reference.cli import main
from reference.data.documents import open_source
from reference.data.download import Downloader
from reference.data.loader import TokenLoader
from reference.data.parquet import ParquetDocuments, Plan, PlannedShards, read_plan
from reference.data.shards import ShardSource, fetch_shards, shard_name, shard_source
from reference.errors import UserError
from reference.tokenizer import train_tokenizer_rust
from tests.unruly_server import Unruly, serving

ROWS = (23, 10, 7, 16, 4)  # documents in each shard
QUICK = Downloader(attempts=3, backoff=0.001, timeout=600)
ROOT = Path(__file__).resolve().parent.parent


def texts_of(number: int) -> list[str]:
    return [f"shard {number} document {i}" for i in range(ROWS[number])]


def shard(number: int) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table({"text": texts_of(number)}), stream, row_group_size=5)
    return stream.getvalue()


@pytest.fixture
def server() -> Iterator[Unruly]:
    with serving(Unruly({f"/{shard_name(i)}": shard(i) for i in range(len(ROWS))})) as unruly:
        yield unruly


def fetch(server: Unruly, folder: Path, count: int, first: int = 0, workers: int = 1) -> tuple[list[str], str]:
    printed = io.StringIO()
    plan = ShardSource(server.url, len(ROWS)).plan(count)
    missing = fetch_shards(plan, folder, Console(file=printed, width=200), first, workers, QUICK)
    return missing, printed.getvalue()


def shards_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("*.parquet*"))


# ------------------------------------------------------------------------------------ plans


@pytest.mark.parametrize(("asked", "train"), [(1, 1), (3, 3), (4, 4), (5, 4), (99, 4), (0, 4), (-1, 4)])
def test_the_last_of_the_source_is_for_validation(asked: int, train: int) -> None:
    """However many are taken to train on; never one of those; 0 and less take all."""
    plan = ShardSource("http://x", 5).plan(asked)
    assert plan.train == tuple(f"shard_0000{i}.parquet" for i in range(train))
    assert plan.validation == "shard_00004.parquet"
    assert ShardSource().plan(8).validation == "shard_01822.parquet"


def test_sources(tmp_path: Path) -> None:
    """A URL has as many shards as one says, a folder as many as it holds, numbered without a gap."""
    assert shard_source("https://mirror.example/x/", 9) == ShardSource("https://mirror.example/x", 9)
    with pytest.raises(UserError, match="needs two shards"):
        shard_source("https://mirror.example", 1)
    for name in ("shard_00000.parquet", "shard_00001.parquet", "other.parquet"):
        (tmp_path / name).touch()
    for place in (str(tmp_path), tmp_path.as_uri()):
        assert shard_source(place) == ShardSource(tmp_path.as_uri(), 2)
    (tmp_path / "shard_00003.parquet").touch()
    with pytest.raises(UserError, match="none left out"):
        shard_source(str(tmp_path))
    with pytest.raises(UserError, match="does not hold"):
        shard_source(str(tmp_path / "none"))


# --------------------------------------------------------------------------------- fetching


def test_validation_comes_first_then_as_many_as_asked(server: Unruly, tmp_path: Path) -> None:
    """One request each; nothing else comes; a second call asks for nothing."""
    missing, printed = fetch(server, tmp_path / "data", 2)
    assert [path for path, _ in server.asked] == [
        "/shard_00004.parquet",
        "/shard_00000.parquet",
        "/shard_00001.parquet",
    ]
    assert shards_in(tmp_path / "data") == ["shard_00000.parquet", "shard_00001.parquet", "shard_00004.parquet"]
    assert missing == []
    assert "3/3  shard_00001.parquet" in printed
    assert "holds 2 shards to train on and shard_00004.parquet for validation" in printed
    fetch(server, tmp_path / "data", 2)
    assert len(server.asked) == 3
    fetch(server, tmp_path / "data", 3)
    assert [path for path, _ in server.asked[3:]] == ["/shard_00002.parquet"]


def test_several_at_a_time(server: Unruly, tmp_path: Path) -> None:
    """Workers share the shards; failures of some are mended."""
    server.deeds = {"/shard_00000.parquet": [503, "cut"], "/shard_00002.parquet": ["short"]}
    fetch(server, tmp_path, 4, workers=4)
    assert [pq.read_table(tmp_path / shard_name(i))["text"].to_pylist() for i in range(5)] == [
        texts_of(i) for i in range(5)
    ]


def test_a_shard_that_is_none_is_refused(server: Unruly, tmp_path: Path) -> None:
    """A page of words in place of a shard, a cut one, and one without the column: none of them gets into the folder."""
    stream = io.BytesIO()
    pq.write_table(pa.table({"body": ["a"]}), stream)
    for content, reason in (
        (b"<html>please log in</html>", "not a parquet file"),
        (shard(1)[:-20], "not a parquet file"),
        (stream.getvalue(), "no column `text`"),
    ):
        server.files["/shard_00001.parquet"] = content
        with pytest.raises(UserError, match=rf"shard_00001\.parquet: .*{reason}"):
            fetch(server, tmp_path, 2)
        assert shards_in(tmp_path) == ["shard_00000.parquet", "shard_00004.parquet"]


def test_no_network_is_one_sentence(tmp_path: Path) -> None:
    """After the first shard's attempts, not after those of all."""
    plan = ShardSource("http://127.0.0.1:9", 1823).plan(240)
    with pytest.raises(
        UserError, match=r"Cannot fetch http://127.0.0.1:9/shard_01822\.parquet: there is no connection"
    ):
        fetch_shards(plan, tmp_path, Console(file=io.StringIO()), downloader=QUICK)


def test_from_a_mirror(data_dir: Path, tmp_path: Path) -> None:
    """Real shards from a folder: the validation shard is its last, with one training shard as with two."""
    source = shard_source(str(data_dir / "base_data"))
    assert source.count == 3
    held_out = []
    for count in (1, 2):
        folder = tmp_path / str(count)
        fetch_shards(source.plan(count), folder, Console(file=io.StringIO()))
        held_out.append(list(open_source(str(folder)).validation()))
    assert held_out[0] == held_out[1] == list(ParquetDocuments(data_dir / "base_data").validation())


# ------------------------------------------------------------------- a folder still being filled


def test_what_is_measured_does_not_depend_on_what_is_there(server: Unruly, tmp_path: Path) -> None:
    """With the first of three shards a source is what it is with all: fingerprint, validation, order."""
    missing, _ = fetch(server, tmp_path, 3, first=1)
    assert missing == ["shard_00001.parquet", "shard_00002.parquet"]
    source = open_source(str(tmp_path))
    assert isinstance(source, PlannedShards)
    assert list(source.validation()) == texts_of(4)
    assert list(islice(source.stream("train"), 23)) == texts_of(0)
    with pytest.raises(UserError, match=r"shard_00001\.parquet is not in .*; run python -m reference data -n 3 --out"):
        list(islice(source.stream("train"), 24))
    fetch(server, tmp_path, 3)
    assert list(islice(source.stream("train"), 33)) == texts_of(0) + texts_of(1), "the same source sees it arrive"
    assert open_source(str(tmp_path)).fingerprint == source.fingerprint
    fetch(server, tmp_path, 4)
    assert open_source(str(tmp_path)).fingerprint != source.fingerprint
    assert json.loads(json.dumps(source.fingerprint)) == source.fingerprint


def test_what_is_missing_comes_from_where_the_others_came(server: Unruly, tmp_path: Path) -> None:
    """The command that a missing shard names fetches it; a folder takes no shards of a source with another last one."""
    fetch(server, tmp_path / "of all", 3)
    (tmp_path / "of all" / "shard_00001.parquet").unlink()
    with pytest.raises(UserError) as error:
        list(islice(open_source(str(tmp_path / "of all")).stream("train"), 24))
    command = re.search(r"run python -m reference data (.*?), which", str(error.value))
    assert command is not None
    main(["data", *shlex.split(command[1])])
    assert list(islice(open_source(str(tmp_path / "of all")).stream("train"), 33)) == texts_of(0) + texts_of(1)
    plan = (tmp_path / "of all" / "shards.json").read_text()
    with pytest.raises(
        UserError, match=r"of all is for the shards of http.*, of which shard_00004\.parquet is for val"
    ):
        fetch_shards(ShardSource().plan(3), tmp_path / "of all", Console(file=io.StringIO()), downloader=QUICK)
    assert (tmp_path / "of all" / "shards.json").read_text() == plan


def test_planned_shards_are_read_as_others(server: Unruly, tmp_path: Path) -> None:
    """Over ranks, starts and epochs they give what a folder without a plan gives: ranks disjoint, together complete."""
    fetch(server, tmp_path / "planned", 4)
    (tmp_path / "plain").mkdir()
    for i in range(5):
        (tmp_path / "plain" / shard_name(i)).write_bytes(shard(i))
    planned, plain = open_source(str(tmp_path / "planned")), ParquetDocuments(tmp_path / "plain")
    train = [text for i in range(4) for text in texts_of(i)]
    for world in (1, 2, 3, 7):
        taken = [list(islice(planned.stream("train", 0, rank, world), 200)) for rank in range(world)]
        together = [text for documents in zip(*taken, strict=True) for text in documents]
        assert together[: 2 * len(train)] == (train * 4)[: 2 * len(train)]
        for start in (0, 1, 30, 55, 56, 57, 500):
            for rank in {0, world - 1}:
                ours = list(islice(planned.stream("train", start, rank, world), 70))
                assert ours == list(islice(plain.stream("train", start, rank, world), 70))
    assert list(islice(planned.stream("val", 3), 5)) == (texts_of(4) * 2)[3:8]


def test_a_rank_resumes_in_its_second_epoch(server: Unruly, tmp_path: Path) -> None:
    """A loader made with the position of another goes on exactly there, beyond the end of the data too."""
    fetch(server, tmp_path, 4)
    source, tokenizer = open_source(str(tmp_path)), train_tokenizer_rust(texts_of(0), 270)
    for rank in range(3):
        loader = TokenLoader(source, tokenizer, 2, 40, rank=rank, world_size=3)
        for _ in range(12):
            resumed = TokenLoader(source, tokenizer, 2, 40, rank=rank, world_size=3, position=loader.position)
            expected, found = loader.next_batch(), resumed.next_batch()
            assert all(a.equal(b) for a, b in zip(expected, found, strict=True))
            assert loader.position == resumed.position
        assert loader.position["document"] > 20, "one epoch is 56 documents for three ranks"


@pytest.mark.parametrize("content", ["{", "[]", '{"source": "x"}', '{"source": "x", "train": [], "validation": "y"}'])
def test_a_damaged_plan_is_named(tmp_path: Path, content: str) -> None:
    """It is not taken for a folder without one."""
    (tmp_path / "shards.json").write_text(content)
    with pytest.raises(UserError, match=r"shards\.json is damaged"):
        open_source(str(tmp_path))


def test_plans_are_written_and_read(tmp_path: Path) -> None:
    """As they are; a folder without one has none."""
    assert read_plan(tmp_path) is None
    assert read_plan(tmp_path / "none") is None
    plan = Plan("http://x", ("a", "b"), "c")
    plan.write(tmp_path)
    assert read_plan(tmp_path) == plan
    with pytest.raises(UserError, match=r"The shard c is not in"):
        open_source(str(tmp_path))


# ------------------------------------------------------------------------------ the processes


def test_one_process_at_a_time(server: Unruly, tmp_path: Path) -> None:
    """A second call waits until the first is done, and then finds all there."""
    server.deeds["/shard_00001.parquet"] = ["stall"]
    first = threading.Thread(target=fetch, args=(server, tmp_path, 2))
    first.start()
    while len(server.asked) < 3:
        time.sleep(0.01)
    second: list[str] = []
    waiting = threading.Thread(target=lambda: second.append(fetch(server, tmp_path, 2)[1]))
    waiting.start()
    time.sleep(0.1)
    assert not second
    server.released.set()
    first.join()
    waiting.join()
    assert "another process is fetching into" in second[0]
    assert len(server.asked) == 4, "the stalled shard was asked for twice, and nothing by the second call"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_ctrl_c_and_the_next_call(server: Unruly, tmp_path: Path) -> None:
    """Ctrl-C ends it soon with status 130; whole shards are kept, the others go on from their parts."""
    big = io.BytesIO()
    pq.write_table(pa.table({"text": [os.urandom(600_000).hex() for _ in range(3)]}), big, compression="none")
    server.files["/shard_00001.parquet"] = big.getvalue()
    server.deeds["/shard_00001.parquet"] = ["stall"]
    command = [sys.executable, "-m", "reference", "data", "-n", "2", "-w", "1", "--out", str(tmp_path)]
    command += ["--source", server.url, "--shards-in-all", "5"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    part = tmp_path / "shard_00001.parquet.part"
    while not part.exists() or part.stat().st_size == 0:
        time.sleep(0.02)
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=1200)  # the server stalls for twice as long
    assert (process.returncode, err.strip()) == (130, "Stopped.")
    assert {"shard_00000.parquet", "shard_00004.parquet"} <= set(shards_in(tmp_path))
    fetch(server, tmp_path, 2)
    assert (tmp_path / "shard_00001.parquet").read_bytes() == big.getvalue()
    assert server.requests_of("/shard_00001.parquet")[-1] not in (None, "bytes=0-")


def test_the_rest_in_the_background(server: Unruly, tmp_path: Path) -> None:
    """With --first the command ends when the first shards are there; another process brings the others."""
    command = [sys.executable, "-m", "reference", "data", "-n", "3", "--out", str(tmp_path), "--source", server.url]
    command += ["--shards-in-all", "5"]
    done = subprocess.run([*command, "--first", "1"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "fetches the rest" in done.stdout
    assert shard_name(0) in shards_in(tmp_path)
    waited = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "holds 3 shards to train on" in waited.stdout
    assert shards_in(tmp_path) == [shard_name(i) for i in (0, 1, 2, 4)]
    assert len(server.asked) == 4, "each was asked for once"

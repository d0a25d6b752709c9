"""Sources of base text against pyarrow's own reading: order, seeking, ranks, validation, and bad input."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reference.data import fingerprint
from reference.data.documents import (
    ListDocuments,
    PythonDocs,
    TextDocuments,
    open_source,
    pieces,
)
from reference.data.parquet import ParquetDocuments
from reference.errors import UserError


def write_shard(path: Path, texts: list[str | None], rows_per_group: int) -> None:
    columns = {"id": list(range(len(texts))), "text": pa.array(texts, pa.string())}
    pq.write_table(pa.table(columns), path, row_group_size=rows_per_group)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Three shards of 23, 10 and 7 documents in row groups of at most 5."""
    for name, count in (("b", 10), ("a", 23), ("c", 7)):
        write_shard(tmp_path / f"{name}.parquet", [f"{name}{i}" for i in range(count)], 5)
    return tmp_path


def take(stream: Iterator[str], count: int) -> list[str]:
    return list(islice(stream, count))


TRAIN = [f"a{i}" for i in range(23)] + [f"b{i}" for i in range(10)]
VAL = [f"c{i}" for i in range(7)]


def parquet_and_list(shards: Path) -> Iterator[tuple[object, list[str], list[str]]]:
    yield ParquetDocuments(shards), TRAIN, VAL
    texts = [f"{i}" for i in range(65)]
    val = ["19", "39", "59"]
    yield ListDocuments("list", texts), [text for text in texts if text not in val], val


def test_order_and_epochs(shards: Path):
    """Shards come by name and rows in order, then all over again, for ever."""
    for source, train, val in parquet_and_list(shards):
        assert take(source.stream("train"), 3 * len(train)) == 3 * train
        assert take(source.stream("val"), 2 * len(val)) == 2 * val
        assert list(source.validation()) == val


@pytest.mark.parametrize("world_size", [1, 2, 3, 8, 50])
def test_ranks_and_seeking(shards: Path, world_size: int):
    """Rank r has documents r, r + W, ... of the endless row, and any start is a place in the same row."""
    for source, train, _ in parquet_and_list(shards):
        endless = train * (3 * world_size + 1)
        for rank in {0, 1 % world_size, world_size - 1}:
            own = endless[rank::world_size][: 3 * len(train)]
            assert take(source.stream("train", 0, rank, world_size), len(own)) == own
            for start in (1, 2, 4, 5, 22, 23, 24, len(train) - 1, len(train), 2 * len(train) + 3):
                assert take(source.stream("train", start, rank, world_size), 9) == own[start : start + 9]


def test_ranks_share_an_epoch(shards: Path):
    """One epoch's documents fall to exactly one rank each."""
    source = ParquetDocuments(shards)
    taken = [text for rank in range(3) for text in take(source.stream("train", 0, rank, 3), 11)]
    assert len(taken) == 33
    assert sorted(taken) == sorted(TRAIN)


def test_seeking_reads_no_row_group_before(shards: Path):
    """Seeking past a row group whose bytes are destroyed works, and reading it names the file."""
    shard = shards / "a.parquet"
    column = pq.read_metadata(shard).row_group(1).column(1)
    assert column.path_in_schema == "text"
    begin = min(filter(None, (column.data_page_offset, column.dictionary_page_offset)))
    data = bytearray(shard.read_bytes())
    data[begin : begin + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    shard.write_bytes(data)
    source = ParquetDocuments(shards)
    assert take(source.stream("train", 10), 23) == TRAIN[10:]
    assert take(source.stream("train"), 5) == TRAIN[:5]
    with pytest.raises(UserError, match=r"a\.parquet"):
        take(source.stream("train"), 6)


def test_validation_of_one_shard(tmp_path: Path):
    """With one shard its last row group is held out; with one row group its last 20th, at least one."""
    texts = [f"{i}" for i in range(45)]
    for rows, held_out in ((20, 5), (45, 2)):
        write_shard(tmp_path / "only.parquet", texts, rows)
        for path in (tmp_path, tmp_path / "only.parquet"):
            source = open_source(str(path))
            train, val = texts[:-held_out], texts[-held_out:]
            assert list(source.validation()) == val
            assert take(source.stream("train"), 2 * len(train)) == 2 * train
            assert take(source.stream("train", len(train) - 1), 2) == [train[-1], train[0]]
    write_shard(tmp_path / "only.parquet", ["a", "b"], 2)
    assert list(ParquetDocuments(tmp_path).validation()) == ["b"]


def test_validation_of_two_shards(tmp_path: Path):
    """With two shards the second is held out whole."""
    write_shard(tmp_path / "a.parquet", ["a", "b", "c"], 2)
    write_shard(tmp_path / "b.parquet", ["d", "e", "f"], 2)
    source = ParquetDocuments(tmp_path)
    assert list(source.validation()) == ["d", "e", "f"]
    assert take(source.stream("train"), 4) == ["a", "b", "c", "a"]


def test_validation_of_few_documents_in_memory():
    """Of fewer than 20 documents the last is held out."""
    source = ListDocuments("few", ["a", "b", "c"])
    assert list(source.validation()) == ["c"]
    assert take(source.stream("train"), 3) == ["a", "b", "a"]


def test_missing_text_is_an_empty_document(tmp_path: Path):
    """A null in the column counts as a document without text, so that the numbers of the others stay."""
    write_shard(tmp_path / "a.parquet", ["x", None, "z"], 3)
    assert take(ParquetDocuments(tmp_path).stream("train"), 2) == ["x", ""]


def test_large_row_groups_and_large_strings(tmp_path: Path):
    """A row group of many reading batches, in pyarrow's large string type, is streamed like any other."""
    texts = [f"{i}" for i in range(3000)]
    table = pa.table({"text": pa.array(texts, pa.large_string())})
    pq.write_table(table, tmp_path / "a.parquet")
    source = ParquetDocuments(tmp_path)
    assert take(source.stream("train", 0, 1, 7), 400) == texts[1:2800:7]
    assert take(source.stream("train", 2047), 2) == texts[2047:2049]


def test_fingerprint_tells_changed_data(shards: Path):
    """The fingerprint is plain JSON, the same for the same data and another when a document is added or exchanged."""
    before = ParquetDocuments(shards).fingerprint
    assert json.loads(json.dumps(before)) == ParquetDocuments(shards).fingerprint
    assert before["documents"] == 40
    write_shard(shards / "b.parquet", [f"b{i}" for i in range(11)], 5)
    added = ParquetDocuments(shards).fingerprint
    assert added["documents"] == 41
    size = (shards / "b.parquet").stat().st_size
    write_shard(shards / "b.parquet", [f"x{i}" for i in range(11)], 5)
    assert (shards / "b.parquet").stat().st_size == size
    exchanged = ParquetDocuments(shards).fingerprint
    assert len({before["sha256"], added["sha256"], exchanged["sha256"]}) == 3
    (shards / "b.parquet").rename(shards / "d.parquet")  # now it is for validation
    assert ParquetDocuments(shards).fingerprint["sha256"] != exchanged["sha256"]


def test_fingerprint_of_texts():
    """Any change of a text, of the order or of a border changes the fingerprint, and nothing else does."""
    prints = [ListDocuments("x", texts).fingerprint for texts in (["a", "é"], ["é", "a"], ["b", "é"], ["aé", ""])]
    assert all((found["documents"], found["bytes"]) == (2, 3) for found in prints)
    assert len({found["sha256"] for found in prints}) == 4
    assert ListDocuments("y", ["a", "é"]).fingerprint == prints[0]


@pytest.mark.parametrize("size", [0, 1, 65_536, 1_000_000, 1 << 20, 5_000_000])
def test_fingerprint_of_large_files(tmp_path: Path, size: int):
    """A change at either end is noticed, and up to 1 MiB one anywhere."""
    file = tmp_path / "a.parquet"
    content = random.Random(size).randbytes(size)
    places = {0, size // 2 - 1, size - 1} if size <= 1 << 20 else {0, 65_535, size - 65_536, size - 1}
    found = set()
    for place in [None, *sorted(place for place in places if 0 <= place < size)]:
        changed = bytearray(content)
        if place is not None:
            changed[place] ^= 1
        file.write_bytes(changed)
        found.add(fingerprint.of_files([file], 3)["sha256"])
    assert len(found) == 1 + len([place for place in places if 0 <= place < size])
    file.unlink()
    with pytest.raises(UserError, match=r"a\.parquet cannot be read"):
        fingerprint.of_files([file], 3)


# -------------------------------------------------------------------------------- text files


def test_text_files(tmp_path: Path):
    """Text files of all folders come by name; other files and hidden ones do not; every 20th is held out."""
    (tmp_path / "sub").mkdir()
    (tmp_path / ".git").mkdir()
    for i in range(25):
        (tmp_path / "sub" / f"{i:02}.md").write_text(f"text {i}\n", encoding="utf-8")
    (tmp_path / "first.txt").write_bytes(b"\xef\xbb\xbfGr\xc3\xbc\xc3\x9fe")
    (tmp_path / ".git" / "no.txt").write_text("hidden")
    (tmp_path / "no.py").write_text("code")
    source = open_source(str(tmp_path))
    assert isinstance(source, TextDocuments)
    expected = ["Grüße", *(f"text {i}\n" for i in range(25))]
    assert list(source.validation()) == [expected[19]]
    assert take(source.stream("train"), 25) == expected[:19] + expected[20:]


def test_long_files_become_several_documents(tmp_path: Path):
    """A long file is cut into documents after paragraphs, and nothing of it is lost."""
    paragraphs = [f"Paragraph {i}. " + "word " * (i % 300) + "\n\n" for i in range(300)]
    text = "".join(paragraphs)
    (tmp_path / "book.txt").write_text(text, newline="")
    found = list(pieces(text))
    assert "".join(found) == text
    assert all(2000 < len(piece) <= 4000 and piece.endswith("\n\n") for piece in found[:-1])
    source = open_source(str(tmp_path / "book.txt"))
    assert take(source.stream("train"), 25) == found[:19] + found[20:26]
    assert list(source.validation()) == found[19::20]


@pytest.mark.parametrize("unit", ["x", "word ", "a line\n", "\n\n", "é" * 3000 + "\n\n" + "b" * 3000 + " "])
def test_pieces_keep_every_character(unit: str):
    """Text of any shape is cut into pieces of 1 to 4,000 characters that join to the same text."""
    for length in (1, 3999, 4000, 4001, 12_345):
        text = (unit * length)[:length]
        found = list(pieces(text))
        assert "".join(found) == text
        assert all(0 < len(piece) <= 4000 for piece in found)


# -------------------------------------------------------------------------------- python-docs


def test_python_docs():
    """Reference and docstrings of this Python are there, nothing is imported, the splits share nothing."""
    before = set(sys.modules)
    source = open_source("python-docs")
    assert isinstance(source, PythonDocs)
    assert not {"this", "antigravity", "turtle", "tkinter"} & (set(sys.modules) - before)
    assert source.name == "python-docs"
    count = source.fingerprint["documents"]
    assert 1_000_000 < source.fingerprint["bytes"] < 6_000_000
    val = list(source.validation())
    train = take(source.stream("train"), count - len(val))
    everything = "\n".join(train + val)
    assert len(val) == count // 20
    trained = set("\n\n".join(train).split("\n\n"))
    paragraphs = [part for text in val for part in text.split("\n\n")[1:-1]]  # the first and last may be cut
    assert len(paragraphs) > 500
    assert not trained & {part for part in paragraphs if part.strip()}
    assert json.dumps.__doc__.strip().splitlines()[0] in everything
    assert Path.read_text.__doc__.strip().splitlines()[0] in everything
    assert "lambda_expr" in everything
    assert "test_support" not in everything


# -------------------------------------------------------------------------------- bad input


def make_bad(kind: str, folder: Path) -> Path:
    """Makes a bad source of the kind and returns the path that the error must name."""
    if kind in ("no such place", "no files"):
        return folder / "nothing" if kind == "no such place" else folder
    path = folder / ("bad.parquet" if "parquet" in kind else "bad.pdf" if kind == "other file" else "bad.txt")
    tables = {
        "parquet without text": {"body": ["a", "b"]},
        "parquet of numbers": {"text": [1, 2]},
        "parquet of bytes": {"text": [b"a", b"b"]},
        "parquet without rows": {"text": pa.array([], pa.string())},
        "parquet of one row": {"text": ["a"]},
    }
    contents = {
        "empty parquet": b"",
        "text called parquet": b"Once upon a time there was a fox.",
        "cut parquet": b"PAR1" + b"\0" * 100,
        "other file": b"%PDF",
        "empty text": b"",
        "blank text": b" \n\n ",
        "binary text": b"a\0b",
        "latin-1 text": "é".encode("latin-1"),
        "one short text": b"One document only.",
    }
    if kind in tables:
        pq.write_table(pa.table(tables[kind]), path)
    else:
        path.write_bytes(contents[kind])
    return path


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("no such place", "no data"),
        ("no files", "holds no"),
        ("parquet without text", "no column `text` of strings, only body"),
        ("parquet of numbers", "no column"),
        ("parquet of bytes", "no column"),
        ("parquet without rows", "is empty"),
        ("parquet of one row", "one document"),
        ("empty parquet", "cannot be read as parquet"),
        ("text called parquet", "cannot be read as parquet"),
        ("cut parquet", "cannot be read as parquet"),
        ("other file", "is not a"),
        ("empty text", "is empty"),
        ("blank text", "is empty"),
        ("binary text", "binary"),
        ("latin-1 text", "UTF-8"),
        ("one short text", "one document"),
    ],
)
def test_bad_data_is_named(tmp_path: Path, kind: str, fault: str):
    """Data that cannot be used is the user's error: one sentence with the place and the fault."""
    bad = make_bad(kind, tmp_path)
    for path in {bad, tmp_path} if kind not in ("no such place", "other file") else {bad}:
        with pytest.raises(UserError, match=fault) as error:
            open_source(str(path))
        message = str(error.value)
        assert (path if kind == "one short text" else bad).name in message
        assert message.endswith(".")
        assert "\n" not in message


def test_unreadable_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A text file that the system refuses to read is named too."""
    (tmp_path / "a.txt").write_text("a")

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UserError, match=r"a\.txt.*Permission denied"):
        open_source(str(tmp_path))


# -------------------------------------------------------------------------------- real shards


def test_real_shards(data_dir: Path):
    """On real shards the stream is what pyarrow reads, and the last shard is the validation split."""
    paths = sorted((data_dir / "base_data").glob("*.parquet"))
    source = open_source(str(data_dir / "base_data"))
    tables = [pq.read_table(path)["text"].to_pylist() for path in paths]
    assert list(source.validation()) == tables[-1]
    train = [text for table in tables[:-1] for text in table]
    assert take(source.stream("train", 700, 1, 2), 1100) == (train + train)[1401:][:2200:2]

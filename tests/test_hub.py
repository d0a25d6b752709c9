"""Data sets from a folder in the hub's layout, from a stand-in for the hub, and from nowhere."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reference.data.hub import Hub, Missing, data_root, hub_answers, rows_of
from reference.errors import UserError

ROWS = [{"question": f"q{i}", "choices": {"text": ["x", f"y{i}"], "label": ["A", "B"]}} for i in range(10)]


def write(root: Path, name: str, rows: list[dict[str, Any]], rows_per_group: int = 3) -> None:
    folder = root / "org" / "set" / "main"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / name, row_group_size=rows_per_group)


def refuse(name: str, config: str, split: str) -> pa.Table:
    raise ConnectionError(f"no route to {name}\nfor many reasons")


def test_rows_of_a_mirror(tmp_path: Path) -> None:
    """All files of the split, in their order, row by row and in slices; the hub is not asked."""
    write(tmp_path, "train-00000-of-00002.parquet", ROWS[:7])
    write(tmp_path, "train-00001-of-00002.parquet", ROWS[7:])
    write(tmp_path, "test-00000-of-00001.parquet", ROWS[:2])
    rows = Hub(tmp_path, refuse).rows("org/set", "main", "train")
    assert list(rows) == ROWS
    assert list(rows[::-3]) == ROWS[::-3]
    assert len(Hub(tmp_path, refuse).rows("org/set", "main", "test")) == 2


def test_rows_of_the_hub(tmp_path: Path) -> None:
    """What is not in the folder is fetched, by its name, configuration and split."""
    asked = []

    def fetch(*what: str) -> pa.Table:
        asked.append(what)
        return pa.concat_tables([pa.Table.from_pylist(ROWS[:4]), pa.Table.from_pylist(ROWS[4:])])

    assert list(Hub(tmp_path, fetch).rows("org/set", "main", "train")) == ROWS
    assert asked == [("org/set", "main", "train")]


def test_rows_across_empty_and_small_chunks() -> None:
    """A row is found whatever the chunks of the table."""
    chunks = [ROWS[:0], ROWS[:1], ROWS[:0], ROWS[1:9], ROWS[9:], ROWS[:0]]
    schema = pa.Table.from_pylist(ROWS).schema
    table = pa.concat_tables(pa.Table.from_pylist(chunk, schema=schema) for chunk in chunks)
    assert [rows_of(table)[i] for i in range(-10, 10)] == ROWS + ROWS
    assert list(rows_of(table[:0])) == []


@pytest.mark.parametrize(
    ("fetch", "sentence"),
    [
        (None, r"put train-00000-of-00001\.parquet into .*set/main\.$"),
        (refuse, r"the hub does not give it \(no route to org/set\)\.$"),
    ],
)
def test_missing_sets_are_named(tmp_path: Path, fetch: Any, sentence: str) -> None:
    """One sentence: which set and split, where it was looked for, and why the hub does not help."""
    with pytest.raises(Missing, match=rf"The data set org/set \(main, train\) is not in .*{sentence}") as error:
        Hub(tmp_path, fetch).rows("org/set", "main", "train")
    assert "\n" not in str(error.value)


def test_without_the_library(tmp_path: Path) -> None:
    """Where `datasets` is not installed the sentence says how to install it."""

    def fetch(*what: str) -> pa.Table:
        raise ModuleNotFoundError("No module named 'datasets'")

    with pytest.raises(Missing, match=r"pip install 'nanokata\[full\]'"):
        Hub(tmp_path, fetch).rows("org/set", "main", "train")


def test_no_network_is_noticed_at_once() -> None:
    """Before the library tries again and again; a server that is there counts, whatever it says."""
    assert not hub_answers("http://127.0.0.1:1")
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:  # which answers 501
        Thread(target=server.serve_forever, daemon=True).start()
        assert hub_answers(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


@pytest.mark.parametrize("names", [["train-00001-of-00002"], ["train-00000-of-00002"], ["train-0"]])
def test_incomplete_sets_are_refused(tmp_path: Path, names: list[str]) -> None:
    """A split of which a file is missing would silently be a smaller one."""
    for name in names:
        write(tmp_path, f"{name}.parquet", ROWS)
    with pytest.raises(UserError, match="some are missing"):
        Hub(tmp_path, None).rows("org/set", "main", "train")


def test_damaged_sets_are_named(tmp_path: Path) -> None:
    """A file that is no parquet is named, in one sentence."""
    write(tmp_path, "train-00000-of-00001.parquet", ROWS)
    (tmp_path / "org" / "set" / "main" / "train-00000-of-00001.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(UserError, match=r"set/main cannot be read as parquet"):
        Hub(tmp_path, None).rows("org/set", "main", "train")


def test_where_data_lies(data_dir: Path) -> None:
    """NANOKATA_DATA names the folder."""
    assert data_root() == data_dir


@pytest.mark.parametrize("name", ["openai/gsm8k/main/test", "allenai/ai2_arc/ARC-Easy/train", "cais/mmlu/all/dev"])
def test_real_rows_beside_the_datasets_library(data_dir: Path, name: str, tmp_path: Path) -> None:
    """The library reads the same rows from the same file, and shuffles them the same way."""
    datasets = pytest.importorskip("datasets")
    set_name, config, split = name.rsplit("/", 2)
    file = data_dir / f"{name}-00000-of-00001.parquet"
    theirs = datasets.Dataset.from_parquet(str(file), cache_dir=str(tmp_path))
    ours = Hub(data_dir, None).rows(set_name, config, split)
    assert list(ours) == list(theirs)
    assert list(rows_of(theirs.with_format("arrow")[:])) == list(theirs), "as Hub reads what the library has fetched"

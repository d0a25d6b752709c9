"""A shard that is planned and not there when training reaches it: said, nothing lost, gone on with when it has come."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reference.data.generated import write_generated
from reference.data.parquet import Plan
from reference.run import Run
from tests.test_scale import go, train
from tests.tiny_run import needs_signals, numbers
from tests.worlds import ended, said

pytestmark = needs_signals

FIRST, SECOND, HELD_OUT = (f"shard_{number:05d}.parquet" for number in range(3))
DOCUMENTS, CHARACTERS = 200, 30  # of the first shard: enough for some steps, and too little for all


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """All data sets, with a plan of two shards to train on, the first of which is short."""
    root = tmp_path / "hub"
    write_generated(root)
    shards = root / "base_data"
    texts = pq.read_table(shards / FIRST)["text"].to_pylist()[:DOCUMENTS]
    pq.write_table(pa.table({"text": [text[:CHARACTERS] for text in texts]}), shards / FIRST)
    Plan("https://example.org", (FIRST, SECOND), HELD_OUT).write(shards)
    return root


def test_a_shard_that_has_not_come(data: Path, tmp_path: Path) -> None:
    """Both processes end, with its name and what to do; then the same command goes on to the same losses."""
    folder, undisturbed = tmp_path / "late", tmp_path / "undisturbed"
    go(data, folder, "tokenizer")
    shutil.copytree(folder, undisturbed)
    second = data / "base_data" / SECOND
    second.rename(tmp_path / SECOND)

    base = partial(train, data=data, stages=("base",))
    assert ended(2, partial(base, folder=folder), folder) == [2, 2]
    sentences = [said(folder, rank) for rank in (0, 1)]
    (told,) = {sentence for sentence in sentences if not sentence.startswith("Another process")}
    assert told.startswith(
        f"The shard {SECOND} is not in {data / 'base_data'}; run python -m reference data -n 2 --out "
    )
    done = len(Run.open(folder, "t").metrics("base"))
    assert 0 < done < 6

    (tmp_path / SECOND).rename(second)
    assert ended(2, partial(base, folder=folder), folder) == [0, 0]
    assert ended(2, partial(base, folder=undisturbed), undisturbed) == [0, 0]
    run = Run.open(folder, "t")
    assert run.is_complete("base")
    assert numbers(run) == numbers(Run.open(undisturbed, "t"))

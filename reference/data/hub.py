"""Data sets of the Hugging Face hub, from a local folder in the hub's layout or by the `datasets` library.

ROOT/openai/gsm8k/main/train-00000-of-00001.parquet       ORG/NAME/CONFIG/SPLIT-NNNNN-of-NNNNN.parquet
ROOT/base_data/ eval_bundle/ words/                       what `python -m reference data` fetches
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import requests

from reference.data.lazy import Lazy
from reference.errors import UserError

Row = dict[str, Any]
SHARD_NAME = re.compile(r".+-(\d{5})-of-(\d{5})\.parquet")


class Missing(UserError):
    """A data set that is neither in the folder nor to be had from the hub."""


def data_root() -> Path:
    """Where data lies and downloads go: the folder that NANOKATA_DATA names, else one in the user's cache."""
    named = os.environ.get("NANOKATA_DATA")
    return Path(named) if named else Path.home() / ".cache" / "nanokata"


def from_the_internet(name: str, config: str, split: str) -> pa.Table:
    """The split as the `datasets` library downloads and caches it; where there is no network, as it has cached it."""
    answers = hub_answers(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    if not answers:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # or that library tries for half a minute, set by set
    import datasets

    try:
        return datasets.load_dataset(name, config, split=split).with_format("arrow")[:]
    except Exception as error:
        if answers:
            raise
        raise ConnectionError("there is no connection to it") from error


@cache
def hub_answers(url: str) -> bool:
    """Whether anything can be had from the hub at all, looked up once."""
    try:
        requests.head(url, timeout=10)
    except requests.RequestException:
        return False
    return True


@dataclass(frozen=True)
class Hub:
    """Where data sets come from: the folder first, then `fetch`, or with None the folder alone."""

    root: Path
    fetch: Callable[[str, str, str], pa.Table] | None = from_the_internet

    def rows(self, name: str, config: str, split: str) -> Lazy[Row]:
        """The rows of one split as dictionaries, read when they are asked for.

        Raises:
            Missing: the data set is in neither place; the message names it.
            UserError: a file is damaged, or one of several is missing.
        """
        files = sorted((self.root / name / config).glob(f"{split}-*.parquet"))
        return rows_of(_read(files) if files else self._fetched(name, config, split))

    def _fetched(self, name: str, config: str, split: str) -> pa.Table:
        wanted = f"The data set {name} ({config}, {split}) is not in {self.root}"
        if self.fetch is None:
            raise Missing(f"{wanted}; put {split}-00000-of-00001.parquet into {self.root / name / config}.")
        try:
            return self.fetch(name, config, split)
        except ImportError as error:
            raise Missing(f"{wanted}, and the datasets library is missing: pip install 'nanokata[full]'.") from error
        except Exception as error:  # that library raises what its many parts raise; all of it means: not to be had
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise Missing(f"{wanted}, and the hub does not give it ({reason[0]}).") from error


def rows_of(table: pa.Table) -> Lazy[Row]:
    """A table's rows; one of many chunks is found by bisection."""
    batches = [batch for batch in table.to_batches() if len(batch)]
    ends = np.cumsum([len(batch) for batch in batches])

    def row(i: int) -> Row:
        k = int(np.searchsorted(ends, i, side="right"))
        batch = batches[k]
        return batch.slice(i - int(ends[k]) + len(batch), 1).to_pylist()[0]

    return Lazy(len(table), row)


def _read(files: list[Path]) -> pa.Table:
    parts = [match.groups() for file in files if (match := SHARD_NAME.fullmatch(file.name))]
    if [(int(number), int(count)) for number, count in parts] != [(i, len(files)) for i in range(len(files))]:
        raise UserError(f"Of {files[0]} and its like some are missing, as their numbers say; fetch them all again.")
    try:
        return pa.concat_tables(pq.read_table(file, memory_map=True) for file in files)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{files[0].parent} cannot be read as parquet ({error}); fetch it again.") from error

"""Base training's text in parquet shards: a column `text`, a row a document."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from reference.checkpoint import write_atomically
from reference.data import fingerprint
from reference.errors import UserError

VALIDATION_EVERY = 20  # of documents that are in no shards of their own, every 20th
PLAN_FILE = "shards.json"


@dataclass(frozen=True)
class RowGroup:
    """`count` rows of one row group of a parquet file, from row `first` on."""

    path: Path
    index: int
    first: int
    count: int

    def texts(self, start: int, step: int) -> Iterator[str]:
        """Rows start, start + step, ..., read in batches, so that a huge row group is no danger to memory."""
        row, end, begin = self.first + start, self.first + self.count, 0
        try:
            with pq.ParquetFile(self.path) as file:
                for batch in file.iter_batches(1024, row_groups=[self.index], columns=["text"]):
                    while row < min(begin + len(batch), end):
                        yield batch.column(0)[row - begin].as_py() or ""
                        row += step
                    begin += len(batch)
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"{self.path} cannot be read as parquet; fetch or make it again.") from error


class ParquetDocuments:
    """Parquet shards with a `text` column, a row a document, in the order of their names.

    The last shard is for validation; of a single one the last row group; of a single row group the last 20th.
    """

    def __init__(self, path: Path) -> None:
        shards = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        groups = [_row_groups(shard) for shard in shards]
        if len(shards) > 1:
            train, val = [group for shard in groups[:-1] for group in shard], groups[-1]
        elif len(groups[0]) > 1:
            train, val = groups[0][:-1], groups[0][-1:]
        else:
            train, val = _divided(groups[0][0])
        self.name = path.resolve().name
        self.fingerprint = fingerprint.of_files(shards, sum(group.count for group in train + val))
        self._splits = {"train": train, "val": val}

    def stream(self, split: str, start: int = 0, rank: int = 0, world_size: int = 1) -> Iterator[str]:
        groups = self._splits[split]
        first = (start * world_size + rank) % sum(group.count for group in groups)
        return _every(world_size, first, lambda: groups)

    def validation(self) -> Iterator[str]:
        return islice(self.stream("val"), sum(group.count for group in self._splits["val"]))


@dataclass(frozen=True)
class Plan:
    """Which shards a folder is to hold, written into it before they come: so a run need not wait for the last one.

    Attributes:
        source: where they come from.
        train: names of the shards to train on, in order.
        validation: name of the shard for validation: the last of the source, however many of the others are taken.
    """

    source: str
    train: tuple[str, ...]
    validation: str

    def write(self, folder: Path) -> None:
        write_atomically(folder / PLAN_FILE, (json.dumps(asdict(self), indent=2) + "\n").encode())


def read_plan(folder: Path) -> Plan | None:
    """The plan of a folder, or None where nobody has written one; UserError for a damaged one."""
    file = folder / PLAN_FILE
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_bytes())
        plan = Plan(content["source"], tuple(content["train"]), content["validation"])
        if not plan.train or not all(isinstance(name, str) for name in (*plan.train, plan.validation)):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"The file {file} is damaged; delete it and fetch the shards again, {_command(folder)}."
        ) from error
    return plan


def _command(folder: Path, count: int | str = "N") -> str:
    return f"python -m reference data -n {count} --out {shlex.quote(str(folder))}"


class PlannedShards:
    """The shards of a plan, each opened when its turn comes: those that training needs later may still be arriving."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._folder, self._plan = folder, plan
        self._opened: dict[str, list[RowGroup]] = {}
        self.name = folder.resolve().name
        held_out = folder / plan.validation
        rows = sum(group.count for group in self._groups(plan.validation))
        train = f"{len(plan.train)} shards, {plan.train[0]} to {plan.train[-1]}"
        self.fingerprint = {**fingerprint.of_files([held_out], rows), "train": train}

    def stream(self, split: str, start: int = 0, rank: int = 0, world_size: int = 1) -> Iterator[str]:
        names = {"train": self._plan.train, "val": (self._plan.validation,)}[split]
        groups = lambda: (group for name in names for group in self._groups(name))  # noqa: E731
        return _every(world_size, start * world_size + rank, groups)

    def validation(self) -> Iterator[str]:
        return islice(self.stream("val"), sum(group.count for group in self._groups(self._plan.validation)))

    def _groups(self, name: str) -> list[RowGroup]:
        if name not in self._opened:
            if not (self._folder / name).exists():
                raise UserError(
                    f"The shard {name} is not in {self._folder}; run {_command(self._folder, len(self._plan.train))}, "
                    "which fetches what is missing, or waits for the process that does, and then this again."
                )
            self._opened[name] = _row_groups(self._folder / name)
        return self._opened[name]


def _every(step: int, row: int, groups: Callable[[], Iterable[RowGroup]]) -> Iterator[str]:
    """Rows row, row + step, ... of all groups one after another, again and again."""
    while True:
        for group in groups():  # row counts from the beginning of the group, which may lie far before it
            if row < group.count:
                yield from group.texts(row, step)
                row += -(-(group.count - row) // step) * step
            row -= group.count


def _row_groups(shard: Path) -> list[RowGroup]:
    try:
        metadata = pq.read_metadata(shard)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{shard} cannot be read as parquet; fetch or make it again.") from error
    columns = {field.name: field.type for field in metadata.schema.to_arrow_schema()}
    if columns.get("text") not in (pa.string(), pa.large_string()):
        raise UserError(f"{shard} has no column `text` of strings, only {', '.join(columns) or 'none'}.")
    counts = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    groups = [RowGroup(shard, i, 0, count) for i, count in enumerate(counts) if count]
    if not groups:
        raise UserError(f"{shard} is empty; take it away.")
    return groups


def _divided(group: RowGroup) -> tuple[list[RowGroup], list[RowGroup]]:
    if group.count < 2:
        raise UserError(f"{group.path} holds one document, but training and validation need one each; add text.")
    held_out = max(1, group.count // VALIDATION_EVERY)
    kept = group.count - held_out
    return (
        [RowGroup(group.path, group.index, 0, kept)],
        [RowGroup(group.path, group.index, kept, held_out)],
    )

"""FineWeb-Edu in shards of a hundred megabytes: fetched from the hub or a copy of it, as many as training needs.

The shards are shard_00000.parquet, shard_00001.parquet, ... of one column, `text`. The last of the source is for
validation and is fetched before any other: what a model is measured on does not depend on how many are on disk.
Source: "The FineWeb Datasets" (arXiv:2406.17557), in the shuffled form of the hub's
karpathy/fineweb-edu-100b-shuffle.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from reference.checkpoint import user_error_unless_written
from reference.data.download import Downloader
from reference.data.parquet import Plan, read_plan
from reference.errors import UserError
from reference.lock import try_lock
from reference.progress import say

HUB_URL = "https://huggingface.co/datasets/karpathy/fineweb-edu-100b-shuffle/resolve/main"
HUB_SHARDS = 1823
LOG_FILE = "fetching.log"


@dataclass(frozen=True)
class ShardSource:
    """Numbered shards under a URL; the last is for validation."""

    url: str = HUB_URL
    count: int = HUB_SHARDS

    def plan(self, train: int) -> Plan:
        """The first `train` shards, or with 0 and less all of them, and the last for validation."""
        wanted = self.count - 1 if train <= 0 else min(train, self.count - 1)
        return Plan(self.url, tuple(shard_name(i) for i in range(wanted)), shard_name(self.count - 1))


def shard_name(number: int) -> str:
    return f"shard_{number:05d}.parquet"


def shard_number(name: str) -> int:
    return int(name.removeprefix("shard_").removesuffix(".parquet"))


def shard_source(place: str, count: int = HUB_SHARDS) -> ShardSource:
    """The source that `place` names: a URL with `count` shards, or a folder, whose shards are counted."""
    if "://" in place and not place.startswith("file:"):
        if count < 2:
            raise UserError(f"A source needs two shards, one to train on and one for validation, not {count}.")
        return ShardSource(place.rstrip("/"), count)
    folder = Path(place.removeprefix("file://"))
    names = [file.name for file in sorted(folder.glob("shard_*.parquet"))]
    if len(names) < 2 or names != [shard_name(i) for i in range(len(names))]:
        raise UserError(
            f"The folder {folder} does not hold shard_00000.parquet, shard_00001.parquet and so on, two at least "
            "and none left out; name another --source."
        )
    return ShardSource(folder.resolve().as_uri(), len(names))


def source_of(folder: Path) -> ShardSource:
    """The source that a folder was begun with, or the hub for a new one."""
    plan = read_plan(folder)
    return ShardSource(plan.source, shard_number(plan.validation) + 1) if plan else ShardSource()


def check_shard(path: Path) -> None:
    """ValueError unless the file ends as a parquet file must and has a column `text`: a cut one does not."""
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise ValueError("what came is not a parquet file") from error
    if "text" not in schema.names:
        raise ValueError("the shard has no column `text`")


def fetch_shards(
    plan: Plan, folder: Path, console: Console, first: int = 0, workers: int = 4, downloader: Downloader | None = None
) -> list[str]:
    """Bring the shards of a plan into `folder`, with the plan; what is there is not fetched again.

    Args:
        plan: which shards.
        folder: where they go. One process at a time works there; another waits for it.
        console: where progress is shown.
        first: only so many of those to train on, and that for validation; 0 and less means all.
        workers: shards at a time.
        downloader: how they are fetched.

    Returns:
        The names of the shards that are still missing, because of `first`.

    Raises:
        UserError: a shard cannot be had, or the folder is for those of another source.
        KeyboardInterrupt: on Ctrl-C, after the running downloads have been put aside; the next call goes on from there.
    """
    with _alone(folder, console):
        before = read_plan(folder)
        if before and before.validation != plan.validation:  # or what is measured would be another text
            raise UserError(
                f"{folder} is for the shards of {before.source}, of which {before.validation} is for validation; leave "
                "--source out to go on with these, or name another --out."
            )
        plan.write(folder)
        wanted = plan.train[:first] if first > 0 else plan.train
        missing = [name for name in (plan.validation, *wanted) if not (folder / name).exists()]
        progress = _Progress(console, len(missing))
        for names in (missing[:1], missing[1:]):  # the first alone: when there is no network, one sentence comes soon
            stop = threading.Event()
            fetching = replace(downloader or Downloader(), arrived=progress.arrived, stop=stop)
            for name in _at_once(partial(_fetch_shard, fetching, plan.source, folder), names, workers, stop):
                progress.done(name)
        say(console, f"data  {folder} holds {len(wanted):,} shards to train on and {plan.validation} for validation")
    return [name for name in plan.train if not (folder / name).exists()]


def _fetch_shard(downloader: Downloader, source: str, folder: Path, name: str) -> None:
    downloader.fetch(f"{source}/{name}", folder / name, check_shard)


def fetch_in_background(arguments: list[str], folder: Path, console: Console) -> None:
    """Run `python -m reference data` with `arguments` in a process that outlives this one, and say so."""
    with user_error_unless_written(folder / LOG_FILE):
        log = (folder / LOG_FILE).open("ab")
    with log:
        command = [sys.executable, "-m", "reference", "data", *arguments]
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    say(console, f"data  process {child.pid} fetches the rest; its log is {folder / LOG_FILE}")


def _at_once(fetch: Callable[[str], None], names: list[str], workers: int, stop: threading.Event) -> Iterator[str]:
    """The names as they are fetched, some at a time; after an error or Ctrl-C the others end too.

    The threads are daemons, which a pool's are not: one that hangs on a dead connection does not keep the process.
    """
    to_do: SimpleQueue[str] = SimpleQueue()
    done: SimpleQueue[str | Exception] = SimpleQueue()
    for name in names:
        to_do.put(name)

    def work() -> None:
        with suppress(Empty):
            while not stop.is_set():
                name = to_do.get_nowait()
                try:
                    fetch(name)
                    done.put(name)
                except Exception as error:  # whatever it is, it is raised below
                    done.put(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(workers, len(names)))]
    for thread in threads:
        thread.start()
    try:
        for _ in names:
            result = done.get()
            if isinstance(result, Exception):
                raise result
            yield result
    finally:
        stop.set()
        for thread in threads:
            thread.join(0.5)


@contextmanager
def _alone(folder: Path, console: Console) -> Iterator[None]:
    """Hold the folder for this process; wait while another has it."""
    with user_error_unless_written(folder):
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / ".lock").open("a+")
    with stream:
        if not try_lock(stream):
            say(console, f"data  another process is fetching into {folder}; waiting until it ends")
            while not try_lock(stream):
                time.sleep(0.2)
        yield


class _Progress:
    """A line for every shard, with the rate and the time left, or at most a hundred lines."""

    def __init__(self, console: Console, total: int) -> None:
        self.console, self.total = console, total
        self.count = self.bytes = 0
        self.started = time.monotonic()
        self.lock = threading.Lock()

    def arrived(self, count: int) -> None:
        with self.lock:
            self.bytes += count

    def done(self, name: str) -> None:
        self.count += 1
        if self.count * 100 // self.total == (self.count - 1) * 100 // self.total:
            return
        seconds = time.monotonic() - self.started
        left = seconds / self.count * (self.total - self.count)
        rate = self.bytes / 1e6 / max(seconds, 1e-9)
        say(self.console, f"data  {self.count}/{self.total}  {name}  {rate:.1f} MB/s  {left:.0f} s left")

"""Processes that die, disks that fill: a checkpoint and a run directory lose nothing, whatever the moment.

Each test forks a child that does the work and is killed, or meets an error, at a chosen moment: at its n-th
file operation (seen by Python's audit events, so the code under test is not changed), for every n.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from reference.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint, write_atomically
from reference.errors import UserError
from reference.run import STAGES, Run

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]

OPERATIONS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}
DONE, REFUSED, FULL, FAILED = 0, 2, 3, 4


def start(work: Callable[[], None]) -> int:
    """The process number of a forked child that does `work`; its exit status says how that went."""
    child = os.fork()
    if child:
        return child
    status = FAILED
    try:
        torch.set_num_threads(1)  # the threads of the parent are not in the child, which would wait for them for ever
        work()
        status = DONE
    except UserError as error:
        message = str(error)
        if message.startswith("The disk is full: "):
            status = FULL
        elif message.startswith("Cannot write "):
            status = REFUSED
    finally:
        os._exit(status)


def outcome(child: int) -> int:
    """How the child ended: one of the four, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def at_operation(number: int, deed: Callable[[], None]) -> None:
    """From now on in this process, do `deed` just before the file operation of that number (from 1)."""
    seen = 0

    def hook(event: str, _: object) -> None:
        nonlocal seen
        if event in OPERATIONS:
            seen += 1
            if seen == number:
                deed()

    sys.addaudithook(hook)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def disk_full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def save(directory: Path, step: int, size: int = 50) -> None:
    tensors = {"model": {"w": torch.full((size,), float(step))}, "optimizer": {"m": torch.full((9,), -step)}}
    save_checkpoint(directory, step, tensors, {"step": step})


def loaded_step(directory: Path) -> int:
    """The step of the latest checkpoint, all of whose parts must be of that step."""
    path = latest_checkpoint(directory)
    assert path is not None
    tensors, state = load_checkpoint(path)
    step: int = state["step"]
    assert path.name == f"step_{step:06d}"
    assert tensors["model"]["w"].unique().item() == step
    assert tensors["optimizer"]["m"].unique().item() == -step
    return step


def test_a_save_killed_at_any_operation(tmp_path: Path) -> None:
    """The old checkpoint or the new one loads, whole; the next save cleans up."""
    steps = []
    for number in range(1, 100):
        directory = tmp_path / str(number)
        save(directory, 1)

        def work(number: int = number, directory: Path = directory) -> None:
            at_operation(number, die)
            save(directory, 2)

        ended = outcome(start(work))
        assert ended in (-signal.SIGKILL, DONE)
        steps.append(loaded_step(directory))
        for path in directory.glob("step_*"):
            load_checkpoint(path)
        save(directory, 3)
        assert [path.name for path in directory.iterdir()] == ["step_000003"]
        if ended == DONE:
            break
    assert ended == DONE
    assert steps == sorted(steps)
    assert steps.count(1) > 5
    assert steps.count(2) > 3


def test_a_save_on_a_disk_that_fills_at_any_operation(tmp_path: Path) -> None:
    """The save ends in the sentence about the full disk, frees what it had written, and the old one loads."""
    refusals = 0
    for number in range(1, 36):
        directory = tmp_path / str(number)
        save(directory, 1)

        def work(number: int = number, directory: Path = directory) -> None:
            at_operation(number, disk_full)
            save(directory, 2)

        ended = outcome(start(work))
        step = loaded_step(directory)
        assert ended in (DONE, FULL)
        assert step == 2 or ended == FULL
        if step == 1:
            refusals += 1
            assert [path.name for path in directory.iterdir()] == ["step_000001"]
    assert refusals > 4
    assert ended == DONE, "the numbers must reach beyond the last operation"


@pytest.mark.parametrize("deadly", [False, True], ids=["error", "signal"])
def test_the_kernel_stops_a_write_in_the_middle(tmp_path: Path, deadly: bool) -> None:
    """A file cut short by the system, with an error or with death, is never taken for a checkpoint."""
    resource = pytest.importorskip("resource")
    save(tmp_path, 1)

    def work() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL if deadly else signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        save(tmp_path, 2, size=100_000)

    assert outcome(start(work)) == (-signal.SIGXFSZ if deadly else REFUSED)
    assert loaded_step(tmp_path) == 1
    left = [path.stat().st_size for path in tmp_path.glob(".step_*/model.safetensors")]
    assert left == ([100_000] if deadly else [])


def test_saving_killed_at_random_moments(tmp_path: Path) -> None:
    """However a training process is killed, no checkpoint that it said was saved is lost."""
    last = attempt = 0
    while last < 15:
        attempt += 1
        read, write = os.pipe()

        def work(write: int = write, first: int = last + 1) -> None:
            for step in range(first, first + 100_000):
                save(tmp_path, step, size=20_000)
                os.write(write, f"{step} ".encode())

        child = start(work)
        time.sleep(0.003 * attempt)
        os.kill(child, signal.SIGKILL)
        assert outcome(child) == -signal.SIGKILL
        os.close(write)
        with os.fdopen(read) as pipe:
            said = [int(word) for word in pipe.read().split()]
        last = max([last, *said])
        if last or latest_checkpoint(tmp_path):
            assert loaded_step(tmp_path) in (last, last + 1)
            last = loaded_step(tmp_path)


def test_a_file_replaced_and_killed_at_any_operation(tmp_path: Path) -> None:
    """A file written atomically holds the old content or the new after a kill or an error, whole."""
    for deed in (die, disk_full):
        file = tmp_path / deed.__name__ / "run.json"
        contents = []
        for number in range(1, 8):
            write_atomically(file, b"old" * 1000)

            def work(number: int = number, deed: Callable[[], None] = deed, file: Path = file) -> None:
                at_operation(number, deed)
                write_atomically(file, b"new")

            ended = outcome(start(work))
            assert ended in (DONE, FULL, -signal.SIGKILL)
            contents.append(file.read_bytes())
            assert contents[-1] == b"new" or ended != DONE
        assert set(contents) == {b"old" * 1000, b"new"}
    assert [path.name for path in (tmp_path / "disk_full").iterdir()] == ["run.json"]


def test_a_reader_keeps_what_it_opened(tmp_path: Path) -> None:
    """A file is replaced, never written over: who has the old one open still reads all of the old content."""
    file = tmp_path / "run.json"
    write_atomically(file, b"old" * 1000)
    with file.open("rb") as stream:
        write_atomically(file, b"new")
        assert stream.read() == b"old" * 1000


def test_forgetting_killed_at_any_operation(tmp_path: Path) -> None:
    """A kill leaves the earlier of the forgotten stages whole, and forgetting again finishes the work."""
    whole = Run.create(tmp_path, "whole", {})
    for stage in STAGES[:-1]:
        save(whole.stage_dir(stage), 1)
        whole.log(stage, 0, loss=1.0)
        whole.mark_complete(stage)
    counts = []
    for number in range(1, 200):
        run = Run(shutil.copytree(whole.path, tmp_path / str(number)))

        def work(run: Run = run, number: int = number) -> None:
            at_operation(number, die)
            run.forget(["sft", "rl"])

        ended = outcome(start(work))
        again = Run.open(tmp_path, str(number))
        complete = [stage for stage in STAGES if again.is_complete(stage)]
        assert complete == list(STAGES[: len(complete)])
        assert len(complete) >= 3
        for stage in complete:
            assert loaded_step(again.stage_dir(stage)) == 1
            assert len(again.metrics(stage)) == 1
        for stage in STAGES[len(complete) :]:
            assert latest_checkpoint(again.stage_dir(stage)) is None
        again.forget(["sft", "rl"])
        assert [line["stage"] for line in again.metrics()] == ["tokenizer", "base", "mid"]
        counts.append(len(complete))
        if ended == DONE:
            break
    assert ended == DONE
    assert set(counts) == {5, 4, 3}


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """While one process holds a run a second is refused, by number; killing the first sets it free."""
    run = Run.create(tmp_path, "d4", {})
    read, write = os.pipe()

    def work() -> None:
        with Run.open(tmp_path, "d4").lock():
            os.write(write, b".")
            time.sleep(60)

    child = start(work)
    os.read(read, 1)
    try:
        with (
            pytest.raises(UserError, match=rf"^Another process \(number {child}\).*--tag NEW\.$"),
            run.lock(),
        ):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        assert outcome(child) == -signal.SIGKILL
    with run.lock():
        assert (run.path / ".lock").read_text() == f"{os.getpid()}\n"


def test_a_lock_ends_with_its_block(tmp_path: Path) -> None:
    """The lock is free after the block, also after an error, and taking it reads what others changed."""
    first, second = Run.create(tmp_path, "d4", {}), Run.open(tmp_path, "d4")
    with first.lock():
        first.update(seed=5)
        with pytest.raises(UserError), second.lock():
            pass
    with pytest.raises(KeyError), first.lock():
        raise KeyError
    with second.lock():
        assert second.config["seed"] == 5

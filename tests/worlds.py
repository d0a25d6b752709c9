"""Several processes on this machine that talk through gloo, as torchrun would start them."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from reference.distributed import World, joined_world
from reference.errors import UserError

Work = Callable[[World], dict[str, Tensor]]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def in_world(size: int, work: Work, folder: Path) -> list[dict[str, Tensor]]:
    """What `work` returns in each process of a world, by rank. An exception in one of them is an error here.

    `work` is a function of a module, or a partial one: the processes are children of one that has not computed yet,
    for autograd and the threads of sums do not outlive a fork.
    """
    assert ended(size, work, folder) == [0] * size
    return [safetensors.torch.load_file(folder / f"of_{rank}.safetensors") for rank in range(size)]


def ended(size: int, work: Work, folder: Path) -> list[int | None]:
    """How each process of a world ended, as `in_world`: 0; 2 after a UserError, which is then in folder/said_RANK;
    1 after any other; minus the signal that killed it. A process that is not back after twenty minutes is killed.
    """
    port = str(free_port())
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["reference.pipeline", "reference.plots", "pytest"])
    children = [processes.Process(target=_member, args=(rank, size, port, work, folder)) for rank in range(size)]
    for child in children:
        child.start()
    for child in children:
        child.join(1200)
        child.kill()
        child.join()
    return [child.exitcode for child in children]


def said(folder: Path, rank: int) -> str:
    """The sentence that a process ended with."""
    return (folder / f"said_{rank}").read_text()


def _member(rank: int, size: int, port: str, work: Work, folder: Path) -> None:
    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    try:
        with joined_world("cpu") as world:
            tensors = {name: tensor.clone() for name, tensor in work(world).items()}
        safetensors.torch.save_file(tensors, folder / f"of_{rank}.safetensors")
    except UserError as error:
        (folder / f"said_{rank}").write_text(str(error))
        sys.exit(2)
    except BaseException:
        traceback.print_exc()
        sys.exit(1)

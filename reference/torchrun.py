"""torchrun whose failures are sentences: python -m reference.torchrun takes torchrun's arguments.

    python -m reference.torchrun --standalone --nproc_per_node 8 -m reference base-train --tag d20

torchrun itself does as well; where a process fails it shows its own table and traceback.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

AGAIN = "the same command goes on from the last checkpoint"


def tell(message: str, is_cause: bool = True) -> None:
    """Say `message` on standard error, once for all processes, and leave it where torchrun looks for the cause."""
    if os.environ.get("RANK", "0") == "0":
        print(message, file=sys.stderr, flush=True)
    file = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if file and is_cause:
        Path(file).write_text(json.dumps({"message": message, "timestamp": int(time.time())}))


def leave(status: int) -> NoReturn:
    """End this process after a failure: at once if it is one of several, for threads that wait for others abort."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def main(arguments: list[str]) -> int:
    """Run torchrun; the exit status of the process that failed first, 0 if none did."""
    logging.disable(logging.CRITICAL)  # what torchrun says of a failure is said below in a sentence
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    os.environ.setdefault("OMP_NUM_THREADS", str(cores_each(arguments, os.cpu_count() or 1)))
    try:
        torchrun(arguments)
    except ChildFailedError as error:
        return _explain(error.failures)
    except (SignalException, KeyboardInterrupt):
        return 130
    return 0


def cores_each(arguments: list[str], cores: int) -> int:
    """How many of a machine's cores each process has that torchrun's `arguments` ask for there."""
    for i, argument in enumerate(arguments):
        name, _, value = argument.replace("_", "-").partition("=")
        if name == "--nproc-per-node":
            value = value or "".join(arguments[i + 1 : i + 2])
            return max(1, cores // int(value)) if value.isdigit() and int(value) else cores
    return cores


def _explain(failures: dict[int, ProcessFailure]) -> int:
    """Say what ended the first of the processes, by rank, unless it has said so itself; its exit status."""
    told = {rank: failure for rank, failure in failures.items() if "timestamp" in failure.error_file_data}
    by_itself = {rank: failure for rank, failure in failures.items() if failure.exitcode != -signal.SIGTERM}
    rank, first = min(
        (told or by_itself or failures).items(), key=lambda item: (item[1].exitcode > 0, item[1].timestamp)
    )
    if told:
        if 0 not in told:  # which has said so itself
            print(f"[rank {rank}] {first.message}", file=sys.stderr)
        return first.exitcode
    killed = first.exitcode < 0
    how = f"was ended by {first.signal_name()}" if killed else f"ended with status {first.exitcode}"
    print(f"Process {rank} of this run {how}; {AGAIN}.", file=sys.stderr)
    return 128 - first.exitcode if killed else first.exitcode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

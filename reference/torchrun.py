"""torchrun whose failures are sentences: python -m reference.torchrun takes torchrun's arguments.

    python -m reference.torchrun --standalone --nproc_per_node 8 -m reference base-train --tag d20

torchrun itself does as well; where a process fails it shows its own table and traceback.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

AGAIN = "the same command goes on from the last checkpoint"


def tell(message: str, is_cause: bool = True) -> None:
    """Say `message` on standard error, once for all processes, and leave it where torchrun looks for the cause."""
    if os.environ.get("RANK", "0") == "0":
        print(message, file=sys.stderr, flush=True)
    file = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if file and is_cause:
        Path(file).write_text(json.dumps({"message": message, "timestamp": int(time.time())}))


def main(arguments: list[str]) -> int:
    """Run torchrun; the exit status of the process that failed first, 0 if none did."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // _processes(arguments))))
    try:
        torchrun(arguments)
    except ChildFailedError as error:
        return _explain(error)
    except (SignalException, KeyboardInterrupt):
        return 130
    return 0


def _processes(arguments: list[str]) -> int:
    """How many there are on this machine, for its cores to be divided; 1 where the arguments do not say."""
    for i, argument in enumerate(arguments):
        name, _, value = argument.replace("_", "-").partition("=")
        if name == "--nproc-per-node":
            value = value or "".join(arguments[i + 1 : i + 2])
            return int(value) if value.isdigit() else 1
    return 1


def _explain(error: object) -> int:
    failures = sorted(error.failures.values(), key=lambda failure: (failure.exitcode > 0, failure.timestamp))  # type: ignore[attr-defined]
    told = [failure for failure in failures if "timestamp" in failure.error_file_data]
    killed = [failure for failure in failures if failure.exitcode < 0]
    if told:
        if told[0].rank != 0:  # rank 0 has said itself what happened to it
            print(f"[rank {told[0].rank}] {told[0].message}", file=sys.stderr)
        return told[0].exitcode
    first = (killed or failures)[0]
    how = f"was ended by {first.signal_name()}" if first.exitcode < 0 else f"ended with status {first.exitcode}"
    print(f"Process {first.rank} of this run {how}; {AGAIN}.", file=sys.stderr)
    return 128 - first.exitcode if first.exitcode < 0 else first.exitcode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

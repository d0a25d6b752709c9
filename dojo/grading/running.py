"""Has the tests of katas run by `trusted`, a process that can be lost, and gathers what it says while it lives."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dojo.curriculum import ROOT, Kata
from dojo.grading.schema import Isolation
from dojo.limits import KATA_SECONDS, LIMITS
from reference.sandbox.limits import Limits

STRANGE = "it made the process that runs the tests stop"
FOREIGN = ("PYTHON", "PYTEST")  # whatever in the environment begins like this would change how tests are run


@dataclass
class Run:
    """What the process that runs the tests said of one kata."""

    tests: dict[str, dict[str, Any]] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    stopped: str = ""  # why it was not finished, where it was not
    unchecked: str = ""  # why that was not the submission's doing, where it was not


@dataclass
class Runs:
    """The same of all katas, by name, and where the code ran."""

    katas: dict[str, Run]
    isolation: Isolation = field(default_factory=lambda: Isolation("limits", ("none of its code was run",)))


class Runner:
    """Runs the tests of katas on the files of submissions, one submission after the other.

    Args:
        limits: for a submission's code in one test.
        walls: names of the sandbox's walls to try, None for all that there are.
    """

    def __init__(self, limits: Limits | None = None, walls: Sequence[str] | None = None) -> None:
        self._given = {"limits": asdict(limits or LIMITS), "walls": walls}
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, katas: Sequence[Kata], folder: Path, seed: int | None) -> Runs:
        """Run the tests of katas one after the other; where one of them brings that to a stop, the others go on anew.

        Args:
            folder: holds the submission's files.
            seed: of unseen cases, None for the public ones only.
        """
        runs = Runs({kata.name: Run() for kata in katas})
        waiting = [list(katas)] if katas else []
        while waiting:
            together = waiting.pop(0)
            begun, finished = "", False
            for record in self._records(together, folder, seed):
                begun = record["kata"] if record["kind"] == "begun" else begun
                finished |= record["kind"] == "finished"
                _note(record, runs)
            if finished:
                continue
            if not begun and len(together) > 1:
                waiting += [[kata] for kata in together]
                continue
            at = next((i for i, kata in enumerate(together) if kata.name == begun), 0)
            run, rest = runs.katas[together[at].name], together[at + 1 :]
            run.stopped, run.unchecked = STRANGE, self._grader_fails(together[at], seed)
            waiting += [rest] if rest else []
        return runs

    def _grader_fails(self, kata: Kata, seed: int | None) -> str:
        """Why the tests cannot be run on the worked answer, if they cannot: then it is not the submission's fault."""
        with tempfile.TemporaryDirectory(prefix="grading-") as folder:
            (Path(folder) / kata.file.name).write_bytes(kata.answer.read_bytes())
            records = list(self._records([kata], Path(folder), seed))
        if any(record["kind"] == "finished" for record in records):
            return ""
        said = next((record["said"] for record in records if record["kind"] == "ended"), "it was still running")
        return f"the grader cannot run the tests of {kata.name} on the worked answer either: {said}"

    def _records(self, katas: Sequence[Kata], folder: Path, seed: int | None) -> Iterator[dict[str, Any]]:
        """What is said of one submission until all of it is, or its time is over."""
        if self._process is None:
            self._start()
        assert self._process is not None
        assert self._process.stdin is not None
        order = {"folder": str(folder), "seed": seed, "katas": [kata.name for kata in katas]}
        deadline, kind = time.monotonic() + KATA_SECONDS * len(katas), ""
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
            for line in self._lines(deadline):
                record = json.loads(line)
                yield record
                kind = record["kind"]
                if kind == "ended":
                    return
        except OSError:
            pass  # it is gone
        finally:
            if kind != "ended":  # it hangs or is gone: the next submission gets another one
                self.close()

    def _start(self) -> None:
        reading, writing = os.pipe()
        environment = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        self._process = subprocess.Popen(
            [sys.executable, "-s", "-m", "dojo.grading.trusted", json.dumps({**self._given, "descriptor": writing})],
            cwd=ROOT,
            env={**environment, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[writing],
        )
        os.close(writing)
        self._reading, self._rest = reading, b""

    def _lines(self, deadline: float) -> Iterator[bytes]:
        """Whole lines, until the other end is closed or the time is over."""
        while select.select([self._reading], [], [], max(0.0, deadline - time.monotonic()))[0]:
            data = os.read(self._reading, 2**16)
            if not data:
                return
            *lines, self._rest = (self._rest + data).split(b"\n")
            yield from lines

    def close(self) -> None:
        """End the process, and with it the sandbox."""
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            process.communicate()
            os.close(self._reading)

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _note(record: dict[str, Any], runs: Runs) -> None:
    """Take one line of the process's into account."""
    if record["kind"] == "isolation":
        runs.isolation = Isolation(record["name"], tuple(record["what_holds"]), tuple(record["what_does_not"]))
    elif record["kind"] == "test":
        runs.katas[record["kata"]].tests[record["name"]] = record
    elif record["kind"] == "result":
        runs.katas[record["kata"]].results[record["name"]] = record

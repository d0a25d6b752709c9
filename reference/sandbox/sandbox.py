"""The trusted end: starts the sandbox, then a fresh process in it for each piece of untrusted code."""

from __future__ import annotations

import json
import select
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reference.sandbox.limits import Isolation, Limits
from reference.sandbox.walls import (
    MISSING,
    PROMISES,
    WALLS,
    Wall,
    clean_environment,
    interpreter,
    python_needs,
    python_path,
)

ROOT = Path(__file__).resolve().parents[2]
BOOT = (
    "import json, sys; given = json.loads(sys.argv[1]); sys.path[:] = given['path']; "
    "from reference.sandbox.nursery import serve; serve(given)"
)
PATIENCE = 600.0  # seconds until the first process must be ready; importing torch on a busy machine takes many


class SandboxError(Exception):
    """The sandbox cannot be started or has broken down; the message says why. No untrusted code can bring it about."""


class Overdue(Exception):
    """The process did not answer in its time."""


@dataclass(frozen=True)
class Ending:
    """How a process ended.

    Attributes:
        status: its exit status; -n where signal n ended it.
        cpu_seconds: of computing that it used.
        output: the beginning of what it printed.
        dropped: whether there was more.
    """

    status: int
    cpu_seconds: float
    output: str
    dropped: bool


class Sandbox:
    """A first process behind the best wall that there is. Use it in a with statement, or call `close`.

    Making one takes no time; whoever first asks something of it waits until it is ready.

    Args:
        preload: modules that every process finds imported already, such as torch, and functions called beforehand.
        files: of this repository that these modules consist of; no others of it are in sight.
        walls: those to try, the best first.
    """

    def __init__(
        self, preload: Iterable[str] = (), files: Iterable[Path] = (), walls: Mapping[str, Wall] = WALLS
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="sandbox-"))  # stays empty, and is the working directory
        self._files = [ROOT / "reference" / "__init__.py", *sorted(Path(__file__).parent.glob("*.py")), *files]
        readable = [str(place) for place in (*python_needs(), self._folder)]
        given = {"path": [str(ROOT), *python_path()], "root": str(ROOT), "readable": readable, "preload": list(preload)}
        self._command = [str(interpreter()), "-s", "-S", "-c", BOOT, json.dumps(given)]
        self._walls = list(walls.items())
        self._isolation: Isolation | None = None
        self._first: subprocess.Popen | None = None
        self._begin()

    def _begin(self) -> None:
        """Start the first process behind the first wall that is left, if there is one."""
        command = None
        while self._walls and not (command := self._walls[0][1](self._command, self._files, self._folder)):
            del self._walls[0]
        if command is None:
            return
        self._control, theirs = socket.socketpair()
        self._control.settimeout(PATIENCE)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - read when it has failed
        with theirs:
            self._first = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=self._errors,
                stderr=self._errors,
                cwd=self._folder,
                env=clean_environment(),
                start_new_session=True,
            )

    @property
    def isolation(self) -> Isolation:
        """What stands between the code in it and the machine.

        Raises:
            SandboxError: no wall can be had.
        """
        said = "nothing is left to try"
        while self._isolation is None and self._walls:
            name = self._walls[0][0]
            try:
                holds, does_not = json.loads(self._control.recv(2**16))
                self._isolation = Isolation(name, (*PROMISES[name], *holds), (*MISSING[name], *does_not))
            except (OSError, ValueError):
                said = self._last_words()
                del self._walls[0]
                self._begin()
        if self._isolation is None:
            raise SandboxError(f"no sandbox can be started: {said}")
        return self._isolation

    def _last_words(self) -> str:
        self._kill()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        self._errors.close()
        return lines[-1] if lines else "its first process ended without a word"

    def start(self, function: str, *arguments: Any, limits: Limits) -> Process:
        """Fork a process that calls "module:function" with its end of the channel, a descriptor, and `arguments`."""
        assert self.isolation  # that is, wait until it is ready
        channel, theirs = socket.socketpair()
        output, printed = socket.socketpair()
        with theirs, printed:
            asked = {"start": function, "arguments": arguments, "limits": asdict(limits)}
            answer = self._ask(asked, [theirs.fileno(), printed.fileno()])
        return Process(self, answer["started"], channel, output, limits)

    def end(self, number: int) -> dict[str, Any]:
        """Kill a process; how it ended, which may have been before."""
        return self._ask({"end": number}, [])

    def end_all(self) -> None:
        """Kill every process in it, whoever has started it."""
        self._ask({"end": 0}, [])

    def _ask(self, message: dict[str, Any], descriptors: list[int]) -> Any:
        try:
            socket.send_fds(self._control, [json.dumps(message).encode()], descriptors)
            return json.loads(self._control.recv(2**16))
        except (OSError, ValueError) as error:
            self._kill()
            raise SandboxError(f"the sandbox's first process has ended: {error}") from None

    def _kill(self) -> None:
        self._control.close()
        if self._first:
            self._first.kill()
            self._first.wait()

    def close(self) -> None:
        """End every process in it."""
        self._control.close()  # upon which the first process ends the others, and itself
        self._errors.close()
        try:
            if self._first and self._isolation:
                self._first.wait(5)
        except subprocess.TimeoutExpired:
            pass
        self._kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Process:
    """Untrusted code, running. A binary stream to it and from it, on which nothing waits longer than its time."""

    def __init__(
        self, sandbox: Sandbox, number: int, channel: socket.socket, output: socket.socket, limits: Limits
    ) -> None:
        self._sandbox, self._number, self._limits = sandbox, number, limits
        self._channel, self._output = channel, output
        self._printed, self._dropped, self._room = bytearray(), False, limits.output
        self.begin()

    def begin(self) -> None:
        """Count its time from now on: for one that was started before there was anything to do."""
        self._deadline = time.monotonic() + self._limits.wall_seconds

    def write(self, data: bytes) -> None:
        """Raises Overdue, or OSError where nobody reads any more."""
        self._channel.settimeout(self._left())
        try:
            self._channel.sendall(data)
        except TimeoutError:
            raise Overdue from None

    def flush(self) -> None:
        """For those who write to a stream."""

    def read(self, count: int) -> bytes:
        """So many bytes, fewer where the other end is closed. Raises Overdue."""
        data = bytearray()
        while len(data) < count:
            ready = self._ready(self._left())
            if not ready:
                raise Overdue
            if self._output in ready:
                self._take_output()
            if self._channel in ready:
                try:
                    part = self._channel.recv(min(count - len(data), 2**20))
                except OSError:
                    part = b""
                if not part:
                    break
                data += part
        return bytes(data)

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise Overdue
        return left

    def _ready(self, seconds: float) -> list[socket.socket]:
        open_ones = [stream for stream in (self._channel, self._output) if stream.fileno() >= 0]
        return select.select(open_ones, [], [], seconds)[0]

    def _take_output(self) -> None:
        part = self._output.recv(2**16)
        if not part:
            self._output.close()  # it has closed its standard output
        self._printed += part[: self._room]
        self._dropped |= len(part) > self._room
        self._room -= min(len(part), self._room)

    def speaks(self) -> bool:
        """Whether there is something to read that nobody has read, or it has ended."""
        return self._channel in self._ready(0)

    def output(self) -> str:
        """What it has printed since this was last asked."""
        for _ in range(64):  # one that prints without end is not listened to without end
            if self._output not in self._ready(0):
                break
            self._take_output()
        text = self._printed.decode(errors="replace")
        self._printed.clear()
        return text

    def end(self) -> Ending:
        """Kill it, if it is still there; how it ended."""
        how = self._sandbox.end(self._number)
        printed = self.output()
        self._channel.close()
        self._output.close()
        return Ending(how["status"], how["cpu_seconds"], printed, self._dropped)

"""The sandbox: what untrusted code can do in it, and what it cannot, behind every wall that this machine has."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from reference.sandbox import landlock, seccomp
from reference.sandbox.limits import Limits
from reference.sandbox.program import End, Outcome, run_program
from reference.sandbox.sandbox import Sandbox, SandboxError
from reference.sandbox.walls import WALLS

LIMITS = Limits(cpu_seconds=1, wall_seconds=60, memory=2**28, output=1000)
PATIENT = replace(LIMITS, wall_seconds=3600)  # so that it is not the last resort that ends what computes
IMPATIENT = replace(LIMITS, wall_seconds=0.2)  # for what waits: nobody else may depend on it
linux = pytest.mark.skipif(platform.system() != "Linux", reason="macOS has limits only")


@pytest.fixture(scope="module", params=WALLS)
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with Sandbox(walls={request.param: WALLS[request.param]}) as sandbox:
        try:
            assert sandbox.isolation.name == request.param
        except SandboxError as error:
            pytest.skip(f"{request.param} cannot be had on this machine: {error}")
        yield sandbox


def run(sandbox: Sandbox, source: str, limits: Limits = LIMITS) -> Outcome:
    return run_program(sandbox, source, limits)


def test_programs_run(sandbox: Sandbox) -> None:
    """a program runs to its end, and what it prints is kept"""
    assert run(sandbox, "import json\nprint(json.dumps([1, 2]))") == Outcome(End.WHOLE, "", "[1, 2]\n")


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("assert 1 == 2, 'no'", "AssertionError: no"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("def f(:", "SyntaxError: invalid syntax"),
        ("f()", "NameError: name 'f' is not defined"),
    ],
)
def test_errors_are_told(sandbox: Sandbox, source: str, error: str) -> None:
    """a program that raises, SystemExit included, did not end whole"""
    assert run(sandbox, source) == Outcome(End.ERROR, error, "")


def test_ending_early_is_no_success(sandbox: Sandbox) -> None:
    """a process that ends with status 0 in the middle of the program is lost"""
    assert run(sandbox, "import os; os._exit(0)").end is End.LOST


FORGERY = """
import os
for descriptor in range(64):
    try:
        os.write(descriptor, {answer})
    except OSError:
        pass
os._exit(0)
"""


@pytest.mark.parametrize("answer", [b"\1", b"\0" * 16 + b"\1", b"\1" * 17])
def test_success_cannot_be_written(sandbox: Sandbox, answer: bytes) -> None:
    """what a program writes into every descriptor that it finds is no success, whatever it is"""
    assert run(sandbox, FORGERY.format(answer=answer)).end is End.LOST
    assert run(sandbox, "import os; os.write(3, b'x')").end is End.LOST, "nor a word of its own before the true one"


def test_what_asks_for_a_temporary_folder_can_be_imported(sandbox: Sandbox) -> None:
    """a module that wants to know where temporary files go, as dill does, does not keep the sandbox from starting"""
    name = sandbox.isolation.name
    with Sandbox(["tempfile:gettempdir"], walls={name: WALLS[name]}) as own:
        assert own.isolation.name == name


def test_nothing_is_left_for_the_next(sandbox: Sandbox) -> None:
    """every program has a process of its own: what one changes, the next does not see"""
    assert run(sandbox, "import builtins, json; builtins.mine = json.mine = 1").end is End.WHOLE
    assert run(sandbox, "import json; json.mine").end is End.ERROR
    assert run(sandbox, "mine").end is End.ERROR


@pytest.mark.parametrize(
    "source",
    [
        "import signal\nfor n in range(1, 32):\n    try: signal.signal(n, signal.SIG_IGN)\n    except OSError: pass\n"
        "while True: pass",
        "while True: print('x' * 10_000)",
    ],
)
def test_computing_is_limited(sandbox: Sandbox, source: str) -> None:
    """looping with all signals ignored, printing without end: both are over when their time is"""
    assert run(sandbox, source, PATIENT).end is End.TIME


@pytest.mark.parametrize(
    "source",
    [
        "import time; time.sleep(60)",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\nwhile True: time.sleep(1)",
    ],
)
def test_waiting_is_limited(sandbox: Sandbox, source: str) -> None:
    """sleeping, also with several threads, is over when the last resort is"""
    assert run(sandbox, source, IMPATIENT).end is End.TIME


def test_output_is_limited(sandbox: Sandbox) -> None:
    """of what a program prints the beginning is kept"""
    outcome = run(sandbox, "print('x' * 5_000_000)")
    assert (outcome.end, outcome.output) == (End.WHOLE, "x" * LIMITS.output)


@linux
def test_memory_is_limited(sandbox: Sandbox) -> None:
    """memory beyond the limit is refused to the program, and nobody else notices"""
    assert run(sandbox, "x = b'x' * 10**8").end is End.WHOLE
    assert run(sandbox, "x = b'x' * 10**9").error == "MemoryError"
    assert run(sandbox, "import mmap; mmap.mmap(-1, 10**9)").end is End.ERROR


needs_seccomp = pytest.mark.skipif(not seccomp.available(), reason="this system has no seccomp filters")
needs_landlock = pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")
SIGNAL = "import os; os.kill(PARENT, 0)"  # the process of the tests; its number is no part of a test's name


@needs_seccomp
@pytest.mark.parametrize(
    "source",
    [
        "import os; os.fork()",
        "import os; os.posix_spawn('/bin/true', ['true'], {})",
        "import os; os.execv('/bin/true', ['true'])",
        "import subprocess; subprocess.run(['true'])",
        "import multiprocessing; multiprocessing.Process(target=print).start()",
        "import socket; socket.socket()",
        "import socket; socket.socket(socket.AF_UNIX)",
        "import socket; socket.socketpair()",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:1')",
        "import os; os.kill(os.getppid(), 0)",
        "import os; os.killpg(0, 9)",
        "import os; os.setsid()",
        "import resource, os; resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))",
        "import os; os.sched_setaffinity(os.getppid(), {0})",
        "import fcntl, os; fcntl.fcntl(0, fcntl.F_SETOWN, os.getppid())",
        "import os; os.chmod('/', 0o777)",
        "import os; os.utime('/')",
        SIGNAL,
    ],
)
def test_other_processes_are_out_of_reach(sandbox: Sandbox, source: str) -> None:
    """no process is started, signalled, limited or moved, no socket opened, no file's rights changed"""
    outcome = run(sandbox, source.replace("PARENT", str(os.getpid())))
    assert outcome.end is End.ERROR
    assert "PermissionError" in outcome.error or "Operation not permitted" in outcome.error


@needs_seccomp
def test_threads_are_allowed(sandbox: Sandbox) -> None:
    """a thread is started and joined"""
    source = "import threading\nt = threading.Thread(target=print, args=(7,))\nt.start(); t.join()"
    assert run(sandbox, source) == Outcome(End.WHOLE, "", "7\n")


@needs_landlock
@pytest.mark.parametrize("place", ["README.md", "reference/parts/rope.py", "katas/rope/test_rope.py", ".git/config"])
def test_the_repository_is_out_of_sight(sandbox: Sandbox, place: str) -> None:
    """no file of this repository can be read"""
    file = Path(__file__).resolve().parents[2] / place
    outcome = run(sandbox, f"open({str(file)!r}).read()")
    assert outcome.error.startswith(("PermissionError", "FileNotFoundError"))


@needs_landlock
@pytest.mark.parametrize(
    "source",
    [
        "open('/proc/self/environ').read()",
        "import os; open(f'/proc/{os.getppid()}/maps').read()",
        "import os; os.listdir('/proc')",
        "import os; os.listdir('/')",
        "open('/etc/passwd').read()",
        "open('mine', 'w').write('x')",
        "import tempfile; tempfile.TemporaryFile()",
        "import os; os.mkdir('mine')",
        "import os; os.symlink('/', 'mine')",
        "open('/dev/shm/mine', 'w')",
        "import os; os.memfd_create('mine'); os.write(os.memfd_create('mine'), b'x')",
        "import site; open(site.__file__, 'a')",
    ],
)
def test_files_are_out_of_reach(sandbox: Sandbox, source: str) -> None:
    """nothing but Python is read, and nothing at all is written"""
    assert run(sandbox, source).error.split(":")[0] in ("PermissionError", "FileNotFoundError", "OSError")


def test_the_environment_is_clean(sandbox: Sandbox) -> None:
    """the program sees nothing of its caller's environment, and an empty folder"""
    outcome = run(sandbox, "import os; print(sorted(os.environ), os.listdir('.'))")
    assert "PYTEST_CURRENT_TEST" in os.environ
    assert "PYTEST" not in outcome.output
    assert outcome.output.endswith("[]\n")


def test_the_grader_has_no_name(sandbox: Sandbox) -> None:
    """neither the reference nor the grader can be imported"""
    for name in ("reference", "reference.parts.rope", "reference.sandbox", "dojo", "katas", "tests", "conftest"):
        assert run(sandbox, f"import {name}").error.startswith("ModuleNotFoundError")


def test_nobody_is_left_behind(sandbox: Sandbox) -> None:
    """a program that is ended leaves no process and no thread"""
    run(sandbox, "pass")
    before = psutil.Process().children(recursive=True)
    run(sandbox, "import threading, time\nfor _ in range(9): threading.Thread(target=time.sleep, args=(60,)).start()")
    assert psutil.Process().children(recursive=True) == before


def test_no_wall_at_all() -> None:
    """where nothing can be had, the reason is told"""
    with Sandbox(walls={"none": lambda command, files, folder: ["false"]}) as sandbox, pytest.raises(SandboxError):
        run(sandbox, "pass")
    lacking = Sandbox(["no.such.module"], walls={"limits": WALLS["limits"]})
    with lacking as sandbox, pytest.raises(SandboxError, match="No module named 'no'"):
        run(sandbox, "pass")


def test_the_next_wall_is_taken(tmp_path: Path) -> None:
    """a wall that cannot be had is passed over for the next, and which it is is told"""
    walls = {"bubblewrap": lambda command, files, folder: ["false"], "limits": WALLS["limits"]}
    with Sandbox(walls=walls) as sandbox:
        assert run(sandbox, "print(1)").output == "1\n"
        assert sandbox.isolation.name == "limits"
        assert any("second wall" in phrase for phrase in sandbox.isolation.what_does_not)

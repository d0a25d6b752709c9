"""The first process in the sandbox: it imports what takes long and forks a fresh process for each piece of code.

It reads from its standard input, a socket, {"start": "module:function", "arguments": [...], "limits": {...}} with two
file descriptors, and answers {"started": number}; then {"end": number}, and answers how that process ended. The number
0 ends all. Nothing untrusted ever runs in it.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import platform
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from reference.sandbox.limits import Limits
from reference.sandbox.lockdown import die_with_parent, lock_down, promises


def serve(given: dict[str, Any]) -> None:
    """Live until the socket is closed.

    Args:
        given: "root" of this repository, "readable" files and folders, and what to "preload": names of modules, or
            "module:function" to be called as well.
    """
    control = socket.socket(fileno=os.dup(0))
    die_with_parent()
    if platform.system() == "Linux":
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: what it forks cannot look into it
    tempfile.tempdir = str(Path.cwd())  # some modules ask for it when imported, and nowhere could it be tried out
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = tempfile.tempdir  # torch makes one when it imports its compiler
    for name in given["preload"]:
        _found(name)()
    gc.freeze()  # what is there now is not looked through again in every child, which would copy its memory
    control.sendall(json.dumps(promises()).encode())
    children: set[int] = set()
    functions: dict[str, Callable[..., object]] = {}
    ours: list[str] = []  # modules; a child that looked through all that there are would copy the memory of their names
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 2**20, 2)
        if not message:
            break
        asked = json.loads(message)
        if "start" in asked:
            if asked["start"] not in functions:
                functions[asked["start"]] = _found(asked["start"])
                ours = [name for name in sys.modules if name.partition(".")[0] in ("dojo", "reference")]
            number = os.fork()
            if not number:
                control.close()
                _live(functions[asked["start"]], ours, asked, given, *descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            children.add(number)
            answer: dict[str, Any] = {"started": number}
        elif asked["end"] in children:
            children.remove(asked["end"])
            answer = _end(asked["end"])
        else:
            while children:
                _end(children.pop())
            answer = {}
        control.sendall(json.dumps(answer).encode())
    for number in children:
        _end(number)


def _found(name: str) -> Callable[..., object]:
    module, _, function = name.partition(":")
    loaded = importlib.import_module(module)
    return getattr(loaded, function) if function else lambda: None


def _end(number: int) -> dict[str, Any]:
    os.kill(number, signal.SIGKILL)
    _, status, used = os.wait4(number, 0)
    return {"status": os.waitstatus_to_exitcode(status), "cpu_seconds": used.ru_utime + used.ru_stime}


def _live(
    function: Callable[..., object],
    ours: list[str],
    asked: dict[str, Any],
    given: dict[str, Any],
    channel: int,
    output: int,
) -> NoReturn:
    """The life of a child: give everything up, call the function, and end without a word to anybody."""
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        own = os.dup2(channel, 3)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        sys.path[:] = [place for place in sys.path if place != given["root"]]
        for name in ours:
            del sys.modules[name]  # nobody finds the grader by its name
        lock_down(Limits(**asked["limits"]), map(Path, given["readable"]))
        function(own, *asked["arguments"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(0)

"""The untrusted end: a student's code in a process of its own, in the sandbox. What it says is checked by apart.py."""

from __future__ import annotations

import io
import linecache
from types import ModuleType

from dojo.curriculum import find_kata
from dojo.executor import Executor
from dojo.loading import LoadError, run_kata, run_source
from dojo.wire import WireError, receive, send


def prepare() -> None:
    """Before the first student's code comes: import what takes long, and what could not be read any more then."""
    import safetensors.torch  # noqa: F401
    import torch

    torch.ones(1).half().float()  # has torch look the processor up


def serve(channel: int, name: str) -> None:
    """Take the code from the first message, say None or why it cannot be used, then answer requests.

    Nothing of the repository can be read here, so all that is needed comes with the first message: the student's
    "source", the "file" it is from and how that is "told", the source of the kata's "codecs" or "", "parameters", the
    names that the contract gives to arguments, and the "seconds" that the code may compute, and that its import may.
    """
    stream = io.BufferedRWPair(io.FileIO(channel, "r"), io.FileIO(channel, "w", closefd=False))
    given = receive(stream)
    kata = find_kata(name)
    assert kata is not None
    source, file = given["source"], given["file"]
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)  # for tracebacks, inspect
    codecs: ModuleType | None = None
    if given["codecs"]:
        codecs = run_source(given["codecs"], "codecs.py", "codecs.py", "codecs")
    try:
        computing, importing = given["seconds"]
        module = run_kata(kata, source, file, given["told"], importing)
        executor = Executor(kata, module, codecs, given["parameters"])
        executor.clock.allow(computing)
    except LoadError as error:
        send(stream, str(error))
        return
    send(stream, None)
    while True:
        try:
            request = receive(stream)
        except WireError:
            return
        send(stream, executor.run(request))

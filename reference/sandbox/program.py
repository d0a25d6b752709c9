"""Runs the text of a Python program in the sandbox and says how it ended: what a model writes is run like this."""

from __future__ import annotations

import os
import struct
import traceback
from dataclasses import dataclass
from enum import Enum

from reference.sandbox.limits import Limits
from reference.sandbox.sandbox import Overdue, Sandbox


class End(str, Enum):
    """How a program ended."""

    WHOLE = "whole"  # its last line was executed
    ERROR = "error"  # it raised, SystemExit included
    TIME = "time"  # it was still running when its time was over
    LOST = "lost"  # the process ended in the middle


@dataclass(frozen=True)
class Outcome:
    """What came of a program.

    Attributes:
        end: how it ended; only WHOLE is success.
        error: the last line of its traceback, or empty.
        output: what it printed on both streams, cut to the limit.
    """

    end: End
    error: str = ""
    output: str = ""


def run_program(sandbox: Sandbox, source: str, limits: Limits) -> Outcome:
    """Run a program in a fresh process, alone; whatever it does, this comes back within its time."""
    process = sandbox.start("reference.sandbox.program:perform", limits=limits)
    text = source.encode(errors="replace")
    answer, end = b"", End.LOST
    try:
        process.write(struct.pack("<Q", len(text)) + text)
        answer = process.read(2**16)
    except Overdue:
        end = End.TIME
    except OSError:
        pass  # it ended before it had read itself
    ending = process.end()
    if answer:
        end = End.WHOLE if answer == b"\1" else End.ERROR
    elif ending.cpu_seconds > limits.cpu_seconds - 0.5:
        end = End.TIME
    return Outcome(end, answer[1:].decode(errors="replace") if end is End.ERROR else "", ending.output)


def perform(channel: int) -> None:
    """Inside: read the program, execute it, and answer 1, or 0 and its error."""
    with os.fdopen(channel, "rb", closefd=False) as stream:
        source = stream.read(struct.unpack("<Q", stream.read(8))[0])
    try:
        exec(compile(source, "program.py", "exec"), {"__name__": "__main__"})
    except BaseException as error:
        told = traceback.format_exception_only(error)[-1].strip()
        os.write(channel, b"\0" + told.encode(errors="replace")[:1000])
    else:
        os.write(channel, b"\1")

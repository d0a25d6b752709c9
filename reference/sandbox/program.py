"""Runs the text of a Python program in the sandbox and says how it ended: what a model writes is run like this."""

from __future__ import annotations

import os
import struct
import traceback
from dataclasses import dataclass
from enum import Enum

from reference.sandbox.limits import Limits
from reference.sandbox.sandbox import Overdue, Sandbox

WORD = 16  # bytes


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
    """Run a program in a fresh process, alone; whatever it does, this comes back within its time.

    What it prints, writes to any descriptor or leaves as its exit status is no success: that is told with a word which
    only `perform` is given. A program that looks for it in the frames or the memory of its own process finds it.
    """
    process = sandbox.start("reference.sandbox.program:perform", limits=limits)
    text, word = source.encode(errors="replace"), os.urandom(WORD)
    answer, end = b"", End.LOST
    try:
        process.write(word + struct.pack("<Q", len(text)) + text)
        answer = process.read(2**16)
    except Overdue:
        end = End.TIME
    except OSError:
        pass  # it ended before it had read itself
    ending = process.end()
    if answer[:WORD] == word:
        end = End.WHOLE if answer[WORD:] == b"\1" else End.ERROR
    elif not answer and ending.cpu_seconds > limits.cpu_seconds - 0.5:
        end = End.TIME
    return Outcome(end, answer[WORD + 1 :].decode(errors="replace") if end is End.ERROR else "", ending.output)


def perform(channel: int) -> None:
    """Inside: read a word and the program, execute it, and answer the word and 1, or the word, 0 and the error."""
    with os.fdopen(channel, "rb", closefd=False) as stream:
        word = stream.read(WORD)
        source = stream.read(struct.unpack("<Q", stream.read(8))[0])
    try:
        exec(compile(source, "program.py", "exec"), {"__name__": "__main__"})
    except BaseException as error:
        told = traceback.format_exception_only(error)[-1].strip()
        os.write(channel, word + b"\0" + told.encode(errors="replace")[:1000])
    else:
        os.write(channel, word + b"\1")

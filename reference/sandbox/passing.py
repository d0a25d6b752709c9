"""Does a program that a model wrote run to its end? One sandbox for many programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from reference.errors import UserError
from reference.sandbox.limits import Limits
from reference.sandbox.program import End, run_program
from reference.sandbox.sandbox import Sandbox, SandboxError

LIMITS = Limits(cpu_seconds=5, wall_seconds=60, memory=256 * 2**20)


@contextmanager
def passing() -> Iterator[Callable[[str], bool]]:
    """A function from the text of a program to whether it ends without an error, within LIMITS.

    Raises:
        UserError: a program should run and the system has no wall to put it behind.
    """
    with Sandbox() as sandbox:

        def passes(program: str) -> bool:
            try:
                return run_program(sandbox, program, LIMITS).end is End.WHOLE
            except SandboxError as error:
                raise UserError(
                    f"Programs cannot be run safely here: {error}; leave humaneval out with --only."
                ) from error

        yield passes

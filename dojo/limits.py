"""What a student's code may use in the sandbox. Computing is counted; a clock on the wall is a last resort."""

from __future__ import annotations

from reference.sandbox.limits import Limits

LIMITS = Limits(cpu_seconds=30.0, wall_seconds=600.0)  # of one process; code that is honest stops itself before
MOST_STOPS = 3  # after so many tests in which a function was stopped, it is not called again
MOST_COMPUTING = 60.0  # seconds, in all tests of a kata together
MOST_WAITING = 720.0  # seconds that are waited for the code in all of them: slow is not dead
KATA_SECONDS = 1200.0  # from the first test of a kata to its last one, for a process of ours that hangs
SUBMISSION_SECONDS = 10 * KATA_SECONDS

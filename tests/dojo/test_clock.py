"""The clock: what is computed counts, what others compute does not, and whoever waits is stopped too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dojo.clock import Clock, TooLong
from dojo.contract import executor_of
from dojo.curriculum import Kata, find_kata
from dojo.executor import Request
from dojo.here import Here
from dojo.loading import LoadError, load, load_kata
from tests.tiny_run import needs_signals

pytestmark = needs_signals
ROOT = Path(__file__).resolve().parent.parent.parent


def compute(seconds: float = 1e9) -> None:
    """Compute in this thread until it has had a processor for so long."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def idle() -> None:
    """Neither work nor rest, for ever."""
    while True:
        time.sleep(0.03)
        compute(0.0006)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Every test leaves the process's alarm as it found it."""
    handler = signal.getsignal(signal.SIGALRM)
    yield
    assert signal.getsignal(signal.SIGALRM) is handler


def test_computing_is_stopped() -> None:
    """and the line at which it stood is in the traceback"""
    begun = time.thread_time()
    with pytest.raises(TooLong, match=r"^after 0\.2 s of computing$") as stop, Clock(0.2):
        compute()
    assert time.thread_time() - begun >= 0.2
    assert "compute" in [step.name for step in stop.traceback]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no way to share one processor")
def test_what_others_compute_does_not_count() -> None:
    """a right answer that gets a fifth of a processor takes five times as long, and that is not too long"""
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(everywhere)})
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    begun = time.monotonic()
    try:
        with Clock(0.5):
            compute(0.4)
    finally:
        os.sched_setaffinity(0, everywhere)
        for other in others:
            other.kill()
            other.wait()
    assert time.monotonic() - begun > 0.5, "or nothing is shown here"


def test_what_is_done_in_a_pause_does_not_count() -> None:
    """and what is done before and after it does"""
    clock = Clock(0.4)
    with clock:
        compute(0.1)
        with clock.paused():
            compute(0.6)
        compute(0.1)
    with pytest.raises(TooLong), clock:
        compute()


def test_blocks_add_up() -> None:
    """the time is for all blocks together, until it is allowed anew"""
    clock = Clock(0.3)
    with clock:
        compute(0.2)
    with pytest.raises(TooLong), clock:
        compute(0.2)
    clock.allow(0.3)
    with clock:
        compute(0.2)


def test_waiting_is_stopped() -> None:
    """what does nothing at all is stopped after half of its time, long before the last resort"""
    with pytest.raises(TooLong, match=r"^while it waited, .* s after its start$"), Clock(0.5):
        threading.Event().wait(1000)


def test_short_rests_are_not_waiting() -> None:
    """who computes between his rests is at work"""
    with Clock(1.0):
        for _ in range(6):
            time.sleep(0.15)
            compute(0.01)


def test_the_last_resort() -> None:
    """neither at work nor at rest: so many times as long, and it is stopped too"""
    with (
        pytest.raises(TooLong, match=r"^(after .* s, of which it computed 0\.\d and waited|while it waited)"),
        Clock(0.1),
    ):
        idle()


def test_one_in_another() -> None:
    """the inner block has its own time, and the outer one goes on counting afterwards"""

    def outer() -> None:
        with Clock(60.0):
            compute(0.1)
        with pytest.raises(TooLong, match=r"^after 0\.1 s"), Clock(0.1):
            compute()
        compute()

    with pytest.raises(TooLong, match=r"^after 0\.4 s"), Clock(0.4):
        outer()


def test_an_alarm_of_somebody_else() -> None:
    """the alarm that pytest-timeout, or anybody, has set rings all the same"""
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    kept = signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with Clock(10.0):
            compute(0.1)
        until = time.monotonic() + 60
        while not rung and time.monotonic() < until:
            time.sleep(0.01)
        assert rung
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *kept)


def test_code_that_catches_everything() -> None:
    """ends its process, with a sentence"""
    code = """from dojo.clock import Clock
with Clock(0.1):
    while True:
        try:
            while True:
                try:
                    while True:
                        pass
                except BaseException:
                    pass
        except BaseException:
            pass"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(
        "Your code should have been stopped after 0.1 s of computing, but it catches every exception."
    )


def test_who_looks_at_the_code_in_a_debugger_has_time() -> None:
    """at a breakpoint nothing counts, however long somebody thinks; afterwards it counts again"""
    code = "from dojo.clock import Clock\nwith Clock(0.2):\n    breakpoint()\n    print('on')\n    while True: pass"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    debugged = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, text=True, **pipes)  # type: ignore[call-overload]
    time.sleep(2)  # it has time to be stopped
    out, err = debugged.communicate("c\n")
    assert out.endswith("on\n")
    assert "TooLong: after 0.2 s of computing" in err


def test_on_another_thread_nothing_is_stopped() -> None:
    """signals come to the main thread only"""
    done = []

    def work() -> None:
        with Clock(0.01):
            compute(0.1)
        done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done


def rmsnorm() -> Kata:
    kata = find_kata("rmsnorm")
    assert kata is not None
    return kata


def here(folder: Path, body: str) -> Here:
    file = folder / "mine.py"
    file.write_text(f"import torch\n\ndef rms_norm(x, eps=1e-6):\n    {body}\n")
    return Here(executor_of(rmsnorm(), load_kata(rmsnorm(), file)))


def test_a_function_that_is_stopped_again_and_again(tmp_path: Path) -> None:
    """the first test has its time, later ones a second, and after three stops it is not called any more"""
    student = here(tmp_path, "while x: pass")
    asked = Request("call", "rms_norm", (True,))
    said = []
    for seconds in (0.3, 1.3, 0.2, 9.0):
        student.renew(seconds)
        outcome = student.run(asked)
        said.append((outcome.stopped, outcome.frames))
    line = ("line 4, in rms_norm: while x: pass",)
    assert said == [
        ("was stopped after 0.3 s of computing", line),
        ("was stopped after 1 s of computing", line),
        ("was stopped after 0.2 s of computing", line),
        ("was not called, after it had been stopped in 3 tests", ()),
    ]


def test_nothing_is_shorter_before_the_first_stop(tmp_path: Path) -> None:
    """as long as nothing is stopped each test has its whole time"""
    student = here(tmp_path, "import time; t = time.thread_time() + x\n    while time.thread_time() < t: pass")
    for _ in range(2):
        student.renew(1.4)
        assert student.run(Request("call", "rms_norm", (1.1,))).stopped is None


def test_an_import_that_does_not_end(tmp_path: Path) -> None:
    """is stopped as well, with its line"""
    from dojo.loading import run_source

    with pytest.raises(LoadError, match=r"^mine\.py, line 2, was stopped when it was imported, after 0\.2 s of comp"):
        run_source("\nwhile True: pass\n", "mine.py", "mine.py", "mine", seconds=0.2)
    file = tmp_path / "fine.py"
    file.write_text("x = 1\n")
    assert load(file, "fine").x == 1


def test_torch_is_paid_for_what_it_does_once(tmp_path: Path) -> None:
    """code that computes on the odd default device is not stopped for torch's seconds with its compiler"""
    script = f"""import sys, torch
from pathlib import Path
from dojo.contract import executor_of
from dojo.curriculum import find_kata
from dojo.executor import Request
from dojo.loading import load_kata
kata = find_kata("rmsnorm")
executor = executor_of(kata, load_kata(kata, Path({str(tmp_path / "mine.py")!r})))
assert "torch._dynamo" not in sys.modules, "or nothing is shown here"
executor.clock.allow(0.5)
outcome = executor.run(Request("call", "rms_norm", (torch.ones(2),), odd=True))
assert "torch._dynamo" in sys.modules
print(outcome.value.device, outcome.stopped)"""
    (tmp_path / "mine.py").write_text("import torch\n\ndef rms_norm(x):\n    return torch.ones(2) * 2\n")
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "meta None\n", done.stderr

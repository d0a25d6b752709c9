"""Real torchrun: Ctrl-C for two processes, what is said of failures, and how cores are divided.

That one of them is killed is in test_run_full.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from reference.data.generated import write_generated
from reference.run import Run
from reference.torchrun import cores_each
from tests.tiny_run import needs_signals

pytestmark = needs_signals

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = [
    f"--set={setting}"
    for setting in ("vocab_size=400", "sequence_len=32", "batch_rows=4", "tokenizer_characters=20000", "base_steps=400")
]


def start(folder: Path, *command: str, processes: int = 2) -> subprocess.Popen:
    """`python -m reference COMMAND` in a folder, in so many processes; with 0 without torchrun."""
    torchrun = ["-m", "reference.torchrun", "--standalone", "--nproc_per_node", str(processes)] if processes else []
    return subprocess.Popen(
        [sys.executable, *torchrun, "-m", "reference", *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and a run that has a tokenizer."""
    place = tmp_path_factory.mktemp("torchrun")
    write_generated(place / "data")
    tokenizer = start(place, "tok-train", "--depth=1", "--tag=t", "--data=data", *SETTINGS, "--device=cpu", processes=0)
    _, err = tokenizer.communicate()
    assert tokenizer.returncode == 0, err
    assert "400" not in err
    return place


def member(launcher: subprocess.Popen, rank: int) -> psutil.Process:
    """The process of a rank."""
    children = psutil.Process(launcher.pid).children(recursive=True)
    return next(child for child in children if child.environ().get("RANK") == str(rank))


def test_ctrl_c(folder: Path) -> None:
    """A terminal's Ctrl-C, which reaches every process and is then passed on by torchrun, ends in one checkpoint."""
    run = Run.open(folder / "runs", "t")
    launcher = start(folder, "base-train", "--device=cpu", "--checkpoint-minutes=0")
    while len(run.metrics("base")) < 5:
        assert launcher.poll() is None, launcher.communicate()
        time.sleep(0.1)
    for process in (psutil.Process(launcher.pid), member(launcher, 0), member(launcher, 1)):
        process.send_signal(signal.SIGINT)
    _, err = launcher.communicate()
    assert launcher.returncode == 130
    done = len([line for line in run.metrics("base") if "loss" in line])
    assert err == f"Stopped in base after step {done} of 400; the same command goes on from there.\n"
    (checkpoint,) = (folder / "runs" / "t" / "base").glob("step_*")
    assert checkpoint.name.startswith(f"step_{done:06d}")


def test_a_sentence_once(folder: Path) -> None:
    """What all processes find wrong is said once, with status 2, without torchrun's own words."""
    launcher = start(folder, "mid", "--device=cpu")
    _, err = launcher.communicate()
    assert launcher.returncode == 2
    assert err == "The stage mid begins with what base has made, and that is not complete; do it first.\n"


@pytest.mark.parametrize(
    ("arguments", "processes"),
    [
        (["--nproc_per_node", "4", "-m", "reference"], 4),
        (["--nproc-per-node=2"], 2),
        (["--nproc_per_node", "gpu"], 1),
        ([], 1),
    ],
)
def test_cores_are_divided(arguments: list[str], processes: int) -> None:
    """Processes on one machine do not each take all of its cores."""
    assert cores_each(arguments, cores=16) == 16 // processes
    assert cores_each(arguments, cores=1) == 1

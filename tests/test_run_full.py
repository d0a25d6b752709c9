"""run_full.sh: its steps and their order, what it says when one fails, and the whole of it for real."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from reference.run import Run
from tests.tiny_run import needs_signals, numbers

pytestmark = [needs_signals, pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")]

ROOT = Path(__file__).resolve().parent.parent
# Notes what it is called with, and makes what the command would; fails where its arguments hold $FAIL.
STUB = """#!/bin/sh
echo "$@" >>"$LOG"
case "$*" in *"${FAIL:-nothing}"*) echo "The reason why." >&2; exit 2 ;; esac
case "$*" in *"plan --shards"*) echo 216 ;; esac
for stage in tokenizer base mid sft rl; do
    case "$*" in *tok-train*) made=tokenizer ;; *"base-train"*) made=base ;; *"reference $stage "*) made=$stage ;; esac
done
[ -z "$made" ] || mkdir -p "runs/$TAG/$made"
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The script with a Python that only pretends, in a folder of its own."""
    shutil.copy(ROOT / "run_full.sh", tmp_path)
    (tmp_path / "python").write_text(STUB)
    (tmp_path / "python").chmod(0o755)
    (tmp_path / "data" / "eval_bundle").mkdir(parents=True)
    return tmp_path


def run(place: Path, **environment: str) -> tuple[int, str, list[str]]:
    """Exit status, what was printed, and the commands in the order in which they were begun."""
    log = place / "log"
    log.unlink(missing_ok=True)
    given = {"PATH": os.environ["PATH"], "PYTHON": str(place / "python"), "LOG": str(log), "TAG": "t", "NPROC": "8"}
    result = subprocess.run(
        ["bash", str(place / "run_full.sh")],
        env={**given, "DATA": str(place / "data"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = log.read_text().splitlines() if log.exists() else []
    return result.returncode, result.stdout + result.stderr, lines


def commands(lines: list[str]) -> list[str]:
    """The command of `python -m reference` in each line."""
    return [line.rpartition("-m reference ")[2].split()[0] for line in lines]


WHOLE = [
    *("plan", "plan", "data", "tok-train", "tok-eval", "data", "base-train", "base-loss", "base-eval"),
    *("mid", "chat-eval", "sft", "chat-eval", "rl", "chat-eval", "report"),
]


def test_all_steps_in_order(place: Path) -> None:
    """Plan, data, tokenizer, base, mid, sft, rl and every evaluation; those on GPUs in as many processes."""
    status, printed, lines = run(place, DEPTH="26")
    assert status == 0
    assert commands(lines) == WHOLE
    assert "--depth 26 --nproc 8" in lines[0]
    assert "data -n 216 --first 10 --words --bundle" in lines[2]
    on_gpus = [line for line in lines if line.startswith("-m reference.torchrun --standalone --nproc_per_node 8 ")]
    alone = ("plan", "data", "tok-train", "tok-eval", "report")
    assert commands(on_gpus) == [name for name in WHOLE if name not in alone]
    assert printed.splitlines()[-1] == f"Talk to it: {place / 'python'} -m reference chat --tag t"


@pytest.mark.parametrize(
    ("fail", "step"),
    [
        ("plan --depth", "plan"),
        ("--words", "data"),
        ("tok-train", "tokenizer"),
        ("base-train", "base"),
        ("base-eval", "base evaluation"),
        ("reference sft", "sft"),
        ("chat-eval --stage rl", "rl evaluation"),
        ("report --tag", "report"),
    ],
)
def test_the_first_failure(place: Path, fail: str, step: str) -> None:
    """It ends there, with the reason, the step's name and its status; again, it does the rest, evaluations once."""
    status, printed, lines = run(place, FAIL=fail)
    assert status == 2
    assert fail in lines[-1]
    assert "The reason why." in printed
    assert f'run_full: the step "{step}" has failed, see above; the same command again goes on from there.' in printed
    status, printed, again = run(place)
    assert status == 0
    first = [name for name in commands(lines)[:-1] if name in ("tok-eval", "base-loss", "base-eval", "chat-eval")]
    second = [name for name in commands(again) if name in ("tok-eval", "base-loss", "base-eval", "chat-eval")]
    assert first + second == [name for name in WHOLE if name in ("tok-eval", "base-loss", "base-eval", "chat-eval")]
    assert [name for name in commands(again) if not name.endswith("eval")] == [
        name for name in WHOLE if not name.endswith("eval") and (name != "base-loss" or "base-loss" in second)
    ]


def test_one_process_and_the_learners_parts(place: Path) -> None:
    """With one GPU there is no torchrun; PARTS=mine trains with the green katas, and nothing else is taken for it."""
    status, _, lines = run(place, NPROC="1", PARTS="mine")
    assert status == 0
    assert not any("torchrun" in line for line in lines)
    its = [line for line in lines if "base-train" in line or " plan " in line]
    assert [line.split()[:3] for line in its] == [["-m", "dojo", "train"]] * 3, "the plan is of these parts, too"
    status, printed, lines = run(place, PARTS="yours")
    assert (status, lines) == (2, [])
    assert "PARTS is reference or mine, not yours." in printed


def spoken(folder: Path) -> str:
    return (folder / "said").read_text()


def launched(folder: Path, **environment: str) -> subprocess.Popen:
    """SMOKE=1, begun in a folder with a copy of the code; what it says goes to the file `said` there."""
    given = {name: value for name, value in os.environ.items() if name not in ("NANOKATA_DATA", "OMP_NUM_THREADS")}
    with (folder / "said").open("w") as said:
        return subprocess.Popen(
            ["bash", "run_full.sh"],
            cwd=folder,
            env={**given, "SMOKE": "1", "PYTHON": sys.executable, **environment},
            stdout=said,
            stderr=subprocess.STDOUT,
        )


def ranks(script: subprocess.Popen) -> dict[str, psutil.Process]:
    """The processes that torchrun has started below the script, by rank."""
    found = {}
    for process in psutil.Process(script.pid).children(recursive=True):
        with suppress(psutil.Error):
            found[process.environ().get("RANK", "")] = process
    return {rank: process for rank, process in found.items() if rank}


@pytest.fixture(params=["real", "generated"])
def its_data(request: pytest.FixtureRequest) -> dict[str, str]:
    """The real data sets where there are any, or else generated ones; with NANOKATA_SLOW=1 both."""
    there = os.environ.get("NANOKATA_DATA")
    if request.param == "real":
        return {"NANOKATA_DATA": str(request.getfixturevalue("data_dir"))}
    if there and not os.environ.get("NANOKATA_SLOW"):
        pytest.skip("done with the data of NANOKATA_DATA; set NANOKATA_SLOW=1 to do both")
    return {}


def test_for_real(tmp_path: Path, its_data: dict[str, str]) -> None:
    """SMOKE=1, every step with torchrun in two processes: a rank is killed, the same command goes on to the report."""
    for name in ("reference", "dojo", "katas"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "run_full.sh", tmp_path)
    root = tmp_path / "runs"
    log = root / "smoke" / "metrics.jsonl"

    script = launched(tmp_path, **its_data)
    while not log.exists() or log.read_text().count('"base"') < 3:
        assert script.poll() is None, spoken(tmp_path)
        time.sleep(0.05)
    processes = ranks(script)
    processes["1"].kill()
    assert script.wait() == 137
    assert "Process 1 of this run was ended by SIGKILL; the same command goes on from" in spoken(tmp_path)
    assert spoken(tmp_path).endswith(
        'run_full: the step "base" has failed, see above; the same command again goes on from there.\n'
    )
    assert "Traceback" not in spoken(tmp_path)
    assert not any(process.is_running() for process in processes.values())
    before = numbers(Run.open(root, "smoke"))

    assert launched(tmp_path, **its_data).wait() == 0, spoken(tmp_path)
    assert spoken(tmp_path).count("complete already, skipped") == 1, "the tokenizer"
    assert [line for line in spoken(tmp_path).splitlines() if "done already" in line] == [
        "== tokenizer evaluation: done already"
    ]
    run = Run.open(root, "smoke")
    assert numbers(run)[: len(before)] == before, "to the same losses"
    report = json.loads((root / "smoke" / "report.json").read_text())
    assert all(report["stages"][stage]["complete"] for stage in ("tokenizer", "base", "mid", "sft", "rl"))
    assert run.config["machine"]["devices"] == 2
    assert report["stages"]["rl"]["held_out"]["problems"] == 8
    measured = report["evaluations"]
    assert measured["base"].keys() >= {"bits_per_byte", "samples", *["core"] * bool(its_data)}
    assert all(measured[stage]["chat_core"] is not None for stage in ("mid", "sft", "rl"))
    assert (root / "smoke" / "report.md").stat().st_size > 2000
    assert "huggingface.co" not in spoken(tmp_path), "what is not there is not asked for"

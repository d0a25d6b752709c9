"""Many submissions: each in its own process, none lost or graded twice, whatever ends in the middle."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
from rich.console import Console

import dojo.grading.run as grading
from dojo.curriculum import KATAS, ROOT
from dojo.grading.command import Order, grade
from dojo.grading.formats import FORMATS
from dojo.grading.job import Job, result_in
from dojo.grading.run import Tally, Watcher, grade_all
from dojo.grading.schema import Status
from reference.errors import UserError
from tests.grading.test_intake import folder

STANDIN = (sys.executable, "-m", "tests.grading.standin")
ROPE = tuple(kata for kata in KATAS if kata.name == "rope")
TWO = tuple(kata for kata in KATAS if kata.name in ("bpe", "rope"))


def order(tmp_path: Path, *submissions: Path, **changes: object) -> Order:
    words = tuple(map(str, submissions))
    settings = {"katas": ROPE, "out": tmp_path / "out", "formats": frozenset(FORMATS), "jobs": 2, "hidden_seed": 7}
    return Order(words, **{**settings, **changes})  # type: ignore[arg-type]


def run(wanted: Order, command: Sequence[str] = STANDIN) -> tuple[int, str]:
    stream = io.StringIO()
    return grade(wanted, Console(file=stream, width=200), command), stream.getvalue()


def a_class(tmp_path: Path, **sources: str) -> Path:
    return folder(tmp_path / "class", {f"{name}/rope.py": source.encode() for name, source in sources.items()})


def earned(out: Path) -> dict[str, float]:
    files = sorted((out / "submissions").glob("*.json"))
    return {file.stem: result.earned for file in files if (result := result_in(file)) is not None}


def without_times(out: Path, name: str) -> dict[str, object]:
    found = json.loads((out / "submissions" / f"{name}.json").read_text())
    return {key: value for key, value in found.items() if key not in ("seconds", "started")}


def test_a_class_with_everything(tmp_path: Path) -> None:
    """right, wrong, a grader that dies: each gets what it earned, in every format; the status says what is missing"""
    files = a_class(tmp_path, ann="right", bob="wrong", cid="die", dan="right # too")
    (files / "eve.zip").write_bytes(b"PK\3\4")
    status, said = run(order(tmp_path, files))
    assert status == 1
    assert "COULD NOT BE CHECKED, at least in part: cid, eve" in said
    assert earned(tmp_path / "out") == {"ann": 10, "bob": 0, "cid": 0, "dan": 10, "eve": 0}
    cid, eve = (result_in(tmp_path / "out" / "submissions" / f"{name}.json") for name in ("cid", "eve"))
    assert cid is not None
    assert cid.status is Status.UNCHECKED
    assert "ended with status -6: about to die" in cid.katas[0].reason
    assert eve is not None
    assert "cannot be read: the archive is truncated or damaged" in eve.katas[0].reason
    for name in ("ann", "bob", "cid", "dan", "eve"):
        for file in (f"gradescope/{name}.json", f"junit/{name}.xml", f"markdown/{name}.md"):
            assert (tmp_path / "out" / file).stat().st_size > 100
        assert (tmp_path / "out" / "classroom" / name / "03-rope.base64").exists()
    table = (tmp_path / "out" / "class.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in table] == ["name", "ann", "bob", "cid", "dan", "eve"]
    assert "# 5 submissions" in (tmp_path / "out" / "summary.md").read_text()
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["unchecked"] == ["cid", "eve"]


def test_again(tmp_path: Path) -> None:
    """the same again grades nothing; a changed file, seed or kata is graded, and what was unchecked is tried again"""
    files = a_class(tmp_path, ann="right", bob="wrong")
    assert "2 graded now, 0 before" in run(order(tmp_path, files))[1]
    before = (tmp_path / "out" / "submissions" / "ann.json").read_bytes()
    assert "0 graded now, 2 before" in run(order(tmp_path, files))[1]
    assert (tmp_path / "out" / "submissions" / "ann.json").read_bytes() == before
    (files / "bob" / "rope.py").write_text("right now")
    assert "1 graded now, 1 before" in run(order(tmp_path, files))[1]
    assert earned(tmp_path / "out") == {"ann": 10, "bob": 10}
    assert "2 graded now" in run(order(tmp_path, files, hidden_seed=8))[1]
    assert "2 graded now" in run(order(tmp_path, files, hidden_seed=8, katas=TWO))[1]
    (files / "bob" / "rope.py").write_text("die")
    assert run(order(tmp_path, files))[0] == 1
    assert "1 graded now, 1 before" in run(order(tmp_path, files))[1]
    (tmp_path / "out" / "submissions" / "ann.json").write_text('{"schema": 1')
    assert "2 graded now" in run(order(tmp_path, files))[1]


def test_results_inside_the_class(tmp_path: Path) -> None:
    """the folder of results is no submission, wherever it lies"""
    files = a_class(tmp_path, ann="right", bob="wrong")
    for _ in range(2):
        run(order(tmp_path, files, out=files / "grades"))
        assert earned(files / "grades") == {"ann": 10, "bob": 0}


def test_sources_are_those_of_now(tmp_path: Path) -> None:
    """beside the results lie the files that were graded and no older ones"""
    files = folder(tmp_path / "class", {"ann/rope.py": b"right", "ann/bpe.py": b"right", "bob/rope.py": b"x"})
    run(order(tmp_path, files, katas=TWO))
    (files / "ann" / "bpe.py").unlink()
    (files / "ann" / "rope.py").write_bytes(b"right again")
    run(order(tmp_path, files, katas=TWO))
    kept = tmp_path / "out" / "sources" / "ann"
    assert {file.name: file.read_bytes() for file in kept.iterdir()} == {"rope.py": b"right again"}


class Times(Watcher):
    """A clock that goes on by a year once all but one are finished, for the one that hangs; `time` for `grade_all`."""

    def __init__(self) -> None:
        self.more, self.sleep = 0.0, time.sleep

    def finished(self, job: Job, tally: Tally) -> None:
        if tally.graded == 4:
            self.more = 365 * 24 * 3600.0

    def monotonic(self) -> float:
        return time.monotonic() + self.more


def test_order_and_company_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """a submission gets the same whether alone, first or last, and whoever stands beside it"""
    files = a_class(tmp_path, ann="right", bob="die", cid="wrong", dan="right!", eve="hang")
    alone = [files / "ann", files / "cid"]
    run(order(tmp_path, *alone, out=tmp_path / "alone"))
    jobs = [
        Job(name, (str(files / name),), "", ("03",), 7, str(tmp_path / "mixed"))
        for name in ("eve", "cid", "bob", "dan", "ann")
    ]
    times = Times()
    monkeypatch.setattr(grading, "time", times)
    tally = grade_all(jobs, 3, times, STANDIN)
    assert tally.unchecked == ["bob", "eve"]
    for name in ("ann", "cid"):
        assert without_times(tmp_path / "alone", name) == without_times(tmp_path / "mixed", name)
    eve = result_in(tmp_path / "mixed" / "submissions" / "eve.json")
    assert eve is not None
    assert "did not come to an end in time" in eve.katas[0].reason


def test_a_grader_that_ends_between_two(tmp_path: Path) -> None:
    """a process that ends after its work is replaced, and the next submission is not blamed for it"""
    files = a_class(tmp_path, ann="right", bob="right", cid="right")
    code = (
        "import io, os, sys; from dojo.grading.job import main; from tests.grading.standin import grade_submission\n"
        "sys.stdin = io.StringIO(sys.stdin.readline()); main(grade_submission); os._exit(3)"
    )
    assert run(order(tmp_path, files, jobs=1), (sys.executable, "-c", code))[0] == 0
    assert earned(tmp_path / "out") == {"ann": 10, "bob": 10, "cid": 10}


def standing(tmp_path: Path, files: Path) -> subprocess.Popen[str]:
    """A run in a process of its own, that can be interrupted."""
    code = (
        "import sys; from pathlib import Path; from rich.console import Console\n"
        "from dojo.grading.command import Order, grade; from dojo.curriculum import find_kata\n"
        f"order = Order(({str(files)!r},), (find_kata('rope'),), Path({str(tmp_path / 'out')!r}), frozenset(), 2, 7)\n"
        "try: sys.exit(grade(order, Console(), [sys.executable, '-m', 'tests.grading.standin']))\n"
        "except KeyboardInterrupt: sys.exit(130)\n"
    )
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_and_resumed(number: signal.Signals, tmp_path: Path) -> None:
    """what was finished stays and is not graded again; nothing is lost; no process is left behind by a polite end"""
    files = a_class(tmp_path, **{f"s{i}": f"right {i} wait" for i in range(9)})
    process = standing(tmp_path, files)
    done = tmp_path / "out" / "submissions"
    while not done.exists() or len(list(done.glob("*.json"))) < 3:
        time.sleep(0.02)
        assert process.poll() is None
    started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    said = process.communicate()[0]
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]
    if number == signal.SIGKILL:
        psutil.wait_procs(started)  # they end by themselves
    assert not [one for one in started if one.is_running()]
    kept = {file.name: file.read_bytes() for file in done.glob("*.json")}
    assert 3 <= len(kept) < 9
    assert not [file for file in done.iterdir() if file.suffix != ".json"], "nothing half written"
    if number == signal.SIGINT:
        assert "the same command goes on with the rest" in said
    wanted = order(tmp_path, files)
    assert f"{9 - len(kept)} graded now, {len(kept)} before" in run(wanted)[1]
    assert {name: (done / name).read_bytes() for name in kept} == kept
    assert earned(tmp_path / "out") == {f"s{i}": 10 for i in range(9)}


def test_the_seed_is_drawn_once(tmp_path: Path) -> None:
    """without a seed one is drawn, told and kept, so that going on grades by the same cases"""
    files = a_class(tmp_path, ann="right")
    said = run(order(tmp_path, files, hidden_seed=None))[1]
    result = result_in(tmp_path / "out" / "submissions" / "ann.json")
    assert result is not None
    assert f"hidden seed {result.hidden_seed}," in said
    assert "0 graded now, 1 before" in run(order(tmp_path, files, hidden_seed=None))[1]
    other = run(order(tmp_path, files, hidden_seed=None, out=tmp_path / "other"))[1]
    assert f"hidden seed {result.hidden_seed}," not in other


def test_two_runs_into_one_folder(tmp_path: Path) -> None:
    """the second is told to wait"""
    files = a_class(tmp_path, ann="hang")
    first = standing(tmp_path, files)
    assert first.stdout is not None
    first.stdout.readline()
    with pytest.raises(UserError, match="Another run is grading into"):
        run(order(tmp_path, files))
    first.send_signal(signal.SIGINT)
    first.communicate()


class Scales(Watcher):
    """Notes how much memory is held at the end of each submission."""

    def __init__(self) -> None:
        self.held: list[int] = []

    def finished(self, job: Job, tally: Tally) -> None:
        self.held.append(tracemalloc.get_traced_memory()[0])


def test_memory_does_not_grow(tmp_path: Path) -> None:
    """of a finished submission nothing is kept that is as large as it"""
    jobs = [Job(f"s{i}", (), "", ("03",), 7, str(tmp_path)) for i in range(24)]
    code = (
        "import json, sys; from dojo.grading.job import *\n"
        "for line in sys.stdin:\n"
        "    found = json.loads(line); job = Job(**{**found, 'katas': tuple(found['katas'])})\n"
        "    write_whole(job.file, to_json(unchecked(job, 'x' * 1_000_000))); print('graded', flush=True)"
    )
    scales = Scales()
    tracemalloc.start()
    grade_all(jobs, 2, scales, (sys.executable, "-c", code))
    tracemalloc.stop()
    assert len(scales.held) == len(jobs)
    assert max(scales.held[5:]) < scales.held[4] + 1_000_000


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "Missing argument 'SUBMISSION...'; see python -m dojo grade --help."),
        (("nowhere",), "There is nothing at nowhere"),
        (("pyproject.toml",), "is called like none of the katas"),
        (("katas", "--kata", "10"), "There is no kata '10'"),
        (("katas", "--jobs", "0"), "0 is not in the range"),
        (("katas", "--format", "pdf"), "'pdf' is not one of"),
        (("katas", "--out", "README.md"), "README.md cannot be used"),
    ],
)
def test_bad_commands(arguments: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    """one sentence and status 2, and nothing is left behind"""
    command = [sys.executable, "-m", "dojo", "grade", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for name in ("pyproject.toml", "README.md"):
        (tmp_path / name).write_text("")
    (tmp_path / "katas").mkdir()
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1

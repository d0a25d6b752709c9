"""What a dishonest submission earns is what its code honestly earns; the grader lives on, and nobody else notices.

One working example of each attack lies in examples/, by the number that it has in the list of attacks that must be
defeated: 1 answers, 2 expected values, 3 exits, 4 and 7 patches, 5 and 6 files and modules that steer, 8 and 9 odd
values, 10 and 12 forgeries, 11 what acts later, 13 and 14 time and resources, 15 network, 16 memory, 17 seeds,
18 detection, 19 arguments, 20 library functions, 21 leaks, 24 claims, 25 skips, 26 state, 27 signals, 28 floods. What
comes before the code is run, archives, links and steering files in them (5, 10, 22, 23), is in test_intake.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from dojo.curriculum import ROOT, Kata, find_kata
from dojo.grading.grade import grade_kata
from dojo.grading.running import Runner
from dojo.grading.schema import KataResult, Status
from reference.sandbox.limits import Limits
from reference.sandbox.walls import WALLS

EXAMPLES = Path(__file__).parent / "examples"
LIMITS = Limits(cpu_seconds=1, wall_seconds=60, memory=2**28)  # the code stops itself after half of that


@dataclass(frozen=True)
class Attack:
    """An example, and what becomes of it.

    Attributes:
        says: words that stand in the report: in the reason, in a failed test's feedback, or in an advisory.
        answer: whether the worked answer stands below it, so that everything is earned honestly.
        reaches: for files, processes, the network or memory, which each wall keeps from it in another way: it is tried
            behind both. What comparisons, the wire and clocks do with the others is the same code behind every wall.
    """

    name: str
    says: str
    answer: bool = False
    reaches: bool = False


ATTACKS = (
    Attack("01_imports_the_answer", "No module named 'reference'", reaches=True),
    Attack("01_searches_the_answer", "imports importlib", reaches=True),
    Attack("02_reads_the_stack", "_getframe: reads the stack"),
    Attack("02_reads_proc", "names '/proc/'", reaches=True),
    Attack("03_exits_at_import", "ends the process"),
    Attack("03_system_exit_at_import", "SystemExit: 0"),
    Attack("03_interrupt_at_import", "ends the process"),
    Attack("03_exits_in_a_call", "the process that ran your code has ended"),
    Attack("03_system_exit_in_a_call", "SystemExit: 0"),
    Attack("03_interrupt_in_a_call", "the process that ran your code has ended"),
    Attack("04_patches_comparisons", "reaches into sys.modules"),
    Attack("05_writes_settings", "open: opens files", reaches=True),
    Attack("06_shadows_modules", "reaches into sys.modules"),
    Attack("07_poisons_builtins", "imports builtins"),
    Attack("08_lies_about_values", "an object of the class"),
    Attack("08_odd_values", "the process that ran your code has ended"),
    Attack("09_pickles", "an object of the class Bomb"),
    Attack("10_writes_results", "open: opens files", reaches=True),
    Attack("11_acts_later", "imports atexit", answer=True, reaches=True),
    Attack("12_forges_records", "the process that ran your code has ended", reaches=True),
    Attack("13_loops", "was stopped after 0.5 s of computing"),
    Attack("13_sleeps", "was stopped while it waited"),
    Attack("13_ignores_signals", "was ended after 1 seconds of computing"),
    Attack("13_loops_at_import", "was stopped when it was imported, after 0.5 s of computing"),
    Attack("14_forks", "imports subprocess", reaches=True),
    Attack("14_fills_memory", "MemoryError", reaches=True),
    Attack("14_fills_the_disk", "PermissionError", reaches=True),
    Attack("15_opens_the_network", "PermissionError", reaches=True),
    Attack("17_plays_with_seeds", "sets the random seed"),
    Attack("18_detects_grading", "reads the environment", answer=True, reaches=True),
    Attack("19_changes_its_arguments", "changed its argument"),
    Attack("21_prints_its_cases", "LEAK"),
    Attack("24_claims_a_run", "not written yet"),
    Attack("25_skips", "SkipTest"),
    Attack("26_keeps_state", "the process that ran your code has ended"),
    Attack("26_remembers", "RuntimeError: not yet"),
    Attack("27_signals_its_parent", "imports signal", reaches=True),
    Attack("28_floods_its_output", "was stopped after 0.5 s|was ended after 1 seconds"),
    Attack("28_prints_much", "", answer=True),
)


def kata_of(name: str) -> Kata:
    kata = find_kata(name)
    assert kata is not None
    return kata


GRPO = kata_of("grpo")


BEST, LEAST = "bubblewrap", "limits"  # the best wall, and none but what each process gives up by itself
CASES = [
    pytest.param(attack, wall, id=f"{wall}-{attack.name}")
    for wall in (BEST, LEAST)
    for attack in ATTACKS
    if attack.reaches or wall == LEAST
]
behind_least = pytest.mark.parametrize("grader", [LEAST], indirect=True)
behind_both = pytest.mark.parametrize("grader", [BEST, LEAST], indirect=True)


@dataclass(frozen=True)
class Grader:
    """One for many submissions, and what honest work earned before any of them."""

    runner: Runner
    before: KataResult


@contextmanager
def grader_behind(wall: str) -> Iterator[Grader]:
    if WALLS[wall](["true"], [], Path("/")) is None:
        pytest.skip(f"{wall} is not installed")
    with Runner(LIMITS, [wall]) as runner:
        yield Grader(runner, honest(runner))


@pytest.fixture(scope="module")
def behind_bubblewrap() -> Iterator[Grader]:
    with grader_behind(BEST) as grader:
        yield grader


@pytest.fixture(scope="module")
def behind_limits() -> Iterator[Grader]:
    with grader_behind(LEAST) as grader:
        yield grader


@pytest.fixture
def grader(request: pytest.FixtureRequest) -> Grader:
    """The one behind the wall that is named; it goes on with the next submission."""
    grader: Grader = request.getfixturevalue(f"behind_{request.param}")
    return grader


def honest(runner: Runner) -> KataResult:
    result = grade_kata(GRPO, GRPO.answer, runner=runner)
    assert result.status is Status.PASSED, result.reason
    assert result.earned == 100
    return result


def alive() -> set[psutil.Process]:
    """Every process that this one has started, and those that they have."""
    found = psutil.Process().children(recursive=True)
    return {one for one in found if one.is_running() and one.status() != psutil.STATUS_ZOMBIE}


def report(result: KataResult) -> str:
    """All that is said of a kata."""
    return "\n".join([result.reason, *(test.feedback for test in result.tests), *result.advisories])


def written(attack: Attack, folder: Path) -> Path:
    source = (EXAMPLES / f"{attack.name}.py").read_text(encoding="utf-8")
    if attack.answer:
        source += GRPO.answer.read_text(encoding="utf-8").replace("from __future__ import annotations", "")
    file = folder / "grpo.py"
    file.write_text(source, encoding="utf-8")
    return file


@pytest.mark.parametrize(("attack", "grader"), CASES, indirect=["grader"])
def test_it_earns_what_it_honestly_earns(attack: Attack, grader: Grader, tmp_path: Path) -> None:
    """an attack earns nothing, or what the answer below it earns; the report says what was seen; no test is excused"""
    processes, files = alive(), set(tmp_path.parent.iterdir())
    result = grade_kata(GRPO, written(attack, tmp_path), runner=grader.runner)
    assert round(result.points, 6) == 100
    assert all(test.status is not Status.UNCHECKED for test in result.tests)
    if attack.answer:
        assert result.earned == 100, report(result)
    else:
        assert result.earned == 0, [test.name for test in result.tests if test.earned]
    told = report(result)
    assert any(words in told for words in attack.says.split("|")), told[:2000]
    assert alive() <= processes
    assert set(tmp_path.parent.iterdir()) == files


@behind_both
def test_what_is_graded_afterwards_is_what_it_was(grader: Grader) -> None:
    """after all of them, honest work has the same points, test by test, as when the grader was fresh"""
    before, after = (
        [(test.name, test.earned, test.status) for test in result.tests]
        for result in (grader.before, honest(grader.runner))
    )
    assert after == before
    assert os.getpid() == psutil.Process().pid


@behind_least
def test_learned_by_heart(grader: Grader, tmp_path: Path) -> None:
    """16: whoever knows every public case passes the public tests, and has next to nothing on unseen ones"""
    bpe, file = kata_of("bpe"), tmp_path / "bpe.py"
    command = [sys.executable, "-m", "tests.attacks.memorizing", "bpe", str(file)]
    subprocess.run(command, cwd=ROOT, check=True)
    result = grade_kata(bpe, file, hidden_seed=5, runner=grader.runner)
    assert 25 < result.earned <= 31
    assert not any(test.earned for test in result.tests if test.hidden)


@behind_least
def test_a_library_function_is_told(grader: Grader) -> None:
    """20: a library function in place of the kata earns what it does, and is named"""
    rmsnorm = kata_of("rmsnorm")
    result = grade_kata(rmsnorm, EXAMPLES / "20_calls_the_library.py", runner=grader.runner)
    assert round(result.earned, 6) == 100, report(result)
    assert any("rms_norm, a library function" in told for told in result.advisories)


@behind_least
def test_unseen_cases_stay_unseen(grader: Grader, tmp_path: Path) -> None:
    """21: of unseen cases the feedback shows neither values nor anything that the code said of them"""
    attack = next(attack for attack in ATTACKS if attack.name == "21_prints_its_cases")
    result = grade_kata(GRPO, written(attack, tmp_path), hidden_seed=5, runner=grader.runner)
    hidden = [test for test in result.tests if test.hidden]
    assert len(hidden) >= 5
    assert all(test.feedback and "LEAK" not in test.feedback for test in hidden)
    assert any("LEAK" in test.feedback for test in result.tests if not test.hidden)

"""A learner's day: the stub, a mistake, hints, the answer, green, the proof, and what can be wrong with a file."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_run import DTYPE, TINY

ROOT = Path(__file__).resolve().parent.parent.parent
ANSWER = (ROOT / "reference" / "parts" / "bpe.py").read_text()
SECONDS = 2  # that a test of the kata may compute here, so that nobody waits long for loops without end


class Checkout:
    """A repository of the learner's own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("dojo", "katas", "reference"):
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("conftest.py", "pyproject.toml"):
            shutil.copy(ROOT / name, root)
        self.file = root / "katas" / "bpe" / "bpe.py"
        tests = self.file.with_name("test_bpe.py")
        source = tests.read_text()
        assert "pytest.mark.seconds(5)" in source
        tests.write_text(source.replace("pytest.mark.seconds(5)", f"pytest.mark.seconds({SECONDS})"))
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
            identity = ["-c", "user.name=A", "-c", "user.email=a@b"]
            subprocess.run(["git", *identity, *command], cwd=root, check=True)

    def python(self, *arguments: str) -> tuple[int, str]:
        done = subprocess.run([sys.executable, *arguments], cwd=self.root, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def dojo(self, *arguments: str) -> tuple[int, str]:
        return self.python("-m", "dojo", *arguments)

    def kata(self, source: str, *arguments: str) -> tuple[int, str]:
        """What pytest says of the kata when the learner's file is this."""
        self.file.write_text(source)
        return self.python("-m", "pytest", "katas/bpe", *arguments)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    return Checkout(tmp_path_factory.mktemp("learner"))


@pytest.fixture
def stub(checkout: Checkout) -> str:
    done = subprocess.run(["git", "show", "HEAD:katas/bpe/bpe.py"], cwd=checkout.root, capture_output=True, text=True)
    return done.stdout


def test_a_day(checkout: Checkout, stub: str) -> None:
    """from the stub over a mistake, hints and the answer to green, with the map telling where one is"""
    status, said = checkout.kata(stub)
    assert status == 1
    assert "katas/bpe is not begun: write merge() and train() and encode() and decode() in katas/bpe/bpe.py" in said
    assert "Traceback" not in said
    assert "Begin kata 01, bpe" in checkout.dojo("next")[1]

    wrong = ANSWER.replace("i += 2", "i += 1")
    assert wrong != ANSWER
    status, said = checkout.kata(wrong)
    assert status == 1
    assert "yours" in said
    assert "expected" in said
    assert "hint 1 of 3: nox -s hint-01" in said
    assert "Go on with kata 01" in checkout.dojo("next")[1]

    first, second = checkout.dojo("hint", "bpe")[1], checkout.dojo("hint", "1")[1]
    assert "1. " in first
    assert "2. " not in first
    assert first.split("\n")[0] == second.split("\n")[0]
    assert "2. " in second
    assert "hint 3 of 3" in checkout.kata(wrong)[1]

    said = checkout.dojo("solution", "01")[1]
    removed = [line for line in said.splitlines() if line.startswith("-") and "i += 1" in line]
    added = [line for line in said.splitlines() if line.startswith("+") and "i += 2" in line]
    assert len(removed) == len(added) == ANSWER.count("i += 2") > 0
    kept = json.loads((checkout.root / ".dojo" / "progress.json").read_text())["bpe"]
    assert (kept["hints"], kept["solution"], kept["attempts"]) == (2, True, 2)

    status, said = checkout.kata(ANSWER)
    assert status == 0
    assert "Now train with it: nox -s kata-01" in said
    assert "is green: see it train" in checkout.dojo("next")[1]

    said = checkout.dojo("progress")[1]
    assert "green" in said
    assert "2 of 3" in said
    checkout.file.write_text(wrong)
    assert "red" in checkout.dojo("progress")[1], "a regression is seen when the map is looked at"

    said = checkout.dojo("reset", "01")[1]
    assert "is the stub again" in said
    assert checkout.file.read_text() == stub
    (copy,) = (checkout.root / ".dojo" / "copies").glob("bpe-*.py")
    assert copy.read_text() == wrong
    assert "is the stub already" in checkout.dojo("reset", "01")[1]


def test_progress_for_a_page(checkout: Checkout) -> None:
    """in a fresh clone the tests of what is begun are run first, and the map is a table in Markdown"""
    shutil.rmtree(checkout.root / ".dojo", ignore_errors=True)
    checkout.file.write_text(ANSWER)
    status, said = checkout.dojo("progress", "--run", "--format", "markdown")
    assert status == 0
    assert said.startswith("## 1 of 9 katas are green\n")
    (row,) = [line for line in said.splitlines() if "01 bpe" in line and line.startswith("|")]
    assert "🟢" in row
    assert "| green |" in row
    checkout.file.write_text(ANSWER.replace("i += 2", "i += 1"))
    said = checkout.dojo("progress", "--run", "--format", "markdown")[1]
    assert said.startswith("## 0 of 9 katas are green\n")
    assert "| 🔴 | 01 bpe" in said
    assert said.count("⚪") == 8


def test_green_goes_into_the_stack(checkout: Checkout) -> None:
    """when the tests are green, the kata goes on to the proof on its own, and the map remembers what came of it"""
    checkout.file.write_text(ANSWER)
    status, said = checkout.dojo("kata", "01")
    assert status == 0
    assert "the same as those of the reference and of the rustbpe package" in " ".join(said.split())
    assert "with your merges a token holds" in " ".join(said.split())
    assert "proven" in checkout.dojo("progress")[1]
    status, said = checkout.dojo("kata", "01", "-k", "decode")
    assert status == 0
    assert "stack" not in said, "arguments for pytest are for a look at some tests"


def test_a_green_part_trains_in_d4(checkout: Checkout) -> None:
    """d4 takes the green part, says so, and notes it; --reference takes the worked answer for once"""
    checkout.kata(ANSWER + "\n# mine\n")
    settings = [word for name, value in TINY.items() for word in ("--set", f"{name}={value}")]
    settings += ["--dtype", DTYPE]
    status, said = checkout.dojo("d4", "--tag", "mine", *settings)
    assert status == 0, said
    assert "yours: bpe; the others are the reference's" in " ".join(said.split())
    parts = json.loads((checkout.root / "runs" / "mine" / "report.json").read_text())["parts"]
    assert (parts["bpe"]["whose"], parts["rope"]["whose"]) == ("learner", "reference")
    status, said = checkout.dojo("d4", "--tag", "../bad", "--reference", "bpe")
    assert status == 2
    assert len(said.strip().splitlines()) == 1
    broken = ANSWER.replace("def train(", "def train(*a, **k):\n    raise KeyError('lost')\n\n\ndef _train(")
    checkout.file.write_text(broken)
    progress = checkout.root / ".dojo" / "progress.json"
    kept = json.loads(progress.read_text())
    kept["bpe"]["file"] = hashlib.sha256(broken.encode()).hexdigest()  # as if it had passed its tests
    progress.write_text(json.dumps(kept))
    status, said = checkout.dojo("d4", "--tag", "stopped", *settings)
    assert status == 2
    assert "Your bpe raised KeyError: 'lost', in train(" in said
    assert "--reference bpe" in said
    assert "Traceback" not in said
    status, said = checkout.dojo("d4", "--tag", "stopped", "--reference", "bpe", *settings, "--set", "base_steps=x")
    assert status == 2
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("def merge(:\n", "katas/bpe/bpe.py, line 1, is not Python: invalid syntax"),
        ("import numpyy\n", "line 1, fails when it is imported: ModuleNotFoundError: No module named 'numpyy'"),
        ("\n1 / 0\n", "line 2, fails when it is imported: ZeroDivisionError"),
        ("raise SystemExit(0)\n", "fails when it is imported: SystemExit"),
        (ANSWER.replace("def decode(", "def decoded("), "has no decode; the contract asks for it"),
        (ANSWER + "\ntrain = 5\n", "has no train; the contract asks for it"),
    ],
)
def test_a_file_that_cannot_be_used(checkout: Checkout, source: str, sentence: str) -> None:
    """one sentence, once, and no traceback"""
    status, said = checkout.kata(source)
    assert status == 1
    assert sentence in " ".join(said.split())
    assert said.count(sentence[:20]) == 1
    assert "Traceback" not in said


def test_no_file_at_all(checkout: Checkout) -> None:
    """a file that is gone is said to be gone"""
    checkout.file.unlink()
    assert "katas/bpe/bpe.py cannot be read: No such file" in checkout.python("-m", "pytest", "katas/bpe")[1]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("while True: pass", f"was stopped after {SECONDS} s of computing, at line"),
        ("return [][3]", "IndexError: list index out of range"),
        ("import os; os.remove('katas/bpe/README.md')", "your code tried to delete katas/bpe/README.md"),
        ("print('here', ids); return []", "your code printed: here"),
        ("raise SystemExit", "SystemExit"),
        ("return None", "expected"),
        ("ids.clear(); return []", "changed its argument ids"),
    ],
)
def test_code_that_goes_wrong(checkout: Checkout, line: str, sentence: str) -> None:
    """the call, the learner's own line and what is wrong with it; no line of the framework"""
    source = f"{ANSWER}\n\ndef merge(ids, pair, new_id):\n    {line}\n"
    status, said = checkout.kata(source, "-k", "test_merge", "-x")
    assert status == 1
    assert sentence in " ".join(said.split())
    assert "merge(" in said
    assert "dojo/" not in said
    assert "Traceback" not in said
    assert (checkout.root / "katas" / "bpe" / "README.md").exists()


def test_a_loop_costs_its_own_tests_only(checkout: Checkout) -> None:
    """nobody waits for the same loop in forty tests, and whatever does not need that function is tested"""
    status, said = checkout.kata(f"{ANSWER}\n\ndef decode(ids, merges):\n    while True:\n        pass\n")
    assert status == 1
    assert "decode([256]" in said
    assert f"was stopped after {SECONDS} s of computing, at\n        line " in said
    assert "in decode: while True:" in said
    assert "39 of 51 green" in said


def test_a_stretch_goal_is_no_test(checkout: Checkout) -> None:
    """who misses it is green; who is red does not wait for it; to who has not written it, it says so"""
    missed = "def train(words, size):\n    return [] if len(words) > 10_000 else _train(words, size)\n"
    status, said = checkout.kata(f"{ANSWER}\n\n_train = train\n\n\n{missed}")
    assert status == 0
    assert "51 of 51 green" in said
    assert "51 passed, 1 xfailed" in said
    said = checkout.kata(f"{ANSWER}\n\ndef decode(ids, merges):\n    return b''\n")[1]
    assert " passed, 1 skipped in" in said
    said = checkout.kata(f"{ANSWER}\n\ndef train(words, size):\n    raise NotImplementedError\n")[1]
    assert "skipped" not in said


def test_an_error_that_names_nothing(checkout: Checkout) -> None:
    """a ValueError without the argument's name is shown beside what it should name"""
    source = ANSWER.replace('raise ValueError(f"vocab_size', 'raise ValueError(f"it')
    assert source != ANSWER
    said = " ".join(checkout.kata(source)[1].split())
    assert "the error does not name what is wrong:" in said
    assert "vocab_size" in said


def test_tracebacks_for_those_who_ask(checkout: Checkout) -> None:
    """--tb=long is pytest's own"""
    source = f"{ANSWER}\n\ndef merge(ids, pair, new_id):\n    return [][3]\n"
    said = checkout.kata(source, "--tb=long", "-x")[1]
    assert "def test_" in said
    assert "E   IndexError" in said or "E       IndexError" in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("kata", "10"), "There is no kata '10'; the katas are 01 bpe, 02 rmsnorm"),
        (("hint", "rop"), "There is no kata 'rop'"),
        (("hint",), "Missing argument 'KATA'; see python -m dojo hint --help."),
        (("dance",), "No such command 'dance'; see python -m dojo --help."),
        (("train", "mid", "--seed", "1"), "; see python -m dojo train mid --help."),
        (("d4", "now"), "; see python -m dojo d4 --help."),
    ],
)
def test_bad_commands(checkout: Checkout, arguments: tuple[str, ...], sentence: str) -> None:
    """one sentence and status 2"""
    status, said = checkout.dojo(*arguments)
    assert status == 2
    assert sentence in said
    assert len(said.strip().splitlines()) == 1

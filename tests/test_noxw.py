"""`./noxw` and the sessions, with a stand-in for Python that notes what it is asked and installs nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYTHON_NAMES = ("python3", "python3.10", "python3.11", "python3.12", "python3.13")

# An environment that it "makes" holds itself again; whatever it has no answer for goes to the real Python.
STAND_IN = f"""#!/bin/sh
case "$1 $2 $3" in
    "-m venv --clear") echo venv >>"$CALLS"; rm -rf "$4"; mkdir -p "$4/bin"; cp "$0" "$4/bin/python" ;;
    "-m pip --version") exit 0 ;;
    "-m pip install") echo pip install >>"$CALLS"; eval "${{PIP_DOES:-}}" ;;
    "-m nox "*) echo nox >>"$CALLS"; shift 2; printf '<%s>' "$@" ;;
    *) exec '{sys.executable}' "$@" ;;
esac
"""


class Checkout:
    """A folder with a space in its name that holds noxw, and a PATH on which python3 is the stand-in."""

    def __init__(self, parent: Path) -> None:
        self.root = parent / "a checkout"
        self.path = parent / "bin"
        self.calls_file = parent / "calls"
        self.root.mkdir()
        self.path.mkdir()
        shutil.copy(ROOT / "noxw", self.root)
        (self.root / "pyproject.toml").write_text("[project]\n")
        for name in PYTHON_NAMES:
            self.install_python(name, "#!/bin/sh\nexit 1\n")
        self.install_python("python3", STAND_IN)

    def install_python(self, name: str, script: str) -> Path:
        file = self.path / name
        file.write_text(script)
        file.chmod(0o755)
        return file

    def start(self, *command: str | Path, **environment: str) -> subprocess.Popen[str]:
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHON"}
        path = f"{self.path}{os.pathsep}{os.environ['PATH']}"
        return subprocess.Popen(
            command,
            cwd=self.path,
            env={**inherited, "PATH": path, "CALLS": str(self.calls_file), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def noxw(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run noxw from another folder to its end."""
        process = self.start(self.root / "noxw", *arguments, **environment)
        output, errors = process.communicate(timeout=1200)
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def calls(self) -> list[str]:
        """What the stand-in was asked since the last look."""
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        self.calls_file.unlink(missing_ok=True)
        return lines


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.fixture
def ready(checkout: Checkout) -> Checkout:
    """A checkout whose environment is made."""
    assert checkout.noxw("--setup-only").returncode == 0
    assert checkout.calls() == ["venv", "pip install"]
    return checkout


def test_first_call_sets_up_and_hands_the_arguments_to_nox(checkout: Checkout) -> None:
    """In a fresh clone noxw makes the environment, says so, and runs nox with exactly the arguments given."""
    result = checkout.noxw("-s", "d4", "--", "two words", "")
    assert checkout.calls() == ["venv", "pip install", "nox"]
    assert result.stdout == "<-s><d4><--><two words><>"
    assert "setting up .venv, once" in result.stderr


def test_later_calls_install_nothing(ready: Checkout) -> None:
    """Once the environment is there, a call goes straight to nox and says nothing."""
    assert ready.noxw("-l").stderr == ""
    assert ready.calls() == ["nox"]


def test_called_through_symbolic_links(ready: Checkout) -> None:
    """A link to noxw, and a relative link to that link, use the environment beside the real file."""
    (ready.path / "link").symlink_to(ready.root / "noxw")
    (ready.path.parent / "relative link").symlink_to("bin/link")
    output = ready.start(ready.path.parent / "relative link", "-l").communicate(timeout=1200)[0]
    assert output == "<-l>"
    assert ready.calls() == ["nox"]


def test_changed_requirements_are_installed_into_the_same_environment(ready: Checkout) -> None:
    """When pyproject.toml changes, pip brings the environment up to date; it is not made anew."""
    (ready.root / "pyproject.toml").write_text("[project]\nname = 'changed'\n")
    ready.noxw("-l")
    assert ready.calls() == ["pip install", "nox"]
    ready.noxw("-l")
    assert ready.calls() == ["nox"]


def test_moved_checkout_is_set_up_again(ready: Checkout) -> None:
    """An environment cannot be moved, so a checkout that was moved gets a new one."""
    ready.root = ready.root.rename(ready.root.with_name("another place"))
    ready.noxw("-l")
    assert ready.calls() == ["venv", "pip install", "nox"]


def test_environment_that_the_user_made_is_kept(checkout: Checkout) -> None:
    """A .venv that somebody filled by hand, with a PyTorch of their choice, is completed and not wiped."""
    programs = checkout.root / ".venv" / "bin"
    programs.mkdir(parents=True)
    shutil.copy(checkout.path / "python3", programs / "python")
    checkout.noxw("-l")
    assert checkout.calls() == ["pip install", "nox"]


@pytest.mark.parametrize(("signal_name", "status"), [("KILL", -signal.SIGKILL), ("INT", 130)])
def test_interrupted_setup_is_started_over(checkout: Checkout, signal_name: str, status: int) -> None:
    """A set-up that was killed or interrupted while pip ran leaves nothing that the next call relies on."""
    assert checkout.noxw("-l", PIP_DOES=f"kill -{signal_name} 0; exit 1").returncode == status
    assert checkout.calls() == ["venv", "pip install"]
    assert checkout.noxw("-l").returncode == 0
    assert checkout.calls() == ["venv", "pip install", "nox"]


def test_linked_environment_is_not_emptied(checkout: Checkout) -> None:
    """Where .venv is a link to another environment, which the set-up would empty, noxw refuses in one sentence."""
    other = checkout.root.parent / "other"
    other.mkdir()
    (other / "precious").touch()
    (checkout.root / ".venv").symlink_to(other)
    result = checkout.noxw("-s", "d4")
    assert result.returncode == 2
    assert f".venv is a link to {other}" in result.stderr
    assert (other / "precious").exists()
    assert checkout.calls() == []


def test_failing_pip_is_told_in_one_sentence(checkout: Checkout) -> None:
    """When pip fails the status is 2, one line quotes its error and names the log; the next call goes on."""
    result = checkout.noxw("-l", PIP_DOES="echo Collecting torch; echo 'ERROR: no route to host'; exit 1")
    assert result.returncode == 2
    (last,) = result.stderr.splitlines()[1:]
    assert "pip could not install" in last
    assert "no route to host" in last
    assert ".venv-setup.log" in last
    assert "Collecting torch" in (checkout.root / ".venv-setup.log").read_text()
    assert checkout.noxw("-l").returncode == 0
    assert checkout.calls() == ["venv", "pip install", "pip install", "nox"]


def test_two_first_calls_at_once_set_up_once(checkout: Checkout) -> None:
    """Of two calls at the same time one makes the environment, the other waits for it, and both go on."""
    processes = [checkout.start(checkout.root / "noxw", "-l", PIP_DOES="sleep 0.3") for _ in range(2)]
    assert [process.communicate(timeout=1200)[0] for process in processes] == ["<-l>", "<-l>"]
    assert sorted(checkout.calls()) == ["nox", "nox", "pip install", "venv"]


def test_no_suitable_python(checkout: Checkout) -> None:
    """Without a Python of a supported version there is one sentence about it, and status 2."""
    checkout.install_python("python3", "#!/bin/sh\nexit 1\n")
    result = checkout.noxw("-l")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "no Python 3.10 to 3.13" in result.stderr


def test_python_without_venv(checkout: Checkout) -> None:
    """A Python whose venv module is missing, as Debian ships it, gives the command that installs it."""
    stripped = STAND_IN.replace("in\n", 'in\n    *ensurepip*) echo "No module named ensurepip" >&2; exit 1 ;;\n', 1)
    checkout.install_python("python3", stripped)
    result = checkout.noxw("-l")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "apt install python3-venv" in result.stderr


def test_python_chosen_by_the_user(ready: Checkout) -> None:
    """$PYTHON is used where it is good; where it is not, noxw says so instead of taking another one."""
    result = ready.noxw("-l", PYTHON="/nowhere/python")
    assert result.returncode == 2
    assert "PYTHON=/nowhere/python" in result.stderr
    assert ready.calls() == []
    ready.noxw("-l", PYTHON=str(ready.path / "python3"))
    assert ready.calls() == ["nox"]


def nox(checkout: Checkout, *arguments: str) -> subprocess.Popen[str]:
    """A nox from elsewhere, as if installed globally, on this project's sessions."""
    shutil.copy(ROOT / "noxfile.py", checkout.root)
    (checkout.root / "dojo").mkdir(exist_ok=True)
    shutil.copy(ROOT / "dojo" / "curriculum.py", checkout.root / "dojo")
    return checkout.start(sys.executable, "-m", "nox", "-f", checkout.root / "noxfile.py", *arguments)


def dojo(checkout: Checkout, program: str) -> None:
    """Put `program` in the place of `python -m dojo`."""
    (checkout.root / "dojo").mkdir()
    (checkout.root / "dojo" / "__init__.py").touch()
    (checkout.root / "dojo" / "__main__.py").write_text(program)


def test_session_ends_with_its_command_s_status(checkout: Checkout) -> None:
    """A global nox makes the environment too, and ends with the status 2 of the command that it ran."""
    dojo(checkout, "import sys\nprint(sys.argv[1:])\nsys.exit(2)\n")
    process = nox(checkout, "-s", "d4", "--", "--tag", "two words")
    output = process.communicate(timeout=1200)[0]
    assert process.returncode == 2
    assert "['d4', '--tag', 'two words']" in output
    assert checkout.calls() == ["venv", "pip install"]


def test_ctrl_c_is_left_to_the_command(ready: Checkout) -> None:
    """On Ctrl-C nox waits until the command has written its checkpoint and said how to go on."""
    started, saved = ready.root / "started", ready.root / "saved"
    dojo(
        ready,
        "import pathlib, sys, time\n"
        "try:\n"
        f"    pathlib.Path({str(started)!r}).touch()\n"
        "    time.sleep(60)\n"
        "except KeyboardInterrupt:\n"
        "    time.sleep(0.5)\n"
        f"    pathlib.Path({str(saved)!r}).touch()\n"
        "    sys.exit(130)\n",
    )
    process = nox(ready, "-s", "d4")
    while not started.exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=1200) == 130
    assert saved.exists()
    assert "Traceback" not in process.communicate()[1]


@pytest.mark.parametrize("arguments", [[], ["nonsense"]])
def test_unknown_benchmark(ready: Checkout, arguments: list[str]) -> None:
    """`nox -s bench` without a known name lists the names there are, with status 2."""
    (ready.root / "bench").mkdir()
    (ready.root / "bench" / "train.py").touch()
    process = nox(ready, "-s", "bench", "--", *arguments)
    errors = process.communicate(timeout=1200)[1]
    assert process.returncode == 2
    assert errors.splitlines()[-1].endswith("NAME is one of: train.")

"""nanokata: `./noxw -s d4` is the main job, `./noxw -s tests` are the tests; `-- ...` goes to the session.

All sessions share the environment .venv, which ./noxw, and nox itself, make and keep up to date.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = []
logging.getLogger("nox").addFilter(lambda record: "uv binary" not in record.getMessage())  # none is needed

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))
from dojo.curriculum import KATAS  # noqa: E402 - imports nothing but the standard library


def leave(message: str = "", status: int = 2) -> NoReturn:
    """End nox itself with `status`: a session that nox sees fail always becomes status 1."""
    if message:
        print(message, file=sys.stderr)
    raise SystemExit(status)


@functools.cache
def shared_python() -> str:
    """The Python of .venv, after `noxw` has made sure that it is there and up to date."""
    status = subprocess.call(["sh", "noxw", "--setup-only"], cwd=ROOT)
    if status:
        leave(status=status)
    return str(ROOT / ".venv" / "bin" / "python")


def python(*arguments: str, **environment: str) -> int:
    """Run .venv's Python from the repository's root; its exit status, 128 + n where signal n ended it.

    Ctrl-C reaches it from the terminal, and is its own business: it may have a checkpoint to write.
    """
    child = subprocess.Popen([shared_python(), *arguments], cwd=ROOT, env={**os.environ, **environment})
    while child.poll() is None:
        with contextlib.suppress(KeyboardInterrupt):
            child.wait()
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def run(*arguments: str) -> None:
    """Run .venv's Python; unless it succeeds, nox ends with its exit status."""
    status = python(*arguments)
    if status:
        leave(status=status)


def add_session(name: str, docstring: str, *command: str) -> None:
    """A session that runs `python -m dojo COMMAND`, with what follows -- behind it."""

    def session_function(session: nox.Session) -> None:
        run("-m", "dojo", *command, *session.posargs)

    session_function.__doc__ = docstring
    nox.session(name=name)(session_function)


for kata in KATAS:
    add_session(
        f"kata-{kata.label}",
        f"Kata {kata.name}: {kata.title}. Run its tests and, when green, train with it.",
        "kata",
        kata.label,
    )
for kata in KATAS:
    add_session(f"hint-{kata.label}", f"Reveal the next hint of kata {kata.name}.", "hint", kata.label)
for kata in KATAS:
    add_session(
        f"solution-{kata.label}",
        f"Show the worked answer of kata {kata.name}, and what differs from yours.",
        "solution",
        kata.label,
    )
for kata in KATAS:
    add_session(f"reset-{kata.label}", f"Put the stub of kata {kata.name} back, keeping a copy.", "reset", kata.label)


@nox.session
def progress(session: nox.Session) -> None:
    """Show the map: nine katas, and how far you are with each."""
    run("-m", "dojo", "progress", *session.posargs)


@nox.session(name="next")
def next_step(session: nox.Session) -> None:
    """Say what to do now."""
    run("-m", "dojo", "next")


@nox.session
def watch(session: nox.Session) -> None:
    """Run a kata's tests on every save of its file, until Ctrl-C."""
    run("-m", "dojo", "watch")


@nox.session
def grade(session: nox.Session) -> None:
    """Grade submissions in a sandbox (-- SUBMISSION ... [--out DIR] [--jobs N])."""
    run("-m", "dojo", "grade", *session.posargs)


@nox.session
def gradescope(session: nox.Session) -> None:
    """Make the zip that Gradescope takes as an autograder."""
    run("-m", "dojo.grading.gradescope", "pack", *session.posargs)


@nox.session
def d4(session: nox.Session) -> None:
    """Train the whole stack on this computer, in minutes, with your green katas in it."""
    run("-m", "dojo", "d4", *session.posargs)


@nox.session
def chat(session: nox.Session) -> None:
    """Talk to the model of the latest run (-- -p "..." asks one thing)."""
    run("-m", "reference", "chat", *session.posargs)


@nox.session
def report(session: nox.Session) -> None:
    """Write the report of a run again: report.md, report.json and the plots."""
    run("-m", "reference", "report", *session.posargs)


@nox.session
def export(session: nox.Session) -> None:
    """Write a run's model as a folder that the transformers library loads (-- --tag NAME)."""
    run("-m", "reference", "export", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure speed side by side with named peers (-- train, decode, bpe, grade or gpu)."""
    names = sorted(file.stem for file in (ROOT / "bench").glob("[!_]*.py"))
    if not session.posargs or session.posargs[0] not in names:
        leave(f"Say which benchmark: nox -s bench -- NAME, where NAME is one of: {', '.join(names)}.")
    name, *options = session.posargs
    run("-m", f"bench.{name}", *options)


@nox.session(name="rustbpe")
def build_rustbpe(session: nox.Session) -> None:
    """Build our own, faster rustbpe and install it (-- --published puts the published one back)."""
    if session.posargs not in ([], ["--published"]):
        leave("nox -s rustbpe takes nothing but, behind --, --published.")
    run("rustbpe/crate.py", "published" if session.posargs else "install")


@nox.session
def checkpoints(session: nox.Session) -> None:
    """Make the checkpoints that come with the repository again: the default run, about seven minutes."""
    run("-m", "reference", "d4", "--tag", "checkpoints", "--dtype", "float32", *session.posargs)
    run("-m", "dojo", "checkpoints", "--tag", "checkpoints")


@nox.session
def verify(session: nox.Session) -> None:
    """Prove that the exercises are good: stubs red, answers green, every mistake caught and named."""
    run("-m", "pytest", "tests/katas", *session.posargs)


MOST_WORKERS = 8  # that run tests side by side; each imports torch, and takes up to 2 GB
LINT = {
    "ruff format": ("-m", "ruff", "format", "--check", "."),
    "ruff check": ("-m", "ruff", "check", "."),
    "mypy": ("-m", "mypy"),
}


def check(steps: dict[str, tuple[str, ...]], **environment: str) -> None:
    """Run every step, also after one has failed, then say which did."""
    failed = [name for name, arguments in steps.items() if python(*arguments, **environment)]
    if failed:
        leave(f"Failed, see above: {', '.join(failed)}.", status=1)


@nox.session
def lint(session: nox.Session) -> None:
    """Check format, style and types: ruff and mypy."""
    check(LINT)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the project's lint and tests, and rustbpe's where there is Rust (-- takes pytest's arguments)."""
    workers = str(min(os.cpu_count() or 1, MOST_WORKERS))
    shared = ("-p", "xdist", "-n", workers, "--dist", "loadfile", "--no-loadscope-reorder")  # see tests/conftest.py
    pytest = ("-m", "pytest", *shared, *session.posargs)
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    check({**LINT, "pytest": pytest, "rustbpe": ("rustbpe/crate.py", "test")}, OMP_NUM_THREADS=threads)

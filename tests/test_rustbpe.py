"""Building and testing the crate in rustbpe/ where Rust is missing, too old or offline: one sentence each."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from reference.tokenizer import which_rustbpe

ROOT = Path(__file__).resolve().parent.parent
RUSTC = "#!/bin/sh\necho 'rustc 1.{} (0123 2026-01-01)'\n"
OFFLINE = "#!/bin/sh\necho 'error: failed to download\n  could not resolve host' >&2\nexit 101\n"
WITHOUT_RUST = {
    "no cargo": ({}, "there is no cargo here"),
    "an old one": ({"cargo": OFFLINE, "rustc": RUSTC.format("70.0")}, "rustc says rustc 1.70.0"),
    "a broken one": ({"cargo": OFFLINE, "rustc": "#!/bin/sh\nexit 1\n"}, "rustc says nothing"),
    "no registry": ({"cargo": OFFLINE, "rustc": RUSTC.format("99.0")}, "(could not resolve host)"),
}


def crate(tmp_path: Path, programs: dict[str, str], command: str) -> subprocess.CompletedProcess[str]:
    """`crate.py COMMAND` with nothing on the PATH but these programs and the shell."""
    for name, script in programs.items():
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    return subprocess.run(
        [sys.executable, ROOT / "rustbpe" / "crate.py", command],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("programs", "why"), WITHOUT_RUST.values(), ids=WITHOUT_RUST)
def test_without_rust_nothing_fails(tmp_path: Path, programs: dict[str, str], why: str) -> None:
    """The tests of the crate are left out in one line, with success, where they cannot run."""
    done = crate(tmp_path, programs, "test")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("rustbpe is left untested: ")
    assert why in done.stdout
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize(("programs", "why"), WITHOUT_RUST.values(), ids=WITHOUT_RUST)
def test_without_rust_nothing_is_built(tmp_path: Path, programs: dict[str, str], why: str) -> None:
    """To build it there is refused in one sentence, with status 2."""
    done = crate(tmp_path, programs, "install")
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr
    assert done.stderr.count("\n") == 1


def test_our_build_is_what_the_project_asks_for() -> None:
    """pip leaves our own build in place when it brings the environment up to date, and its version shows."""
    (ours,) = re.findall(r'^version = "(.+)"', (ROOT / "rustbpe" / "Cargo.toml").read_text(), re.MULTILINE)
    (asked,) = re.findall(r'"(rustbpe>[^"]+)"', (ROOT / "pyproject.toml").read_text())
    assert Requirement(asked).specifier.contains(ours)
    assert "+" in ours
    assert which_rustbpe().startswith(version("rustbpe"))
    assert which_rustbpe().endswith("built from rustbpe/" if "+" in version("rustbpe") else "the published wheel")

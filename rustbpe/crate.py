"""python rustbpe/crate.py install | published | test | folders: the crate's wheel, installed, tested or unpacked.

The wheel's version has a local label, 0.1.0+..., which tells it from the published 0.1.0 and lets pip, whenever it
brings the environment up to date, take it for what the project asks for.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

CRATE = Path(__file__).resolve().parent
WORK = CRATE / "target" / "wheel"  # which git ignores
MATURIN = "maturin>=1.9,<2"
PUBLISHED = "rustbpe==0.1.0"  # the peer of the tests; what the project asks for is in its pyproject.toml
BUILT_FROM = ("Cargo.toml", "Cargo.lock", "pyproject.toml", "README.md", "rustbpe.pyi", "src/**/*.rs")


class Missing(Exception):
    """Something outside the project that is needed is not there; the message says what, in a sentence."""


def cargo(*arguments: str) -> int:
    """Run cargo in the crate; its exit status."""
    return subprocess.call(["cargo", *arguments], cwd=CRATE)


def pip(*arguments: str) -> int:
    quiet = ("--quiet", "--disable-pip-version-check", "--no-input")
    return subprocess.call([sys.executable, "-m", "pip", *arguments, *quiet])


def check_toolchain() -> None:
    """Raises Missing unless a Rust toolchain is there, is new enough, and has or gets the crate's dependencies."""
    (needed,) = re.findall(r'^rust-version = "(.+)"', (CRATE / "Cargo.toml").read_text(), re.MULTILINE)
    if not shutil.which("cargo") or not shutil.which("rustc"):
        raise Missing(f"there is no cargo here (Rust {needed} or later; https://rustup.rs installs it)")
    said = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"rustc (\d+)\.(\d+)", said)
    if not found or [int(part) for part in found.groups()] < [int(part) for part in needed.split(".")]:
        raise Missing(f"Rust {needed} or later is needed, and rustc says {said.strip() or 'nothing'}")
    impatient = {**os.environ, "CARGO_NET_RETRY": "1", "CARGO_HTTP_TIMEOUT": "15"}
    fetch = ["cargo", "fetch", "--locked", "--quiet"]
    done = subprocess.run(fetch, cwd=CRATE, env=impatient, capture_output=True, text=True, check=False)
    if done.returncode and "--locked" in done.stderr:
        leave(f"rustbpe: Cargo.lock does not fit Cargo.toml. {done.stderr}", 1)
    if done.returncode:
        why = (done.stderr.strip() or "it does not say why").splitlines()[-1].strip()
        raise Missing(f"cargo cannot get what the crate depends on ({why})")


def built_wheel() -> Path | None:
    """The wheel of the sources as they are, built unless it is there; None if the build failed.

    Raises:
        Missing: pip could not get maturin.
    """
    digest = hashlib.sha256(sys.version.encode())
    for file in sorted(file for pattern in BUILT_FROM for file in CRATE.glob(pattern)):
        digest.update(file.relative_to(CRATE).as_posix().encode() + b"\0" + file.read_bytes())
    folder = WORK / "built" / digest.hexdigest()[:16]
    if not list(folder.glob("*.whl")):
        maturin = unpacked(MATURIN, "maturin")
        if not maturin:
            raise Missing(f"pip cannot get {MATURIN}, which builds the wheel")
        shutil.rmtree(WORK / "built", ignore_errors=True)
        build = (str(maturin / "bin" / "maturin"), "build", "--release", "--locked", "--quiet")
        if subprocess.call([*build, "--interpreter", sys.executable, "--out", str(folder)], cwd=CRATE):
            return None
    (wheel,) = folder.glob("*.whl")
    return wheel


def install() -> None:
    """Build the wheel in release mode and put it in the place of the published one."""
    check_toolchain()
    wheel = built_wheel()
    if not wheel or pip("install", "--no-deps", "--force-reinstall", str(wheel)):
        raise Missing("the wheel could not be built and installed; see above")
    print(f"rustbpe {wheel.name.split('-')[1]}, built from {CRATE.name}/, is what every session uses from now on.")


def published() -> None:
    """Put the published wheel back."""
    if pip("install", "--no-deps", "--force-reinstall", PUBLISHED):
        raise Missing(f"pip could not install {PUBLISHED}")
    print(f"{PUBLISHED.replace('==', ' ')}, the published wheel, is what every session uses from now on.")


def unpacked(requirement: str, name: str) -> Path | None:
    """A folder of its own with what pip installs for `requirement`, or None where pip cannot."""
    folder = WORK / name
    part = WORK / f"{name}.part"
    if not folder.exists():
        shutil.rmtree(part, ignore_errors=True)
        if pip("install", "--no-deps", "--target", str(part), requirement):
            return None
        part.rename(folder)
    return folder


def unpacked_wheel() -> Path | None:
    """A folder of its own with our wheel, or None if it could not be built."""
    wheel = built_wheel()
    return wheel and unpacked(str(wheel), f"built/{wheel.parent.name}/unpacked")


def folders() -> None:
    """Print, as JSON on the last line, where our wheel and the published one are unpacked."""
    check_toolchain()
    both = {"ours": unpacked_wheel(), "published": unpacked(PUBLISHED, "published")}
    if not all(both.values()):
        raise Missing("our wheel or the published one could not be had; see above")
    print(json.dumps({name: str(folder) for name, folder in both.items()}))


def python_tests() -> int:
    """The Python tests, on our wheel and, in a process of its own, the published one."""
    ours = unpacked_wheel()
    if not ours:
        return 1
    theirs = unpacked(PUBLISHED, "published")
    environment = {**os.environ, "PYTHONPATH": str(ours)}
    if theirs:
        environment["RUSTBPE_PUBLISHED"] = str(theirs)
    options = ("-q", "-p", "no:cacheprovider", "-c", str(CRATE / "pytest.ini"), "--rootdir", str(CRATE))
    command = [sys.executable, "-m", "pytest", *options, str(CRATE / "tests")]
    return subprocess.call(command, cwd=CRATE.parent, env=environment)


def test() -> None:
    """Check format and lint, run the tests of both languages; where there is no toolchain, say so and be done."""
    try:
        check_toolchain()
        steps = {
            "cargo fmt": lambda: cargo("fmt", "--check"),
            "cargo clippy": lambda: cargo(
                "clippy", "--locked", "--quiet", "--all-targets", "--all-features", "--", "-D", "warnings"
            ),
            "cargo test": lambda: cargo("test", "--locked", "--quiet"),
            "the Python tests": python_tests,
        }
        failed = [name for name, step in steps.items() if step()]
    except Missing as reason:
        print(f"rustbpe is left untested: {reason}.")
        return
    if failed:
        leave(f"rustbpe: failed, see above: {', '.join(failed)}.", 1)


def leave(message: str, status: int) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    commands = {"install": install, "published": published, "test": test, "folders": folders}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        leave(f"python rustbpe/crate.py does one of: {', '.join(commands)}.", 2)
    try:
        commands[sys.argv[1]]()
    except Missing as reason:
        leave(f"rustbpe: {reason}.", 2)
    except KeyboardInterrupt:
        leave("Stopped; nothing has been installed.", 130)

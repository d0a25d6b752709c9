"""The autograder that Gradescope takes: packed here, run there.

python -m dojo.grading.gradescope pack [--kata 03] [--hidden-seed S] [--to FILE]    makes the zip
python -m dojo.grading.gradescope run /autograder                                   grades submission/ into results/
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import traceback
import zipfile
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from dojo.cli import Group, KataName, console
from dojo.curriculum import KATAS, ROOT, Kata, find_kata
from dojo.grading.command import Order, grade
from dojo.grading.files import write_whole
from dojo.grading.formats.gradescope import failed_json
from dojo.grading.run import COMMAND

FOLDERS = ("dojo", "katas", "reference")
FILES = ("conftest.py", "pyproject.toml", "LICENSE", "README.md")
SCRIPTS = ("setup.sh", "run_autograder")  # at the top of the zip
SETTINGS = "autograder.json"
WHEN = (2020, 1, 1, 0, 0, 0)  # so that the same files make the same zip


@click.group(cls=Group)
def main() -> None:
    """Make or run the autograder for Gradescope."""


@main.command()
@click.option("--kata", "katas", multiple=True, type=KataName(), help="Only this kata; may be given more than once.")
@click.option("--hidden-seed", type=click.IntRange(0), help="Of the unseen cases; else each submission draws its own.")
@click.option("--to", default=ROOT / "dist" / "gradescope.zip", type=click.Path(path_type=Path), metavar="FILE")
def pack(katas: tuple[Kata, ...], hidden_seed: int | None, to: Path) -> None:
    """Make the zip, to be uploaded as it is."""
    settings = {"katas": [kata.label for kata in KATAS if kata in katas or not katas], "hidden_seed": hidden_seed}
    to.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in SCRIPTS:
            _add(archive, name, (ROOT / "dojo" / "grading" / "autograder" / name).read_bytes(), 0o755)
        for name in _files():
            _add(archive, name, (ROOT / name).read_bytes(), 0o644)
        _add(archive, SETTINGS, json.dumps(settings).encode(), 0o644)
    console().print(f"{to} is ready, {to.stat().st_size / 1e6:.1f} MB: upload it as the autograder.", soft_wrap=True)


def _add(archive: zipfile.ZipFile, name: str, content: bytes, mode: int) -> None:
    member = zipfile.ZipInfo(name, WHEN)
    member.external_attr = (0o100000 | mode) << 16
    member.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(member, content)


def _files() -> list[str]:
    """What grading needs, without what git ignores."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *FOLDERS, *FILES]
    try:
        found = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):
        raise click.UsageError("This is no git checkout, so what belongs to the autograder is not known") from None
    return sorted(name for name in set(found) if name and (ROOT / name).is_file())


@main.command()
@click.argument("root", type=click.Path(path_type=Path, exists=True))
def run(root: Path) -> None:
    """Grade ROOT/submission into ROOT/results/results.json."""
    autograde(root, Console(stderr=True))


def autograde(root: Path, console: Console, command: Sequence[str] = COMMAND) -> None:
    """Grade the one submission; where that fails, results.json says that it does."""
    try:
        text = _graded(root, console, command)
    except Exception:
        text = failed_json(traceback.format_exc())
    write_whole(root / "results" / "results.json", text)


def _graded(root: Path, console: Console, command: Sequence[str]) -> str:
    settings = json.loads((ROOT / SETTINGS).read_text(encoding="utf-8")) if (ROOT / SETTINGS).exists() else {}
    labels = settings.get("katas") or [kata.label for kata in KATAS]
    katas = tuple(kata for label in labels if (kata := find_kata(label)) is not None)
    with tempfile.TemporaryDirectory(prefix="nanokata-out-") as name:
        out = Path(name)
        seed = settings.get("hidden_seed")
        grade(Order((str(root / "submission"),), katas, out, frozenset({"gradescope"}), 1, seed), console, command)
        (file,) = (out / "gradescope").glob("*.json")
        return file.read_text(encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())

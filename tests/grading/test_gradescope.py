"""The autograder for Gradescope, packed and run as there, with a stand-in for the grader."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from jsonschema import validate
from rich.console import Console

from dojo.curriculum import ROOT
from dojo.grading.gradescope import autograde
from tests.grading.test_formats import GRADESCOPE
from tests.grading.test_intake import folder, zipped
from tests.grading.test_run import STANDIN

PACK = [sys.executable, "-m", "dojo.grading.gradescope", "pack"]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so what belongs to the autograder is not known")
    file = tmp_path_factory.mktemp("packed") / "gradescope.zip"
    done = subprocess.run([*PACK, "--kata", "rope", "--kata", "bpe", "--to", str(file)], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr
    return file


def unpacked(packed: Path, root: Path) -> Path:
    """As Gradescope lays it out."""
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(root / "source")
    (root / "run_autograder").write_bytes((root / "source" / "run_autograder").read_bytes())
    (root / "results").mkdir()
    (root / "venv" / "bin").mkdir(parents=True)
    return root


def results(root: Path) -> dict[str, object]:
    found = json.loads((root / "results" / "results.json").read_text())
    validate(found, GRADESCOPE)
    assert [file.name for file in (root / "results").iterdir()] == ["results.json"]
    return found


def test_what_is_in_the_zip(packed: Path, tmp_path: Path) -> None:
    """both scripts at the top and executable, the grader with its tests and answers, and nothing of this checkout's"""
    with zipfile.ZipFile(packed) as archive:
        names = set(archive.namelist())
        modes = {info.filename: info.external_attr >> 16 & 0o777 for info in archive.infolist()}
        settings = json.loads(archive.read("autograder.json"))
    assert modes["setup.sh"] == modes["run_autograder"] == 0o755
    assert {"pyproject.toml", "conftest.py", "dojo/grading/gradescope.py", "katas/rope/test_rope.py"} <= names
    assert "reference/parts/rope.py" in names
    assert not [
        name for name in names if name.startswith(("tests/", "runs/", ".git", "checkpoints/")) or "__pycache__" in name
    ]
    assert settings == {"katas": ["01", "03"], "hidden_seed": None}
    assert packed.stat().st_size < 5_000_000
    again = tmp_path / "again.zip"
    subprocess.run(
        [*PACK, "--kata", "rope", "--kata", "bpe", "--to", str(again)], cwd=ROOT, capture_output=True, check=True
    )
    assert again.read_bytes() == packed.read_bytes()


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_a_submission(form: str, tmp_path: Path) -> None:
    """what a student uploads, loose files or an archive, is graded into results.json and nothing else"""
    files = {"rope.py": b"right", "bpe.py": b"wrong"}
    folder(tmp_path / "submission", files)
    if form == "zip":
        zipped(tmp_path / "repository", {f"repo-main/katas/{name[:-3]}/{name}": text for name, text in files.items()})
        for file in (tmp_path / "submission").iterdir():
            file.unlink()
        (tmp_path / "repository.zip").rename(tmp_path / "submission" / "repository.zip")
    autograde(tmp_path, Console(file=io.StringIO()), STANDIN)
    found = results(tmp_path)
    assert found["score"] == 10
    assert "COULD NOT BE CHECKED" not in str(found["output"])


@pytest.mark.parametrize("form", ["nothing", "die"])
def test_a_grader_that_fails(form: str, tmp_path: Path) -> None:
    """where grading breaks down the result says that nothing could be checked"""
    if form == "die":
        folder(tmp_path / "submission", {"rope.py": b"die"})
    autograde(tmp_path, Console(file=io.StringIO()), STANDIN)
    assert "COULD NOT BE CHECKED" in str(results(tmp_path)["output"])


@pytest.mark.parametrize("python", ["#!/bin/sh\nkill -9 $$\n", "#!/bin/sh\nexit 3\n", None])
def test_a_python_that_fails(python: str | None, packed: Path, tmp_path: Path) -> None:
    """... also where Python itself does, or is not there; an older result is not taken for a new one"""
    root = unpacked(packed, tmp_path)
    (root / "results" / "results.json").write_text('{"score": 100}')
    if python is not None:
        (root / "venv" / "bin" / "python").write_text(python)
        (root / "venv" / "bin" / "python").chmod(0o755)
    done = subprocess.run(
        ["bash", str(root / "run_autograder")], env={**os.environ, "AUTOGRADER": str(root)}, check=False
    )
    assert done.returncode == 0
    found = results(root)
    assert "COULD NOT BE CHECKED" in str(found["output"])
    assert found["score"] == 0


def test_the_packed_grader_runs(packed: Path, tmp_path: Path) -> None:
    """unpacked elsewhere, the script finds the grader, its settings and the submission; here with nothing handed in"""
    root = unpacked(packed, tmp_path)
    (root / "venv" / "bin" / "python").symlink_to(sys.executable)
    (root / "submission").mkdir()
    (root / "submission" / "notes.zip").write_bytes(b"PK\3\4")
    environment = {**os.environ, "AUTOGRADER": str(root), "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(["bash", str(root / "run_autograder")], env=environment, check=True, capture_output=True)
    found = results(root)
    assert "cannot be read: the archive is truncated or damaged" in str(found["tests"])
    assert "03 rope" in str(found["output"])
    assert "02 rmsnorm" not in str(found["output"])

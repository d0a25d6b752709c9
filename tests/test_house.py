"""The house rules: what may import what, what may not be here, how sessions introduce themselves."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """The files of the repository: those that git tracks, and new ones that it does not ignore."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a git checkout, so what belongs to the repository is not known")
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [ROOT / name for name in sorted(set(names)) if name and (ROOT / name).is_file()]


def python_files(files: list[Path], folder: str = ".") -> list[Path]:
    """The Python files in a folder of the root, which may be missing but may not be empty of them."""
    if not (ROOT / folder).exists():
        pytest.skip(f"{folder} is not there yet")
    found = [file for file in files if file.suffix == ".py" and file.is_relative_to(ROOT / folder)]
    assert found, f"no Python file in {folder}"
    return found


def nodes(file: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(file.read_text(encoding="utf-8"), file))


def imports(file: Path) -> set[str]:
    """The top-level packages that a file imports, by statement or by a call with the name written out."""
    names: set[str] = set()
    for node in nodes(file):
        match node:
            case ast.Import(names=aliases):
                names.update(alias.name for alias in aliases)
            case ast.ImportFrom(module=str(module), level=0):
                names.add(module)
            case ast.Call(
                func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__"),
                args=[ast.Constant(value=str(module)), *_],
            ):
                names.add(module)
    return {name.partition(".")[0] for name in names}


def broken(files: list[Path], rule: Callable[[Path], object]) -> dict[str, object]:
    """What `rule` finds wrong, by file."""
    return {file.relative_to(ROOT).as_posix(): found for file in files if (found := rule(file))}


def test_reference_stands_alone(files: list[Path]) -> None:
    """`reference` imports neither the exercises nor what grades them."""
    assert broken(python_files(files, "reference"), lambda file: imports(file) & {"katas", "dojo"}) == {}


def test_katas_need_only_torch(files: list[Path]) -> None:
    """A kata imports torch and the standard library; its tests and its mistakes may import more."""
    allowed = {"torch", "katas", *sys.stdlib_module_names}
    exercises = [
        file
        for file in python_files(files, "katas")
        if not file.name.startswith("test_") and file.name != "mistakes.py"
    ]
    assert exercises
    assert broken(exercises, lambda file: imports(file) - allowed) == {}


def test_katas_do_not_know_what_grades_them(files: list[Path]) -> None:
    """Nothing in `katas`, tests and mistakes included, imports `dojo`."""
    assert broken(python_files(files, "katas"), lambda file: imports(file) & {"dojo"}) == {}


def test_loading_data_never_runs_code(files: list[Path]) -> None:
    """Nothing imports a format that runs code on loading; torch.load stands with weights_only=True."""
    unsafe = {"pickle", "dill", "joblib", "marshal", "shelve"}  # as torch.load is without weights_only=True

    def unguarded_load(node: ast.AST) -> bool:
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="torch"), attr="load"), keywords=keywords):
                return "weights_only=True" not in map(ast.unparse, keywords)
        return False

    def rule(file: Path) -> list[str]:
        return [*imports(file) & unsafe, *(ast.unparse(node) for node in nodes(file) if unguarded_load(node))]

    assert broken(python_files(files), rule) == {}


def test_file_names_say_something(files: list[Path]) -> None:
    """No source file is named for nothing."""
    empty = {"util", "utils", "helper", "helpers", "common", "misc", "manager"}
    sources = [file for file in files if file.suffix in {".py", ".rs"}]
    assert sources
    assert broken(sources, lambda file: file.stem.lower() in empty) == {}


def test_files_stay_small(files: list[Path]) -> None:
    """A Python file has at most 350 lines, a kata's tests or mistakes 750; only checkpoints are larger than 1 MB."""
    others = [file for file in files if not file.is_relative_to(ROOT / "checkpoints")]
    assert broken(others, lambda file: file.stat().st_size > 1_000_000) == {}
    assert sum(file.stat().st_size for file in files if file not in others) <= 40_000_000
    collections = ("test_", "mistakes")  # of tests, of mistakes
    sources = [
        file for file in python_files(files) if "tests" not in file.parts and not file.name.startswith(collections)
    ]
    assert broken(sources, lambda file: len(file.read_bytes().splitlines()) > 350) == {}
    assert broken(python_files(files, "katas"), lambda file: len(file.read_bytes().splitlines()) > 750) == {}


def test_sessions_introduce_themselves() -> None:
    """Every session has a docstring of one line that fits beside its name, as in a table of contents."""
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    sessions = {
        node.name: ast.get_docstring(node) or ""
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(decorator).startswith("nox.session") for decorator in node.decorator_list)
    }
    assert {"d4", "chat", "progress", "verify", "tests"} <= set(sessions)
    assert not {name: text for name, text in sessions.items() if "\n" in text or not 10 < len(text) <= 100}

"""The stub of a kata: whether it is still there, and how it comes back."""

from __future__ import annotations

import ast
import shutil
import subprocess
import time

from dojo.curriculum import ROOT, Kata


def is_stub(kata: Kata) -> bool:
    """Whether nothing is written yet: every function of the contract still raises NotImplementedError and no more."""
    try:
        return _is_stub(kata.file.read_bytes())
    except OSError:
        return False


def _is_stub(source: bytes) -> bool:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return False
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return bool(functions) and all(_raises_only(function) for function in functions)


def _raises_only(function: ast.FunctionDef) -> bool:
    body = [node for node in function.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
    return len(body) == 1 and isinstance(body[0], ast.Raise) and "NotImplementedError" in ast.unparse(body[0])


def put_back(kata: Kata) -> str:
    """Restore the stub, after keeping a copy of the learner's file; what was done, in words."""
    stub = original(kata)
    if stub is None:
        return f"The repository's own version of {kata.name}.py is not known here, so nothing was changed."
    if kata.file.exists() and kata.file.read_bytes() == stub:
        return f"katas/{kata.name}/{kata.name}.py is the stub already."
    copy = ROOT / ".dojo" / "copies" / f"{kata.name}-{time.strftime('%Y%m%d-%H%M%S')}.py"
    copy.parent.mkdir(parents=True, exist_ok=True)
    if kata.file.exists():
        shutil.copy2(kata.file, copy)
    kata.file.write_bytes(stub)
    return f"katas/{kata.name}/{kata.name}.py is the stub again; what you had is {copy.relative_to(ROOT)}."


def original(kata: Kata) -> bytes | None:
    """The newest version of the learner's file in git that is a stub, whatever was committed since."""
    path = kata.file.relative_to(ROOT).as_posix()
    commits = (_git("log", "--format=%H", "--", path) or b"").decode().split()
    versions = (_git("show", f"{commit}:{path}") for commit in commits)
    return next((source for source in versions if source and _is_stub(source)), None)


def _git(*arguments: str) -> bytes | None:
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None

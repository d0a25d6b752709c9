"""What a source file is like, whatever its names, constants, comments and order: fingerprints of its syntax tree.

Run as a file, in isolated mode, because reading a stranger's source can end the process that does it: reads a list of
paths in JSON, prints a line of JSON for each. Imports nothing but the standard library.

Method: Schleimer, Wilkerson and Aiken, "Winnowing: Local Algorithms for Document Fingerprinting", SIGMOD 2003,
https://theory.stanford.edu/~aiken/publications/papers/sigmod03.pdf, on the kinds of nodes in place of letters. Every
run of WINDOW + GRAM - 1 nodes that two functions share leaves at least one fingerprint in both.
"""

from __future__ import annotations

import ast
import contextlib
import json
import signal
import sys
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

GRAM = 6  # nodes in a run
WINDOW = 4  # of so many runs side by side, one is kept
SECONDS = 5.0  # of computing, for one file
BYTES = 1 << 30  # of memory, for all
MOST = 5000  # fingerprints of a file; a worked answer has some hundred
LEFT_OUT = (ast.expr_context, ast.arguments, ast.arg, ast.Import, ast.ImportFrom, ast.alias)


def fingerprints(source: str) -> set[int]:
    """The fingerprints of a file.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: it is not Python, or too deep.
    """
    found: set[int] = set()
    for function in _functions(ast.parse(source)):
        kinds = list(_kinds(function))
        runs = [_hash(kinds[i : i + GRAM]) for i in range(len(kinds) - GRAM + 1)]
        found |= {min(runs[i : i + WINDOW]) for i in range(max(len(runs) - WINDOW, 0) + 1) if runs}
    return found


def _functions(tree: ast.AST) -> Iterator[ast.AST]:
    """Every function by itself, so that their order does not count, and what stands outside of all."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        inner = list(ast.iter_child_nodes(node))
        while inner:
            child = inner.pop()
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                waiting.append(child)
            else:
                inner.extend(ast.iter_child_nodes(child))


def _kinds(function: ast.AST) -> Iterator[str]:
    """The kinds of the nodes of a function in the order in which they are written."""
    waiting = [function]
    while waiting:
        node = waiting.pop()
        if node is not function and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        yield type(node).__name__
        children = [child for name, child in _children(node) if not _is_left_out(node, name, child)]
        waiting.extend(reversed(children))


def _children(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield name, child


def _is_left_out(node: ast.AST, name: str, child: ast.AST) -> bool:
    docstring = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
    return docstring or name in ("annotation", "returns", "decorator_list") or isinstance(child, LEFT_OUT)


def _hash(kinds: list[str]) -> int:
    return int.from_bytes(blake2b(" ".join(kinds).encode(), digest_size=8).digest(), "big")


def main() -> None:
    """Fingerprints of the files named on standard input, one line each; null where there are none to be had."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(ValueError, OSError):  # macOS knows this limit and refuses it
            resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    for name in json.load(sys.stdin):
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)  # and then it ends; the next file goes to a new process
        try:
            found = sorted(fingerprints(Path(name).read_text(encoding="utf-8-sig")))
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            found = None
        print(json.dumps(found if found is None or len(found) <= MOST else None), flush=True)


if __name__ == "__main__":
    main()

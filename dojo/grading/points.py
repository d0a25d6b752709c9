"""What each test is worth: katas/curriculum.toml, the one table."""

from __future__ import annotations

import functools
import sys
from collections import Counter
from collections.abc import Iterable

from dojo.curriculum import ROOT, Kata

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TABLE = ROOT / "katas" / "curriculum.toml"


@functools.cache
def table() -> dict[str, dict[str, float]]:
    """Kata -> test function -> points."""
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


def function_of(test: str) -> str:
    """test_tables of test_tables[7-10-10000.0]."""
    return test.partition("[")[0]


def points_of(kata: Kata, tests: Iterable[tuple[str, bool]]) -> dict[str, float]:
    """Points per test: those of its function, in equal parts.

    Args:
        tests: (name, whether its cases are unseen). Where a function has unseen cases, all its points are theirs: what
            is public can be learned by heart.
    """
    tests = list(tests)
    unseen = {function_of(name) for name, hidden in tests if hidden}
    counted = [name for name, hidden in tests if hidden or function_of(name) not in unseen]
    shares = Counter(map(function_of, counted))
    worth = table()[kata.name]
    return {name: 0.0 for name, _ in tests} | {
        name: worth[function_of(name)] / shares[function_of(name)] for name in counted
    }

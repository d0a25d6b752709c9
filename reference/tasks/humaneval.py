"""HumanEval: write a Python function from its docstring; hidden tests decide.

Source: "Evaluating Large Language Models Trained on Code" (arXiv:2107.03374).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from reference.data.hub import Hub
from reference.data.lazy import Lazy
from reference.tasks.task import Example, Task, exchange

_FENCED = re.compile(r"```[^\n`]*\n(.*?)(?:```|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Judge:
    """What decides a problem: the imports that its prompt begins with, its tests, the function's name."""

    imports: str
    test: str
    entry_point: str

    def program(self, completion: str) -> str:
        """A program that ends without an exception if the completion is right."""
        return f"{self.imports}\n\n{code_of(completion)}\n\n{self.test}\n\ncheck({self.entry_point})\n"


def code_of(completion: str) -> str:
    """The first fenced block of a completion, or all of it; a fence that is not closed goes on to the end."""
    fenced = _FENCED.search(completion)
    return fenced[1] if fenced else completion


def imports_of(prompt: str) -> str:
    """The import lines before the first other line of code."""
    kept = []
    for line in prompt.splitlines():
        if line.startswith(("import ", "from ")):
            kept.append(line)
        elif line.strip() and not line.startswith("#"):
            break
    return "\n".join(kept)


def humaneval(hub: Hub, passes: Callable[[str], bool]) -> Task:
    """The 164 problems.

    Args:
        hub: where the data set is.
        passes: runs a program, which a model wrote and nobody has read, and says whether it ended well. Only a sandbox
            may do that.
    """
    rows = hub.rows("openai/openai_humaneval", "openai_humaneval", "test")

    def read(i: int) -> Example:
        row = rows[i]
        solution = f"```python\n{row['prompt']}{row['canonical_solution']}\n```"
        return Example(
            exchange(row["prompt"], solution), Judge(imports_of(row["prompt"]), row["test"], row["entry_point"])
        )

    def check(judge: Judge, completion: str) -> bool:
        return passes(judge.program(completion))

    return Task("humaneval", Lazy(len(rows), read), check)

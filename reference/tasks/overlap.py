"""No question of a test may be trained on: the real sets repeat some, within themselves and among one another."""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
from dataclasses import replace

from reference.data.lazy import select
from reference.tasks.task import Example, Task


def asked(example: Example) -> str:
    """What is asked, as its words in lower case: without the options, which may come in another order."""
    question = example.conversation["messages"][0]["content"].split("\n- ")[0]
    return " ".join(re.findall(r"\w+", question.lower()))


def questions(tasks: Iterable[Task]) -> set[str]:
    """Everything that is asked in the tasks."""
    return {asked(example) for task in tasks for example in task.examples}


def without(task: Task, held_out: Set[str]) -> Task:
    """The examples that ask nothing of `held_out`, in their order."""
    kept = [i for i, example in enumerate(task.examples) if asked(example) not in held_out]
    return replace(task, examples=select(task.examples, kept))

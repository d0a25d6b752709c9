"""Questions with a few options, one of them right: MMLU and ARC.

Sources: "Measuring Massive Multitask Language Understanding" (arXiv:2009.03300); "Think you have Solved Question
Answering? Try ARC" (arXiv:1803.05457).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import eq

from reference.data.hub import Hub, Row
from reference.data.lazy import Lazy
from reference.tasks.task import Example, Task, exchange

LETTERS = ("A", "B", "C", "D")


def prompt(question: str, options: Sequence[str], letters: Sequence[str]) -> str:
    """The question as the user puts it.

    The letter stands behind its option, and with no space before it: so it is the very token that the answer is, and
    attention has read the option when it comes to the letter.
    """
    lines = [f"- {option}={letter}" for option, letter in zip(options, letters, strict=True)]
    return "\n".join(["Choose the right option.", question, *lines, "", "Answer with its letter alone."])


def example(question: str, options: Sequence[str], letters: Sequence[str], right: str) -> Example:
    return Example(exchange(prompt(question, options, letters), right), right, tuple(letters))


def mmlu(hub: Hub, split: str) -> Task:
    """57 subjects: split auxiliary_train (99,842 rows, of other tests), test (14,042), validation or dev."""

    def read(row: Row) -> Example:
        row = row.get("train") or row  # some versions wrap the rows of auxiliary_train
        return example(row["question"], row["choices"], LETTERS, LETTERS[row["answer"]])

    return _task("mmlu", hub.rows("cais/mmlu", "all", split), read)


def arc(hub: Hub, part: str, split: str) -> Task:
    """Science at school: part easy (2,251 rows to train, 2,376 to test) or challenge (1,119 and 1,172).

    Most questions have the labels A to D; some have 1 to 4, and a few three or five options.
    """

    def read(row: Row) -> Example:
        return example(row["question"], row["choices"]["text"], row["choices"]["label"], row["answerKey"])

    return _task(f"arc_{part}", hub.rows("allenai/ai2_arc", f"ARC-{part.capitalize()}", split), read)


def _task(name: str, rows: Lazy[Row], read: Callable[[Row], Example]) -> Task:
    return Task(name, Lazy(len(rows), lambda i: read(rows[i])), eq)

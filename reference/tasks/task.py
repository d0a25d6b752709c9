"""The shape of every task: examples, each a conversation whose last turn is the right answer, and a check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Conversation = dict[str, Any]  # {"messages": [{"role": ..., "content": str | [{"type": ..., "text": ...}]}]}


@dataclass(frozen=True)
class Example:
    """One problem.

    Attributes:
        conversation: ends with the assistant's worked answer.
        gold: what a completion is compared with.
        letters: the choices of a categorical example, empty for a generative one.
    """

    conversation: Conversation
    gold: str
    letters: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """A named list of examples and the check of one completion: check(gold, completion) -> right or wrong."""

    name: str
    examples: Sequence[Example]
    check: Callable[[str, str], bool]


def exchange(question: str, answer: str | list[dict[str, str]]) -> Conversation:
    """A conversation of one question and one answer."""
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}

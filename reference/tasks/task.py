"""The shape of every task: examples, each a conversation whose last turn is the right answer, and a check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reference.data.lazy import Lazy, shuffled

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
    gold: Any
    letters: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """A named sequence of examples and the check of one completion.

    task[i] is an example; task[start:stop:step] is the task of those examples.

    Attributes:
        name: as it is reported.
        examples: may be made only when they are asked for, see `lazy`.
        check: check(gold, completion) -> right or wrong.
    """

    name: str
    examples: Sequence[Example]
    check: Callable[[Any, str], bool]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: Any) -> Any:
        chosen = self.examples[index]
        return replace(self, examples=chosen) if isinstance(index, slice) else chosen

    @property
    def kind(self) -> str:
        """ "categorical": the model chooses a letter; "generative": it writes."""
        return "categorical" if self.examples[0].letters else "generative"

    def evaluate(self, example: Example, completion: str) -> bool:
        """Is the completion right?"""
        return self.check(example.gold, completion)

    def reward(self, example: Example, completion: str) -> float:
        """1 for a right completion, 0 for any other: what reinforcement learning raises."""
        return float(self.evaluate(example, completion))

    def shuffled(self, seed: int = 42) -> Task:
        """In the order of the `datasets` library's Dataset.shuffle(seed)."""
        return replace(self, examples=shuffled(self.examples, seed))

    @property
    def conversations(self) -> Lazy[Conversation]:
        """To train on."""
        return Lazy(len(self.examples), lambda i: self.examples[i].conversation)


def exchange(question: str, answer: str | list[dict[str, str]]) -> Conversation:
    """A conversation of one question and one answer."""
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}

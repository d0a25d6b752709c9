"""A stand-in for the engine that tells what it is given to tell, and conversations with it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from reference.chat import Conversation, show
from reference.engine import Sampling
from reference.parts import Parts
from reference.tasks.task import exchange
from reference.tokenizer import train_tokenizer

PARTS = Parts()
TOKENIZER = train_tokenizer(["The sum of 12 and 30 is 42. Hello, who are you? I am a small model. "] * 9, 300, PARTS)
SPECIAL = TOKENIZER.special
END = SPECIAL["assistant_end"]
TOOL = [
    {"type": "text", "text": "The sum is "},
    {"type": "python", "text": "12+30"},
    {"type": "python_output", "text": "42"},
    {"type": "text", "text": "42."},
]


class Teller:
    """Stands in for the engine: its n-th answer is the n-th list of tokens; an exception among them is raised.

    `heard` holds the prompt and the sampling of every answer.
    """

    def __init__(self, *answers: list[Any], sequence_len: int = 256) -> None:
        self.tokenizer = TOKENIZER
        self.model = SimpleNamespace(config=SimpleNamespace(sequence_len=sequence_len))
        self.answers = iter(answers)
        self.heard: list[tuple[list[int], Sampling]] = []

    def stream(self, prompts: list[list[int]], sampling: Sampling) -> Iterator[list[tuple[int, int]]]:
        (prompt,) = prompts
        self.heard.append((list(prompt), sampling))
        for token in next(self.answers)[: sampling.max_tokens]:
            if isinstance(token, BaseException):
                raise token
            yield [(token, 1)]


def tokens(content: str | list[dict[str, str]]) -> list[int]:
    """What the assistant would say in an answer of training, its end included."""
    ids, _ = TOKENIZER.render(exchange("", content), PARTS)
    return ids[4:]  # bos, user_start, user_end, assistant_start


def conversation(*answers: list[Any], max_tokens: int = 50, sequence_len: int = 256) -> tuple[Conversation, Teller]:
    teller = Teller(*answers, sequence_len=sequence_len)
    return Conversation(teller, Sampling(max_tokens)), teller  # type: ignore[arg-type]


def messages(*contents: Any) -> dict[str, Any]:
    return {"messages": [{"role": ("user", "assistant")[i % 2], "content": c} for i, c in enumerate(contents)]}


def shown(pieces: Any) -> str:
    out = io.StringIO()
    show(Console(file=out, width=40), pieces)
    return out.getvalue()


def stream_of(*pieces: tuple[str, str]) -> Any:
    yield from pieces

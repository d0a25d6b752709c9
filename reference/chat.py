"""Talking to a model in the terminal: tokens appear as they are sampled, tool calls are shown as such."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import chain
from typing import Any

from rich.console import Console

from reference.engine import Engine, Sampling
from reference.errors import UserError

HELP = "Type a message and Enter. /clear begins a new conversation, /quit ends (so does Ctrl-D)."


class Conversation:
    """The messages so far as token ids, in the chat format; an answer is streamed and then kept."""

    def __init__(self, engine: Engine, sampling: Sampling) -> None:
        self.engine, self.sampling = engine, sampling
        self.special = s = engine.tokenizer.special
        self.kinds = {
            s["python_start"]: "python",
            s["python_end"]: "text",
            s["output_start"]: "python_output",
            s["output_end"]: "text",
        }
        self.clear()

    def clear(self) -> None:
        self.exchanges: list[list[int]] = []  # each a message and its answer

    @property
    def ids(self) -> list[int]:
        return [self.special["bos"], *chain.from_iterable(self.exchanges)]

    def answer(self, message: str) -> Generator[tuple[str, str]]:
        """Say `message` and yield the answer piece by piece; one that is cut short is kept as far as it came.

        Yields:
            (kind, text) with kind "text", "python" or "python_output". A character whose bytes are not complete yet is
            held back.

        Raises:
            UserError: the message alone is longer than the sequences that the model was trained on.
        """
        room = self._say(message)
        exchange = self.exchanges[-1]
        try:
            yield from self._stream(exchange, min(room, self.sampling.max_tokens))
        finally:
            exchange.append(self.special["assistant_end"])

    def _say(self, message: str) -> int:
        """Begin an exchange, forgetting old ones for it; returns how many tokens the answer may have."""
        s, length = self.special, self.engine.model.config.sequence_len
        exchange = [s["user_start"], *self.engine.tokenizer.encode(message), s["user_end"], s["assistant_start"]]
        if len(exchange) > length - 2:  # bos before it, and a token of an answer
            raise UserError(
                f"The message is {len(exchange)} tokens long, but this model reads {length} in all; shorten it."
            )
        self.exchanges.append(exchange)
        kept_free = min(self.sampling.max_tokens, length // 2)
        while len(self.exchanges) > 1 and len(self.ids) + kept_free > length:
            self.exchanges.pop(0)
        return length - len(self.ids)

    def _stream(self, exchange: list[int], max_tokens: int) -> Iterator[tuple[str, str]]:
        utf8 = getincrementaldecoder("utf-8")("replace")
        kind = "text"
        for (entry,) in self.engine.stream([self.ids], replace(self.sampling, max_tokens=max_tokens)):
            if entry is None or entry[0] in (self.special["assistant_end"], self.special["bos"]):
                break
            token = entry[0]
            exchange.append(token)
            is_mark = token in self.kinds
            text = utf8.decode(b"" if is_mark else self.engine.tokenizer.decode_bytes([token]), final=is_mark)
            if text:
                yield kind, text
            kind = self.kinds.get(token, kind)
        if text := utf8.decode(b"", final=True):
            yield kind, text


STYLES = {"text": None, "python": "cyan", "python_output": "green"}
MARKS = {"python": "[calculator: ", "python_output": " = "}


def show(console: Console, pieces: Generator[tuple[str, str]]) -> None:
    """Print an answer as it comes; a tool call reads [calculator: 12+30 = 42]."""
    last = "text"
    with closing(pieces):  # ends the answer also where printing it is interrupted
        for kind, text in pieces:
            if kind != last:
                console.out(_transition(last, kind), end="", style="dim", highlight=False)
            console.out(text, end="", style=STYLES[kind], highlight=False)
            last = kind
    if last != "text":
        console.out("]", end="", style="dim", highlight=False)
    console.print()


def _transition(last: str, kind: str) -> str:
    bracket = "] " if last != "text" and kind != "python_output" else ""
    return bracket + MARKS.get(kind, "")


def talk(console: Console, conversation: Conversation, read: Any = input) -> None:
    """The dialogue, until /quit or the end of input; Ctrl-C ends an answer, not the dialogue."""
    console.print(HELP, style="dim")
    while True:
        try:
            message = read("\nyou: ").strip()
        except (EOFError, KeyboardInterrupt):
            console.print()
            return
        except UnicodeDecodeError as error:
            raise UserError("What was typed or piped in is not text in UTF-8; say it in other letters.") from error
        if message in ("/quit", "quit", "exit"):
            return
        if message in ("/clear", "clear"):
            conversation.clear()
            console.print("A new conversation.", style="dim")
        elif message in ("/help", "help"):
            console.print(HELP, style="dim")
        elif message:
            console.print("nanokata: ", end="", style="bold")
            try:
                show(console, conversation.answer(message))
            except KeyboardInterrupt:
                console.print(" (stopped)", style="dim")
            except UserError as error:
                console.out(error, style="dim", highlight=False)

"""GSM8K's answer format: <<expression=result>> marks a calculator call, #### the final number.

Source: "Training Verifiers to Solve Math Word Problems" (arXiv:2110.14168), section 2 and appendix on calculator
annotations.
"""

from __future__ import annotations

import re
from itertools import cycle

from reference.data.hub import Hub
from reference.data.lazy import Lazy
from reference.tasks.task import Example, Task, exchange

_ANNOTATION = re.compile(r"<<([^<>]+)=([^<>=]+)>>")
_FINAL = re.compile(r"#### (-?[0-9.,]+)")


def answer_parts(answer: str) -> list[dict[str, str]]:
    """Turn the annotations of an answer into tool calls.

    "That is <<3+4=7>>7." becomes text "That is ", python "3+4", python_output "7", text "7.".
    """
    pieces = _ANNOTATION.split(answer)  # text, expression, result, text, expression, result, ..., text
    types = cycle(("text", "python", "python_output"))
    return [{"type": type_, "text": piece} for type_, piece in zip(types, pieces, strict=False) if piece]


def final_number(text: str) -> str | None:
    """The number after the first ####, without commas and a closing point, or None."""
    found = _FINAL.search(text)
    return found.group(1).replace(",", "").rstrip(".") if found else None


def same_final_number(gold: str, completion: str) -> bool:
    """Does the completion end in the gold answer's number? Compared as strings, as the data set's authors do."""
    return final_number(completion) is not None and final_number(completion) == final_number(gold)


def gsm8k(hub: Hub, split: str) -> Task:
    """Word problems: split train (7,473) or test (1,319)."""
    rows = hub.rows("openai/gsm8k", "main", split)

    def read(i: int) -> Example:
        question, answer = rows[i]["question"], rows[i]["answer"]
        return Example(exchange(question, answer_parts(answer)), answer)

    return Task("gsm8k", Lazy(len(rows), read), same_final_number)

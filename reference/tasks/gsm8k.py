"""GSM8K's answer format: <<expression=result>> marks a calculator call, #### the final number.

Source: "Training Verifiers to Solve Math Word Problems" (arXiv:2110.14168), section 2 and appendix on calculator
annotations.
"""

from __future__ import annotations

import re

_ANNOTATION = re.compile(r"<<([^<>]*)>>")
_FINAL = re.compile(r"#### (-?[0-9.,]+)")


def answer_parts(answer: str) -> list[dict[str, str]]:
    """Turn the annotations of an answer into tool calls.

    "That is <<3+4=7>>7." becomes text "That is ", python "3+4", python_output "7", text "7.".
    """
    parts: list[dict[str, str]] = []
    for index, piece in enumerate(_ANNOTATION.split(answer)):  # odd pieces are annotations
        if index % 2 == 1:
            expression, _, result = piece.rpartition("=")
            parts += [{"type": "python", "text": expression}, {"type": "python_output", "text": result}]
        elif piece:
            parts.append({"type": "text", "text": piece})
    return parts


def final_number(text: str) -> str | None:
    """The number after the first ####, without commas and a closing point, or None."""
    found = _FINAL.search(text)
    return found.group(1).replace(",", "").rstrip(".") if found else None


def same_final_number(gold: str, completion: str) -> bool:
    """Does the completion end in the gold answer's number? Compared as strings, as the data set's authors do."""
    return final_number(completion) is not None and final_number(completion) == final_number(gold)

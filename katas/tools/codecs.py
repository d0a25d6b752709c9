"""A small tokenizer and some tools for the tests: functions with names, so that they can run beside the student's code.

Ids 0 to 9 and from 400 on are left to special tokens.
"""

from __future__ import annotations

import re


def encode(text: str) -> list[int]:
    """Two digits in a row are one id, 300 + their value; all else is UTF-8, 10 + each byte.

    So "142é" is [314, 60, 205, 179]: "14", "2" and the two halves of "é".
    """
    ids: list[int] = []
    for digits, other in re.findall(r"([0-9]{2})|(.)", text, re.DOTALL):
        ids += [300 + int(digits)] if digits else [10 + byte for byte in other.encode()]
    return ids


def decode(ids: list[int]) -> str:
    """The inverse. Half a character is no text: [205, 179] is "é", but [205] alone is "�", and so is [179]."""
    return b"".join(b"%02d" % (i - 300) if i >= 300 else bytes([i - 10]) for i in ids).decode(errors="replace")


def decode_words(ids: list[int]) -> str:
    """Like a tokenizer whose ids are words: decode() of each id, with a space between one and the next."""
    return " ".join(decode([i]) for i in ids)


def nothing(code: str) -> str | None:
    """A tool that never has a result: always None."""
    return None


def empty(code: str) -> str | None:
    """A tool whose result is always the empty string."""
    return ""


def zero(code: str) -> str | None:
    """A tool whose result is always "0"."""
    return "0"


def none_in_words(code: str) -> str | None:
    """A tool whose result is always the four letters "None", which are not None."""
    return "None"


def echo(code: str) -> str | None:
    """A tool whose result is the code itself."""
    return code


def shout(code: str) -> str | None:
    """A tool whose result is the code with a sign that takes three bytes before and after: "1" gives "→1→"."""
    return f"→{code}→"

"""Which words are spelled where: in chats, in base text only, or nowhere, so that spelling a new word can be asked."""

from __future__ import annotations

from random import Random

from reference.data.primer.facts import SPELLING


def _split() -> tuple[list[str], list[str], list[str]]:
    words = Random("primer spelling").sample(SPELLING, len(SPELLING))
    seen, base_only = len(words) * 6 // 10, len(words) * 8 // 10
    return words[:seen], words[seen:base_only], words[base_only:]


CHAT_WORDS, BASE_WORDS, NEW_WORDS = _split()  # spelled in chats and base text, in base text only, never


def spell(word: str) -> str:
    """cat -> c,a,t"""
    return ",".join(word)

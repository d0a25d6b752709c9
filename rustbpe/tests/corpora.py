"""Texts and corpora that make splitting and merging difficult, and our tokenizer trained on them."""

from __future__ import annotations

from typing import Any

import rustbpe
from hypothesis import strategies as st

PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)
TWO_DIGITS = PATTERN.replace("{1,3}", "{1,2}")
CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
PATTERNS = [
    None,
    PATTERN,
    TWO_DIGITS,
    PATTERN.replace("{1,3}", ""),
    CL100K,
    GPT2,
    r"\w+",
    r"(?s).",
    r"(?s).+",
    "",
    "x*",
]

PIECES = (
    "a b the er in aa aaa ab abab ' 's 'LL 'Re '\u017f don't 1 12 1234 ½ ٣ ! !! ?! . , é ß \u017f"
    " 中文 かな 😀 👩‍👩‍👧 \u0301 \u200d \x00 \x1b"
).split(" ")
BLANKS = [" ", "  ", "\t", "\n", "\r\n", "\n\n", "\u00a0", "\u3000", "\u0085", "\x0b", "\u2028"]

texts = st.one_of(
    st.lists(st.sampled_from(PIECES + BLANKS), max_size=30).map("".join),
    st.text(st.sampled_from("ab "), max_size=60),
    st.text(st.characters(codec="utf-8"), max_size=30),
    st.builds(lambda piece, times: piece * times, st.sampled_from(PIECES + BLANKS), st.integers(0, 100)),
    st.text(st.sampled_from("abc'sS1 .\n"), max_size=200),
)
corpora = st.one_of(
    st.lists(texts, max_size=12),
    st.builds(lambda text, times: [text] * times, texts, st.integers(0, 50)),  # all words equal
    st.permutations("abcdefgh").map(lambda letters: [a + b for a in letters for b in letters]),  # ties everywhere
)


def trained(texts: list[str], vocab_size: int, pattern: str | None = None, **options: Any) -> Any:
    """Our tokenizer, trained."""
    tokenizer = rustbpe.Tokenizer()
    tokenizer.train_from_iterator(iter(texts), vocab_size, pattern=pattern, **options)
    return tokenizer

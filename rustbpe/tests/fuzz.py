"""python rustbpe/tests/fuzz.py MINUTES [SEED]: random corpora and nonsense, for as long as you like.

Half of the examples train and encode as test_published.py does, and compare with the package in RUSTBPE_PUBLISHED. The
other half call methods with whatever comes: nothing but the exceptions that are promised may come out, never a panic.
Every round has a seed of its own; what fails is shown with it.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import rustbpe
from corpora import PATTERNS, corpora, texts
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from test_published import same

from conftest import ask_published

EXAMPLES = 500  # of each kind in a round
PROMISED = (ValueError, TypeError, OSError, OverflowError)  # a panic is none of these

anything = st.one_of(
    texts,
    st.text(),
    st.binary(),
    st.none(),
    st.integers(),
    st.floats(),
    st.lists(st.integers(-2, 400)),
    st.lists(st.one_of(texts, st.none(), st.binary())),
    st.sampled_from(["(", r"\1", "(?=a)", "[", r"\p{X}", "a{99999}", "(?<x>a)\\k<x>", r"\b", "^$", "(?i)\u017f"]),
)
sizes = st.one_of(st.integers(250, 400), anything)
quick = settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=True
)


def attempt(method: Any, *arguments: Any, **options: Any) -> None:
    with suppress(PROMISED):
        method(*arguments, **options)


def nonsense(data: st.DataObject, folder: Path) -> None:
    """Trains with random arguments, then calls everything with random arguments."""
    tokenizer = rustbpe.Tokenizer()
    options = {
        name: data.draw(kind)
        for name, kind in {
            "pattern": st.one_of(st.sampled_from(PATTERNS), anything),
            "special_tokens": st.one_of(st.none(), st.lists(texts, max_size=3), anything),
            "threads": st.one_of(st.none(), st.integers(-1, 5), anything),
        }.items()
        if data.draw(st.booleans())
    }
    attempt(tokenizer.train_from_iterator, data.draw(st.one_of(corpora, anything)), data.draw(sizes), **options)
    for name in ("text.txt", "rows.parquet"):
        (folder / name).write_bytes(data.draw(st.one_of(st.binary(), texts.map(str.encode))))
    attempt(tokenizer.train_from_files, [folder / "text.txt", folder / "rows.parquet"], 300)
    for method in (tokenizer.encode, tokenizer.encode_to_numpy, tokenizer.count_tokens):
        attempt(method, data.draw(anything), special=data.draw(st.booleans()))
    for method in (tokenizer.batch_encode, tokenizer.batch_encode_to_numpy):
        attempt(method, data.draw(anything), data.draw(st.one_of(st.none(), st.integers(0, 4), anything)))
    for method in (tokenizer.decode, tokenizer.decode_bytes):
        attempt(method, data.draw(anything))
    file = folder / "tokenizer.json"
    tokenizer.save(file)
    assert rustbpe.Tokenizer.load(file).get_merges() == tokenizer.get_merges()
    content = bytearray(file.read_bytes())
    for at, byte in data.draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=3)):
        content[at] = byte
    file.write_bytes(content)
    attempt(rustbpe.Tokenizer.load, file)
    merges = data.draw(st.lists(st.lists(st.integers(-1, 300), min_size=2, max_size=2), max_size=20))
    whole = {"format": 1, "pattern": "(?s).+", "special_tokens": [], "merges": merges}
    file.write_text(json.dumps(whole))
    try:
        loaded = rustbpe.Tokenizer.load(file)
    except ValueError:
        return
    text = data.draw(texts)
    assert loaded.decode(loaded.encode(text)) == text


def main(minutes: float, first_seed: int) -> None:
    until = time.monotonic() + 60 * minutes
    rounds = 0
    with ask_published() as published, tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < until:

            @seed(first_seed + rounds)
            @quick
            @given(corpora, st.integers(256, 330), st.sampled_from(PATTERNS), st.lists(texts, max_size=3))
            def compare(corpus: list[str], vocab_size: int, pattern: str, others: list[str]) -> None:
                same(published, corpus, vocab_size, pattern, others)

            @seed(first_seed + rounds)
            @quick
            @given(st.data())
            def survive(data: st.DataObject) -> None:
                nonsense(data, Path(folder))

            compare()
            survive()
            rounds += 1
            print(f"{rounds} rounds of {EXAMPLES} corpora and {EXAMPLES} times nonsense", flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)

"""Proof of bpe: a tokenizer learned by the learner's code, on the primer, beside two others on the same text."""

from __future__ import annotations

import time

from rich.console import Console

from dojo.curriculum import Kata
from dojo.proofs.outcome import Outcome
from dojo.stack import learner_part
from reference.data.primer.source import PrimerDocuments
from reference.parts import Parts
from reference.parts.provenance import counted
from reference.stages.tokenizer import first_characters
from reference.tokenizer import Tokenizer, train_tokenizer, train_tokenizer_rust, which_rustbpe, word_counts

CHARACTERS, VOCAB_SIZE = 300_000, 1024


def prove(kata: Kata, console: Console) -> Outcome:
    """Learn merges from primer text, then encode and decode every word of it."""
    texts = list(first_characters(PrimerDocuments(0), CHARACTERS))
    parts, calls = counted(Parts(bpe=learner_part(kata)))
    console.print(
        f"  learning merges from {sum(map(len, texts)):,} characters, also with rustbpe {which_rustbpe()} ..."
    )
    begun = time.perf_counter()
    yours = train_tokenizer(texts, VOCAB_SIZE, parts)
    middle = time.perf_counter()
    reference = train_tokenizer(texts, VOCAB_SIZE, Parts())
    ratio = (middle - begun) / (time.perf_counter() - middle)
    rust = train_tokenizer_rust(texts, VOCAB_SIZE)
    words = [word for word in sorted(word_counts(texts)) if word.strip().isalpha()]  # such are one chunk for tiktoken
    agreed = sum(_agrees(parts, yours, word) for word in words)
    text = "\n".join(texts)
    ids = yours.encode(text)
    same = yours.merges == reference.merges == rust.merges
    pieces = [yours.decode([token]) for token in yours.encode(text[:60])]
    return Outcome(
        holds=same and agreed == len(words),
        lines=[
            f"{text[:60]!r} becomes {' '.join(map(repr, pieces))}",
            f"{len(yours.merges):,} merges, {'the same' if same else 'NOT the same'} as those of the reference and of "
            "the rustbpe package",
            f"{agreed:,} of {len(words):,} words are encoded as tiktoken does with your merges, and decoded back",
            f"calls of your code: {calls['bpe']:,}; training took {ratio:.2f} times as long as the reference's",
        ],
        sentence=f"with your merges a token holds {len(text.encode()) / len(ids):.2f} bytes of text; without, one byte",
    )


def _agrees(parts: Parts, tokenizer: Tokenizer, word: bytes) -> bool:
    ids = parts.bpe.encode(word, tokenizer.merges)
    return ids == tokenizer.encode(word.decode()) and parts.bpe.decode(ids, tokenizer.merges) == word

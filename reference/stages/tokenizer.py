"""Stage tokenizer: learn the merges from the training text."""

from __future__ import annotations

from collections.abc import Iterator

from reference.data.documents import DocumentSource
from reference.errors import UserError
from reference.progress import say
from reference.stages.session import Session, tokenizer_file
from reference.tokenizer import Tokenizer, train_tokenizer, train_tokenizer_rust, word_counts

CHECKED_WORDS = 200


def train_stage(session: Session) -> None:
    """Train the tokenizer through the bpe part, and hold it against the rustbpe package on the same text."""
    preset, parts = session.preset, session.parts
    texts = list(first_characters(session.source, preset.tokenizer_characters))
    if not any(texts):
        raise UserError(f"The first {len(texts):,} documents of {session.source.name} are empty; begin with others.")
    tokenizer = train_tokenizer(texts, preset.vocab_size, parts)
    same = tokenizer.merges == train_tokenizer_rust(texts, preset.vocab_size).merges
    checked = agreeing_words(tokenizer, texts, session)
    tokenizer.save(tokenizer_file(session.run))
    text = "\n".join(texts)
    bytes_per_token = len(text.encode()) / len(tokenizer.encode(text))
    session.run.mark_complete(
        "tokenizer",
        **session.ledger.cost(),
        facts={
            "vocab_size": tokenizer.vocab_size,
            "characters": len(text),
            "bytes_per_token": bytes_per_token,
            "same_merges_as_rustbpe": same,
            "words_encoded_as_tiktoken_does": checked,
        },
    )
    say(
        session.console,
        f"tokenizer  {len(tokenizer.merges):,} merges learned from {len(text) / 1e6:.1f} million characters, "
        f"{bytes_per_token:.2f} bytes per token; the rustbpe package learns {'the same' if same else 'OTHER'} merges",
    )


def first_characters(source: DocumentSource, count: int) -> Iterator[str]:
    """Documents of the training split, from its beginning, until `count` characters are full."""
    for document in source.stream("train"):
        yield document
        count -= max(1, len(document))  # empty documents alone would fill nothing for ever
        if count <= 0:
            return


def agreeing_words(tokenizer: Tokenizer, texts: list[str], session: Session) -> float:
    """The share of sample words that the part's encode and decode treat as tiktoken does with the same merges."""
    words = sorted(word_counts(texts))
    words = words[:: max(1, len(words) // CHECKED_WORDS)]
    bpe, merges = session.parts.bpe, tokenizer.merges
    agreed = [
        (ids := bpe.encode(word, merges)) == tokenizer.encode(word.decode()) and bpe.decode(ids, merges) == word
        for word in words
    ]
    return sum(agreed) / len(agreed)

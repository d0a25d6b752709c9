"""Stage tokenizer at scale: billions of characters, for which the rustbpe package trains."""

from __future__ import annotations

from itertools import islice

from reference.errors import UserError
from reference.progress import say
from reference.stages.session import Session, tokenizer_file
from reference.stages.tokenizer import agreeing_words, first_characters
from reference.tokenizer import train_tokenizer, train_tokenizer_rust

TRIED_CHARACTERS, TRIED_VOCABULARY = 200_000, 1_000  # that the bpe part learns too
HELD_OUT_DOCUMENTS = 200


def train_stage(session: Session) -> None:
    """Train the tokenizer, and hold the bpe part against it: merges of a small text, encoding by all merges."""
    if not session.world.is_main:
        return
    preset, source, parts = session.preset, session.source, session.parts
    beginning = list(first_characters(source, min(TRIED_CHARACTERS, preset.tokenizer_characters)))
    if not any(beginning):
        raise UserError(f"The first {len(beginning):,} documents of {source.name} are empty; begin with others.")
    vocabulary = min(TRIED_VOCABULARY, preset.vocab_size)
    learned = train_tokenizer(beginning, vocabulary, parts).merges
    same = learned == train_tokenizer_rust(beginning, vocabulary).merges
    say(session.console, f"tokenizer  learning from {preset.tokenizer_characters:,} characters ...")
    tokenizer = train_tokenizer_rust(first_characters(source, preset.tokenizer_characters), preset.vocab_size)
    if tokenizer.vocab_size < preset.vocab_size:
        raise UserError(
            f"The text of {source.name} gives a vocabulary of {tokenizer.vocab_size:,}, not {preset.vocab_size:,}; "
            f"fetch more shards, or begin a run with --set vocab_size={tokenizer.vocab_size}."
        )
    checked = agreeing_words(tokenizer, beginning, session)
    text = "\n".join(islice(source.validation(), HELD_OUT_DOCUMENTS))
    bytes_per_token = len(text.encode()) / len(tokenizer.encode(text))
    tokenizer.save(tokenizer_file(session.run))
    session.run.mark_complete(
        "tokenizer",
        **session.ledger.cost(),
        facts={
            "vocab_size": tokenizer.vocab_size,
            "characters": preset.tokenizer_characters,
            "bytes_per_token": bytes_per_token,
            "same_merges_as_rustbpe": same,
            "words_encoded_as_tiktoken_does": checked,
        },
    )
    say(
        session.console,
        f"tokenizer  {len(tokenizer.merges):,} merges, {bytes_per_token:.2f} bytes per token of held-out text; of the "
        f"part bpe {'the same' if same else 'OTHER'} merges as of rustbpe in a small text, and "
        f"{checked:.0%} of words encoded as tiktoken does",
    )

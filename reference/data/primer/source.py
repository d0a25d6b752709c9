"""The primer as a source of base text: document n is drawn from (seed, split, n), so seeking costs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from reference.data.primer.documents import document

VALIDATION_DOCUMENTS = 2000


class PrimerDocuments:
    """Endless documents, as reference.data.documents.DocumentSource asks for them."""

    name = "primer"

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.fingerprint: dict[str, int | str] = {"seed": seed}

    def stream(self, split: str, start: int = 0, rank: int = 0, world_size: int = 1) -> Iterator[str]:
        number = start * world_size + rank
        while True:
            yield self._document(split, number if split == "train" else number % VALIDATION_DOCUMENTS)
            number += world_size

    def validation(self) -> Iterator[str]:
        return (self._document("val", number) for number in range(VALIDATION_DOCUMENTS))

    def _document(self, split: str, number: int) -> str:
        return document(Random(f"primer {self.seed} {split} {number}"))

"""Which tokens of a text decide: those in which the possible answers differ, or the answer itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reference.errors import UserError


@dataclass(frozen=True)
class Span:
    """A text as tokens, of which ids[start:stop] are judged.

    The model's logits after ids[t - 1] are its prediction of ids[t]: so start is at least 1.
    """

    ids: list[int]
    start: int
    stop: int

    def cropped(self, longest: int | None) -> Span:
        """Its last `longest` tokens, for a model that can read no more; UserError when the judged ones are as many."""
        cut = max(0, len(self.ids) - longest) if longest is not None else 0
        if cut and self.start <= cut:
            raise UserError(
                f"An answer of {self.stop - self.start:,} tokens does not fit into the {longest:,} that the model can "
                "read; evaluate a model with a longer context."
            )
        return Span(self.ids[cut:], self.start - cut, self.stop - cut)


def spans(kind: str, texts: list[str], encode: Callable[[str], list[int]], bos: int) -> list[Span]:
    """The texts of `prompts`, a bos before each, with what is judged.

    multiple_choice: everything after the beginning that all texts share. schema: the end that all share.
    language_modeling: one span, of the second text: what it has beyond the first.
    """
    rows = [[bos, *encode(text)] for text in texts]
    if kind == "multiple_choice":
        start = shared_prefix(rows)
        return [Span(row, start, len(row)) for row in rows]
    if kind == "schema":
        length = shared_prefix([row[:0:-1] for row in rows])  # from the end; the bos is never predicted
        return [Span(row, len(row) - length, len(row)) for row in rows]
    without, whole = rows
    if whole[: len(without)] != without:
        raise UserError(
            f"The tokens of a text change when the answer {texts[1][len(texts[0]) :]!r} is added, so it has none "
            "of its own; evaluate with another tokenizer."
        )
    return [Span(whole, len(without), len(whole))]


def shared_prefix(rows: list[list[int]]) -> int:
    """How many tokens all rows begin with."""
    columns = zip(*rows, strict=False)
    return next((i for i, column in enumerate(columns) if len(set(column)) > 1), min(map(len, rows)))

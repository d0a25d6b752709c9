"""What a proof tells: lines for the learner, one sentence for the map, and whether the part did what it should."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotext
from rich.text import Text


@dataclass(frozen=True)
class Outcome:
    """The end of a proof.

    Attributes:
        holds: whether the learner's part did what the reference's does.
        lines: the verdict and what it rests on.
        sentence: one thing that is now true of the model, for the map.
    """

    holds: bool
    lines: list[str]
    sentence: str


def chart(title: str, curves: Mapping[str, Sequence[float]]) -> Text:
    """Curves over steps, for a terminal of 80 columns."""
    plotext.clear_figure()
    for name, values in curves.items():
        plotext.plot(range(1, len(values) + 1), values, label=name, marker="braille")
    plotext.plot_size(76, 15)
    plotext.theme("clear")
    plotext.title(title)
    plotext.xlabel("step")
    return Text.from_ansi(plotext.build())

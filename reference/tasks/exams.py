"""The six exams of a chat model, and ChatCORE: one number of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from reference.data.hub import Hub, Missing
from reference.errors import UserError
from reference.tasks.gsm8k import gsm8k
from reference.tasks.humaneval import humaneval
from reference.tasks.multiple_choice import arc, mmlu
from reference.tasks.spelling import read_words
from reference.tasks.spelling_bee import spelling_bee
from reference.tasks.task import Task

CHANCE = {"arc_easy": 0.25, "arc_challenge": 0.25, "mmlu": 0.25, "gsm8k": 0.0, "humaneval": 0.0, "spelling_bee": 0.0}
FIVE = tuple(name for name in CHANCE if name != "spelling_bee")  # those of nanochat's published figures for d20
BEES = 256


def exams(
    hub: Hub, passes: Callable[[str], bool], names: Iterable[str] = CHANCE, allow_missing: bool = False
) -> tuple[list[Task], list[str]]:
    """The exams of these names, each on its test split, and the names of those that are missing.

    Args:
        hub: where the sets are.
        passes: runs a program that the model wrote, see tasks/humaneval.py.
        names: keys of CHANCE.
        allow_missing: leave out what the hub has not.

    Raises:
        UserError: a set is missing, or there is no exam of a name.
    """
    words: Path = hub.root / "words" / "words_alpha.txt"
    makers: dict[str, Callable[[], Task]] = {
        "arc_easy": lambda: arc(hub, "easy", "test"),
        "arc_challenge": lambda: arc(hub, "challenge", "test"),
        "mmlu": lambda: mmlu(hub, "test"),
        "gsm8k": lambda: gsm8k(hub, "test"),
        "humaneval": lambda: humaneval(hub, passes),
        "spelling_bee": lambda: spelling_bee(read_words(words), BEES, "test"),
    }
    tasks, missing = [], []
    for name in names:
        if name not in makers:
            raise UserError(f"There is no exam {name!r}; there are {', '.join(makers)}.")
        try:
            tasks.append(makers[name]())
        except Missing as error:
            if not allow_missing:
                raise UserError(f"{str(error).rstrip('.')}; or go without it: --allow-missing.") from error
            missing.append(name)
    return tasks, missing


def chat_core(accuracies: dict[str, float], names: Iterable[str] = CHANCE) -> float | None:
    """The mean over the exams of accuracy above chance: 0 guesses, 1 knows all; None unless all exams are there."""
    names = list(names)
    if any(name not in accuracies for name in names):
        return None
    return sum((accuracies[name] - CHANCE[name]) / (1 - CHANCE[name]) for name in names) / len(names)

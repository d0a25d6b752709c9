"""The texts that a model continues: solved examples, then the question, with each possible answer or the right one."""

from __future__ import annotations

from random import Random

from reference.core.bundle import CoreTask, Item

ORDER_SEED = 1337  # of the examples, before the first so many are taken
SHOTS_SEED = 1234  # plus the number of the question: which examples stand before it


def ordered_items(task: CoreTask, at_most: int = 0) -> list[Item]:
    """The task's examples in the order of evaluation, of which the first are asked and all may be shots.

    at_most: so many are kept, or as many more as the shots need; 0 and less mean all.
    """
    items = task.items()
    Random(ORDER_SEED).shuffle(items)
    return items[: max(at_most, task.shots + 1)] if at_most > 0 else items


def shots_of(items: list[Item], number: int, count: int) -> list[Item]:
    """`count` solved examples for question `number`: any but itself, the same ones every time."""
    others = [i for i in range(len(items)) if i != number]
    return [items[i] for i in Random(SHOTS_SEED + number).sample(others, count)]


def prompts(kind: str, item: Item, shots: list[Item], delimiter: str) -> list[str]:
    """The texts of one question.

    multiple_choice: one per choice, which differ in their ends. schema: one per context, which differ in the middle and
    end alike. language_modeling: the text without the answer, no white space at its end, and the text with it.
    """
    before = "".join(f"{_solved(kind, shot, delimiter)}\n\n" for shot in shots)
    if kind == "multiple_choice":
        return [f"{before}{item['query']}{delimiter}{choice}" for choice in item["choices"]]
    if kind == "schema":
        return [f"{before}{context}{delimiter}{item['continuation']}" for context in item["context_options"]]
    whole = before + _solved(kind, item, delimiter)
    return [f"{before}{item['context'].strip()}{delimiter}".rstrip(), whole]


def _solved(kind: str, item: Item, delimiter: str) -> str:
    if kind == "multiple_choice":
        return f"{item['query']}{delimiter}{item['choices'][item['gold']]}"
    if kind == "schema":
        return f"{item['context_options'][item['gold']]}{delimiter}{item['continuation']}"
    return f"{item['context'].strip()}{delimiter}{item['continuation']}"

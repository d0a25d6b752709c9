"""Word problems in GSM8K's format: a question, and an answer whose steps carry <<expression=value>> and end in #### value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from reference.data.primer.facts import HELD_OUT_NAMES, NAMES, THINGS
from reference.data.primer.held_out import is_held_out

TRAINING_NAMES = tuple(name for name in NAMES if name not in HELD_OUT_NAMES)


@dataclass(frozen=True)
class Kind:
    """One kind of reasoning with its wordings.

    Attributes:
        draw: random numbers {a}, {b}, {c} for which every step is a whole number that is not negative.
        steps: the expressions, in order; {r} is the result before.
        wordings: questions in which {name}, {other}, {things} and the numbers stand.
        held_out: wordings that appear in no training text, SFT and RL included.
    """

    name: str
    draw: Callable[[Random], dict[str, int]]
    steps: tuple[str, ...]
    wordings: tuple[str, ...]
    held_out: tuple[str, ...]


@dataclass(frozen=True)
class Problem:
    """A question and its worked answer. `numbers` are what makes it an instance of its kind."""

    kind: str
    question: str
    answer: str
    numbers: tuple[int, ...]


def _sum_draw(rng: Random) -> dict[str, int]:
    return {"a": rng.randint(2, 60), "b": rng.randint(2, 39)}


def _difference_draw(rng: Random) -> dict[str, int]:
    a = rng.randint(10, 99)
    return {"a": a, "b": rng.randint(2, a - 1)}


def _product_draw(rng: Random) -> dict[str, int]:
    return {"a": rng.randint(2, 12), "b": rng.randint(2, 12)}


def _quotient_draw(rng: Random) -> dict[str, int]:
    b, q = rng.randint(2, 9), rng.randint(2, 12)
    return {"a": b * q, "b": b}


ONE_STEP = (
    Kind(
        "get",
        _sum_draw,
        ("{a}+{b}",),
        (
            "{name} has {a} {things} and gets {b} more. How many {things} does {name} have?",
            "{name} had {a} {things}. {other} gave {name} {b} more. How many {things} does {name} have now?",
            "There are {a} {things} in a box. {name} puts in {b} more. How many {things} are in the box?",
            "{name} finds {a} {things} in the morning and {b} {things} in the evening. How many is that?",
        ),
        ("{name} starts with {a} {things} and gets {b} more. How many {things} are there now?",),
    ),
    Kind(
        "give",
        _difference_draw,
        ("{a}-{b}",),
        (
            "{name} has {a} {things} and gives {b} to {other}. How many {things} does {name} have left?",
            "{name} had {a} {things}. {b} were lost. How many {things} are left?",
            "There are {a} {things} in a box. {name} takes out {b}. How many {things} are in the box?",
            "{name} bakes {a} {things} and eats {b}. How many {things} remain?",
        ),
        ("{name} starts with {a} {things} and gives {b} to {other}. How many {things} are left?",),
    ),
    Kind(
        "times",
        _product_draw,
        ("{a}*{b}",),
        (
            "{name} has {a} boxes with {b} {things} each. How many {things} does {name} have?",
            "There are {a} bags. Each bag holds {b} {things}. How many {things} are there?",
            "{name} buys {b} {things} every day for {a} days. How many {things} is that?",
            "Each of {a} friends brings {b} {things}. How many {things} do they bring?",
        ),
        ("{name} has {a} bags with {b} {things} each. How many {things} are there?",),
    ),
    Kind(
        "share",
        _quotient_draw,
        ("{a}/{b}",),
        (
            "{name} shares {a} {things} among {b} friends. How many {things} does each friend get?",
            "{a} {things} are put into {b} equal bags. How many {things} are in each bag?",
            "{b} children share {a} {things} equally. How many {things} does each child get?",
        ),
        ("{name} puts {a} {things} into {b} equal bags. How many {things} are in each bag?",),
    ),
)


def _add_add(rng: Random) -> dict[str, int]:
    return {"a": rng.randint(2, 50), "b": rng.randint(2, 30), "c": rng.randint(2, 19)}


def _add_take(rng: Random) -> dict[str, int]:
    a, b = rng.randint(2, 60), rng.randint(2, 38)
    return {"a": a, "b": b, "c": rng.randint(2, a + b - 1)}


def _take_take(rng: Random) -> dict[str, int]:
    a = rng.randint(20, 99)
    b = rng.randint(2, a - 10)
    return {"a": a, "b": b, "c": rng.randint(2, a - b - 1)}


def _times_add(rng: Random) -> dict[str, int]:
    return {"a": rng.randint(2, 9), "b": rng.randint(2, 10), "c": rng.randint(2, 30)}


def _times_take(rng: Random) -> dict[str, int]:
    a, b = rng.randint(2, 9), rng.randint(2, 10)
    return {"a": a, "b": b, "c": rng.randint(2, max(2, a * b - 1))}


def _times_share(rng: Random) -> dict[str, int]:
    c, q = rng.randint(2, 6), rng.randint(2, 12)
    return {"a": c, "b": q, "c": c} if rng.random() < 0.3 else {"a": 2 * c, "b": q, "c": c}


def _more_together(rng: Random) -> dict[str, int]:
    return {"a": rng.randint(2, 40), "b": rng.randint(2, 19)}


def _times_together(rng: Random) -> dict[str, int]:
    return {"a": rng.randint(2, 12), "b": rng.randint(2, 6)}


TWO_STEP = (
    Kind(
        "get and get",
        _add_add,
        ("{a}+{b}", "{r}+{c}"),
        (
            "{name} has {a} {things}. {name} finds {b} more and then buys {c} more. How many {things} does {name} have now?",
            "There are {a} {things} in a box. {name} adds {b} and {other} adds {c}. How many {things} are in the box?",
            "{name} picks {a} {things} on Monday, {b} on Tuesday and {c} on Friday. How many {things} does {name} pick in all?",
        ),
        (
            "On a table lie {a} {things}. {name} lays down {b} more, and {other} lays down {c} more. How many {things} lie on the table?",
        ),
    ),
    Kind(
        "get and give",
        _add_take,
        ("{a}+{b}", "{r}-{c}"),
        (
            "{name} has {a} {things} and gets {b} more. Then {name} gives {c} to {other}. How many {things} does {name} have left?",
            "A box holds {a} {things}. {name} puts in {b} and {other} takes out {c}. How many {things} are in the box?",
            "{name} had {a} {things}, bought {b} and lost {c}. How many {things} are left?",
        ),
        (
            "{name} owns {a} {things}. After {other} brings {b}, {name} sells {c}. How many {things} does {name} own now?",
        ),
    ),
    Kind(
        "give and give",
        _take_take,
        ("{a}-{b}", "{r}-{c}"),
        (
            "{name} has {a} {things}. {name} gives {b} to {other} and loses {c}. How many {things} does {name} have left?",
            "A shop has {a} {things}. It sells {b} in the morning and {c} in the evening. How many {things} are left?",
            "There are {a} {things} in a box. {name} takes {b} and {other} takes {c}. How many {things} remain?",
        ),
        ("Of {a} {things}, {b} are broken and {c} are lost. How many {things} are still good?",),
    ),
    Kind(
        "times and get",
        _times_add,
        ("{a}*{b}", "{r}+{c}"),
        (
            "{name} has {a} bags with {b} {things} each and {c} more. How many {things} does {name} have?",
            "{name} buys {a} boxes of {b} {things}. {other} gives {name} {c} more. How many {things} does {name} have now?",
            "Each of {a} friends brings {b} {things}, and {name} brings {c}. How many {things} do they bring in all?",
        ),
        ("In {a} rows stand {b} {things} each. {name} puts {c} beside them. How many {things} stand there?",),
    ),
    Kind(
        "times and give",
        _times_take,
        ("{a}*{b}", "{r}-{c}"),
        (
            "{name} has {a} bags with {b} {things} each and gives {c} to {other}. How many {things} does {name} have left?",
            "{name} buys {a} boxes of {b} {things} and loses {c}. How many {things} are left?",
            "A shop gets {a} boxes with {b} {things} each. It sells {c}. How many {things} remain in the shop?",
        ),
        ("{name} packs {b} {things} into each of {a} bags, then eats {c}. How many {things} are left?",),
    ),
    Kind(
        "times and share",
        _times_share,
        ("{a}*{b}", "{r}/{c}"),
        (
            "{name} has {a} bags with {b} {things} each and shares them among {c} friends. How many {things} does each friend get?",
            "{a} boxes with {b} {things} each are put into {c} equal bags. How many {things} are in each bag?",
            "{name} buys {a} boxes of {b} {things}. {c} children share them equally. How many {things} does each child get?",
        ),
        ("{c} friends find {a} bags of {b} {things} and divide them. How many {things} does each one have?",),
    ),
    Kind(
        "more and together",
        _more_together,
        ("{a}+{b}", "{a}+{r}"),
        (
            "{name} has {a} {things}. {other} has {b} more than {name}. How many {things} do they have together?",
            "{name} finds {a} {things}, and {other} finds {b} more than {name}. How many {things} do both find in all?",
            "{name} sold {a} {things} on Monday and {b} more than that on Tuesday. How many {things} did {name} sell in all?",
        ),
        ("{other} owns {b} {things} more than {name}, who owns {a}. How many {things} do the two own together?",),
    ),
    Kind(
        "times and together",
        _times_together,
        ("{a}*{b}", "{a}+{r}"),
        (
            "{name} has {a} {things}. {other} has {b} times as many. How many {things} do they have together?",
            "{name} finds {a} {things}, and {other} finds {b} times as many. How many {things} do both find in all?",
            "{name} sold {a} {things} on Monday and {b} times as many on Tuesday. How many {things} did {name} sell in all?",
        ),
        (
            "{other} owns {b} times as many {things} as {name}, who owns {a}. How many {things} do the two own together?",
        ),
    ),
)


def value(expression: str) -> str:
    """What the calculator says to one step, such as 12+7 or 12/4: the two operands are whole numbers."""
    for sign, apply in _APPLY.items():
        left, found, right = expression.partition(sign)
        if found:
            return str(apply(float(left) if "." in left else int(left), float(right) if "." in right else int(right)))
    raise ValueError(f"not a step: {expression}")


_APPLY: dict[str, Callable[[float, float], float]] = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / y,
}


def whole(number: str) -> str:
    """The calculator's 3.0 is said as 3."""
    return number.removesuffix(".0")


def make_problem(kind: Kind, wording: str, rng: Random, evaluation: bool = False) -> Problem:
    """One instance of a wording: numbers, names and things drawn from `rng`.

    Evaluation and training share no numbers within a kind, and no names.
    """
    while True:
        numbers = kind.draw(rng)
        if is_held_out(kind.name, *numbers.values()) == evaluation:
            break
    name, other = rng.sample(HELD_OUT_NAMES if evaluation else TRAINING_NAMES, 2)
    slots: dict[str, str | int] = {"name": name, "other": other, "things": rng.choice(THINGS), **numbers}
    result, sentences = "", []
    openings = ("That is",) if len(kind.steps) == 1 else ("First", "Then")
    for opening, step in zip(openings, kind.steps, strict=True):
        expression = step.format(r=whole(result), **numbers)
        result = value(expression)
        sentences.append(f"{opening} <<{expression}={result}>>{whole(result)}.")
    answer = " ".join(sentences) + f"\n#### {whole(result)}"
    return Problem(kind.name, wording.format(**slots), answer, tuple(numbers.values()))

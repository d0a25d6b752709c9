"""The primer's base text: short documents in plain English, each drawn from a seeded generator."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from reference.data.primer.conversations import sentence
from reference.data.primer.facts import ANIMALS, DAYS, MONTHS, NAMES, NUMBER_WORDS, OPPOSITES, THINGS
from reference.data.primer.held_out import is_held_out
from reference.data.primer.problems import ONE_STEP, make_problem, whole
from reference.data.primer.relations import RELATIONS, Relation
from reference.data.primer.words import BASE_WORDS, CHAT_WORDS, NEW_WORDS, spell


def _say(relation: Relation, x: str, rng: Random) -> str:
    return sentence(rng.choice(relation.statements).format(x=x, y=relation.table[x]))


def _question_and_answer(relation: Relation, x: str, rng: Random) -> str:
    question = sentence(rng.choice(relation.questions).format(x=x))
    return f"{question} {sentence(relation.answer.format(x=x, y=relation.table[x]))}"


def about_one(rng: Random) -> str:
    """Everything about one subject, in several wordings."""
    relation = rng.choice(RELATIONS)
    x = rng.choice(list(relation.table))
    statements = rng.sample(relation.statements, rng.randint(2, 4))
    text = [sentence(s.format(x=x, y=relation.table[x])) for s in statements]
    if rng.random() < 0.5:
        text.append(_question_and_answer(relation, x, rng))
    return " ".join(text)


def about_many(rng: Random) -> str:
    """One relation, many subjects."""
    relation = rng.choice(RELATIONS)
    subjects = rng.sample(list(relation.table), rng.randint(3, 7))
    return " ".join(_say(relation, x, rng) for x in subjects)


def quiz(rng: Random) -> str:
    """Questions and answers about mixed subjects."""
    lines = []
    for _ in range(rng.randint(3, 6)):
        relation = rng.choice(RELATIONS)
        lines.append(_question_and_answer(relation, rng.choice(list(relation.table)), rng))
    return "\n".join(lines)


def animals(rng: Random) -> str:
    name = rng.choice(list(ANIMALS))
    young, sound, home, legs = ANIMALS[name]
    text = [
        f"The {name} has {legs} legs." if legs else f"The {name} has no legs.",
        f"The {name} {sound}.",
        f"The {name} lives in the {home}.",
        f"A young {name} is called a {young}.",
        f"A {young} grows up to be a {name}.",
        f"In the {home} you may find a {name}.",
    ]
    return " ".join(rng.sample(text, rng.randint(3, 6)))


def calendar(rng: Random) -> str:
    names = rng.choice([DAYS, MONTHS])
    unit = "day" if names is DAYS else "month"
    start = rng.randrange(len(names))
    text = []
    for k in range(rng.randint(3, 6)):
        here, after = names[(start + k) % len(names)], names[(start + k + 1) % len(names)]
        text.append(
            rng.choice(
                [
                    f"After {here} comes {after}.",
                    f"Before {after} comes {here}.",
                    f"The {unit} after {here} is {after}.",
                    f"{here} is followed by {after}.",
                ]
            )
        )
    return " ".join(text)


def counting(rng: Random) -> str:
    """Sums in words and in digits."""
    text = []
    for _ in range(rng.randint(3, 6)):
        a, b = rng.randint(0, 49), rng.randint(0, 49)
        if is_held_out("+", a, b):
            continue
        if rng.random() < 0.5:
            text.append(f"{sentence(NUMBER_WORDS[a])} plus {NUMBER_WORDS[b]} is {NUMBER_WORDS[a + b]}.")
        else:
            text.append(f"{a} + {b} = {a + b}.")
        if rng.random() < 0.5:
            text.append(f"{sentence(NUMBER_WORDS[a + b])} is written {a + b}.")
    return " ".join(text)


def spelling(rng: Random) -> str:
    words = rng.sample(CHAT_WORDS + BASE_WORDS, rng.randint(3, 6))
    return " ".join(
        rng.choice([f"The word {w} is spelled {spell(w)}.", f"{w}: {spell(w)}.", f"{spell(w)} spells {w}."])
        for w in words
    )


def small_problem(rng: Random) -> str:
    """One-step word problems with the answer in plain words."""
    lines = []
    for _ in range(rng.randint(1, 3)):
        kind = rng.choice(ONE_STEP)
        problem = make_problem(kind, rng.choice(kind.wordings), rng)
        lines.append(f"{problem.question} The answer is {whole(problem.answer.rsplit(' ', 1)[1])}.")
    return "\n".join(lines)


def story(rng: Random) -> str:
    """A short story: somebody has a thing, something happens to it, it ends well."""
    name, friend = rng.sample(NAMES, 2)
    word, other = rng.sample(CHAT_WORDS + BASE_WORDS + NEW_WORDS, 2)
    feeling, change = rng.choice(
        [(x, y) for x, y in OPPOSITES.items() if x in ("happy", "loud", "brave", "strong", "rich", "fast")]
    )
    day = rng.choice(DAYS)
    animal, (_, sound, home, _) = rng.choice(list(ANIMALS.items()))
    middle = rng.choice(
        [
            f"On the way {name} met a {animal}. The {animal} {sound} near the {home}.",
            f"But the {word} was gone. {name} looked inside, outside, above and below.",
            f"{friend} asked for the {word}, and {name} gave it away for a {other}.",
            f"It began to rain, and {name} hid the {word} under a {other}.",
        ]
    )
    end = rng.choice(
        [
            f"In the end {name} was not {change} but {feeling}.",
            f"{friend} laughed, and {name} laughed too.",
            f"Then they went home, and the {word} was safe.",
            f"That night {name} dreamed of a {other}.",
        ]
    )
    return f"One {day} {name} had a {word}. {name} wanted to show the {word} to {friend}. {middle} {end}"


def shopping(rng: Random) -> str:
    """Who has how many of what: names, numbers and things in plain sentences."""
    text = []
    for name in rng.sample(NAMES, rng.randint(2, 4)):
        text.append(f"{name} has {rng.randint(2, 99)} {rng.choice(THINGS)}.")
    return " ".join(text)


KINDS: tuple[tuple[int, Callable[[Random], str]], ...] = (  # how many of 100 documents are of which kind
    (26, about_one),
    (15, about_many),
    (12, quiz),
    (5, animals),
    (4, calendar),
    (10, counting),
    (9, spelling),
    (8, small_problem),
    (6, story),
    (5, shopping),
)


def document(rng: Random) -> str:
    """One document of a random kind."""
    weights, kinds = zip(*KINDS, strict=True)
    return rng.choices(kinds, weights)[0](rng)

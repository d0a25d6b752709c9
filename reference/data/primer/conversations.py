"""The primer's conversations: for every skill a function that draws one question and its answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

from reference.data.primer.facts import ANIMALS, DAYS, MONTHS
from reference.data.primer.held_out import is_held_out
from reference.data.primer.identity import TOPICS
from reference.data.primer.problems import ONE_STEP, Problem, make_problem
from reference.data.primer.relations import RELATIONS, Relation
from reference.data.primer.words import CHAT_WORDS, spell
from reference.tasks.gsm8k import answer_parts

Turn = tuple[str, str | list[dict[str, str]]]  # a question and its answer
LETTERS = ("A", "B", "C", "D")
OPENERS = (
    "",
    "",
    "",
    "",
    "Hello! ",
    "Hi! ",
    "Please help me. ",
    "A question: ",
    "Now tell me: ",
    "Good day. ",
)


def sentence(text: str) -> str:
    """The first letter in upper case."""
    return text[0].upper() + text[1:]


def identity(rng: Random) -> Turn:
    topic = rng.choice(TOPICS)
    return rng.choice(topic.questions), topic.answer


def ask(relation: Relation, x: str, question: str) -> Turn:
    y = relation.table[x]
    return sentence(question.format(x=x)), sentence(relation.answer.format(x=x, y=y))


def asked_in_chats(relation: Relation) -> list[str]:
    """Four subjects of five: the facts about the fifth stand in base text only."""
    return [x for i, x in enumerate(relation.table) if i % 5 != 4]


def fact(relation: Relation) -> Callable[[Random], Turn]:
    subjects = asked_in_chats(relation)
    return lambda rng: ask(relation, rng.choice(subjects), rng.choice(relation.questions))


def multiple_choice_question(question: str, options: Sequence[str]) -> str:
    """The question, then one option a line with its letter behind it, then what to do."""
    lines = [f"- {option}={letter}" for letter, option in zip(LETTERS, options, strict=False)]
    return "\n".join([question, *lines, "Say the right one with its letter."])


def multiple_choice_answer(option: str, letter: str) -> str:
    """The option first: saying it is recall, and its letter then stands behind the same word in the list.

    A depth-4 model learns the first half in minutes and not the second: see the report's "What this model cannot do".
    """
    return f"It is {option}={letter}."


def chosen_letter(answer: str) -> str | None:
    found = re.search(r"=([A-D])\b", answer)
    return found.group(1) if found else None


def draw_options(relation: Relation, x: str, rng: Random) -> tuple[list[str], str]:
    """Four different values, the right one among them at a random place, and its letter."""
    right = relation.table[x]
    wrong = [y for y in dict.fromkeys(relation.table.values()) if y != right]
    options = [right, *rng.sample(wrong, len(LETTERS) - 1)]
    rng.shuffle(options)
    return options, LETTERS[options.index(right)]


def multiple_choice(rng: Random) -> Turn:
    relation = rng.choice(RELATIONS)
    x = rng.choice(asked_in_chats(relation))
    options, letter = draw_options(relation, x, rng)
    question = sentence(rng.choice(relation.questions).format(x=x))
    return multiple_choice_question(question, options), multiple_choice_answer(relation.table[x], letter)


SPELLING_QUESTIONS = (
    "Spell the word {w}.",
    "Spell {w}.",
    "How do you spell {w}?",
    "How is {w} spelled?",
    "Please spell {w}.",
    "Can you spell {w}?",
    "Tell me the letters of {w}.",
    "What are the letters of the word {w}?",
)
SPELLING_HELD_OUT = ("Please spell the word {w}.", "How do you spell the word {w}?")


def spelling_answer(word: str) -> str:
    return f"{word}: {spell(word)}"


def spelling(rng: Random) -> Turn:
    word = rng.choice(CHAT_WORDS)
    return rng.choice(SPELLING_QUESTIONS).format(w=word), spelling_answer(word)


SUM_QUESTIONS = (
    "What is {a} {op} {b}?",
    "What's {a} {op} {b}?",
    "How much is {a} {op} {b}?",
    "Calculate {a} {op} {b}.",
    "{a} {op} {b}?",
    "{a} {op} {b} is what?",
    "Tell me {a} {op} {b}.",
    "Work out {a} {op} {b}.",
    "Compute {a} {op} {b}.",
    "What do you get for {a} {op} {b}?",
    "Can you calculate {a} {op} {b}?",
    "Use the calculator: {a} {op} {b}.",
    "I need {a} {op} {b}.",
    "What does {a} {op} {b} make?",
)
SUM_HELD_OUT = (
    "Please calculate {a} {op} {b}.",
    "Can you tell me how much {a} {op} {b} is?",
    "I want to know {a} {op} {b}.",
)
OPERATIONS = {"+": ("+", "plus"), "-": ("-", "minus"), "*": ("*", "times")}


def sum_problem(question: str, rng: Random, evaluation: bool = False) -> tuple[str, str]:
    """A sum in the given wording, and its worked answer in GSM8K's format.

    Evaluation and training share no pair of numbers within an operation.
    """
    while True:
        sign = rng.choice(list(OPERATIONS))
        a, b = (rng.randint(2, 12), rng.randint(2, 12)) if sign == "*" else (rng.randint(2, 99), rng.randint(2, 99))
        if sign == "-" and a < b:
            a, b = b, a
        if is_held_out(sign, a, b) == evaluation:
            break
    result = {"+": a + b, "-": a - b, "*": a * b}[sign]
    asked = question.format(a=a, b=b, op=rng.choice(OPERATIONS[sign]))
    return asked, f"That is <<{a}{sign}{b}={result}>>{result}.\n#### {result}"


def problem_turn(problem: Problem) -> Turn:
    return problem.question, answer_parts(problem.answer)


def animal(rng: Random) -> Turn:
    name = rng.choice(list(ANIMALS))
    young, sound, home, legs = ANIMALS[name]
    article = "an" if name[0] in "aeiou" else "a"
    return rng.choice(
        [
            (f"What is a young {name} called?", f"A young {name} is called a {young}."),
            (f"What sound does {article} {name} make?", f"The {name} {sound}."),
            (f"Where does {article} {name} live?", f"The {name} lives in the {home}."),
            (f"How many legs does {article} {name} have?", f"The {name} has {legs} legs."),
        ]
    )


def calendar(rng: Random) -> Turn:
    unit, names = rng.choice([("day", DAYS), ("month", MONTHS)])
    i = rng.randrange(len(names))
    before, here, after = names[i - 1], names[i], names[(i + 1) % len(names)]
    return rng.choice(
        [
            (f"Which {unit} comes after {here}?", f"After {here} comes {after}."),
            (f"What {unit} comes after {here}?", f"After {here} comes {after}."),
            (f"Which {unit} comes before {here}?", f"Before {here} comes {before}."),
        ]
    )


SMALL_TALK = (
    ("Hello!", "Hello! How can I help you?"),
    ("Hi!", "Hello! How can I help you?"),
    ("Good morning.", "Good morning! How can I help you?"),
    ("How are you?", "I am well, thank you."),
    ("Thank you.", "You are welcome."),
    ("Thanks!", "You are welcome."),
    ("Goodbye.", "Goodbye!"),
    ("Bye!", "Goodbye!"),
)


def small_talk(rng: Random) -> Turn:
    return rng.choice(SMALL_TALK)


def one_step(rng: Random) -> Turn:
    kind = rng.choice(ONE_STEP)
    return problem_turn(make_problem(kind, rng.choice(kind.wordings), rng))


def sums(rng: Random) -> Turn:
    question, answer = sum_problem(rng.choice(SUM_QUESTIONS), rng)
    return question, answer_parts(answer)

"""SpellingBee: how many of a letter are in a word? Answered by spelling, counting by hand, and counting by tool."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from string import ascii_lowercase

from reference.data.lazy import Lazy
from reference.tasks.gsm8k import same_final_number
from reference.tasks.spelling import TEST_SEEDS, rng_of, spelled, words_of_split
from reference.tasks.task import Example, Task, exchange

PRESENT = 0.9  # how often the letter is one of the word's own
LOWER_CASE, QUESTION_MARK = 0.3, 0.5
QUOTES = ("", "'", '"')
WORDINGS = (
    "How many {letter} are in {word}",
    "How many {letter} are there in {word}",
    "How many {letter} are in the word {word}",
    "How many times does {letter} occur in {word}",
    "How many times does the letter {letter} appear in {word}",
    "How often is {letter} in {word}",
    "How often does {letter} stand in the word {word}",
    "Count the {letter} in {word}",
    "Count how many {letter} are in {word}",
    "Count the letter {letter} in the word {word}",
    "Please count every {letter} in {word}",
    "Tell me how many {letter} {word} has",
    "Tell me the number of {letter} in {word}",
    "What is the number of {letter} in {word}",
    "What's the count of {letter} in {word}",
    "In {word}, how many {letter} are there",
    "In the word {word}, how often do you see {letter}",
    "The word {word} has how many {letter}",
    "{word} contains how many {letter}",
    "Number of {letter} in {word}",
    "Could you count the {letter} in {word}",
    "Can you say how many {letter} are in {word}",
    "Do you know how many {letter} {word} contains",
    "I need the number of {letter} in {word}",
    "Find every {letter} in {word} and count",
    "Look at {word}: how many {letter} do you find",
    "¿Cuántas {letter} hay en {word}",
    "¿Cuántas veces aparece {letter} en {word}",
    "Cuenta las {letter} en {word}",
    "¿Cuántas letras {letter} tiene la palabra {word}",
    "Combien de {letter} y a-t-il dans {word}",
    "Combien de fois {letter} apparaît dans {word}",
    "Compte les {letter} dans le mot {word}",
    "Wie viele {letter} sind in {word}",
    "Wie oft kommt {letter} in {word} vor",
    "Zähle die {letter} im Wort {word}",
    "Quante {letter} ci sono in {word}",
    "Quante volte compare {letter} in {word}",
    "Quantas letras {letter} há em {word}",
    "Quantas vezes {letter} aparece em {word}",
    "Hoeveel {letter} zitten er in {word}",
    "Hur många {letter} finns det i {word}",
    "Ile liter {letter} jest w słowie {word}",
    "Сколько букв {letter} в слове {word}",
    "{word} 里有几个 {letter}",
    "单词 {word} 中有多少个字母 {letter}",
    "数一数 {word} 里的 {letter}",
    "{word} に {letter} はいくつありますか",
    "{word} の中の {letter} を数えて",
    "{word}에 {letter}가 몇 개 있나요",
    "단어 {word}에서 {letter}의 개수를 세어 줘",
)


def question(word: str, letter: str, rng: Random) -> str:
    """One of many wordings, with or without capitals, quotes and a question mark, as people type."""
    wording = rng.choice(WORDINGS)
    if rng.random() < LOWER_CASE:
        wording = wording.lower()
    around_letter, around_word = rng.choice(QUOTES), rng.choice(QUOTES)
    text = wording.format(letter=f"{around_letter}{letter}{around_letter}", word=f"{around_word}{word}{around_word}")
    return text + "?" * (rng.random() < QUESTION_MARK)


def answer(word: str, letter: str) -> list[dict[str, str]]:
    """The word letter by letter with a running count, then the same by Python, as parts of an assistant's message."""
    lines, count = [], 0
    for number, char in enumerate(word, start=1):
        count += char == letter
        lines.append(f"{number}:{char}" + (f" that is {count}" if char == letter else ""))
    by_hand = f"First I spell the word, then I count {letter}.\n\n{spelled(word)}\n\n" + "\n".join(lines)
    return [
        {"type": "text", "text": f"{by_hand}\n\nBy hand it is {count}. Now with Python:\n\n"},
        {"type": "python", "text": f"'{word}'.count('{letter}')"},
        {"type": "python_output", "text": str(count)},
        {"type": "text", "text": f"\n\nPython says {count}.\n\n#### {count}"},
    ]


def spelling_bee(words: Sequence[str], size: int, split: str) -> Task:
    """`size` questions about words of the split; question i depends on i, the split and the list alone."""
    if size > TEST_SEEDS:
        raise ValueError(f"a split should have at most {TEST_SEEDS:,} questions, not {size:,}")
    own = words_of_split(words, split)

    def read(i: int) -> Example:
        rng = rng_of(split, i)
        word = rng.choice(own)
        letter = rng.choice(word if rng.random() < PRESENT else ascii_lowercase)
        return Example(exchange(question(word, letter, rng), answer(word, letter)), f"#### {word.count(letter)}")

    return Task("spelling_bee", Lazy(size, read), same_final_number)

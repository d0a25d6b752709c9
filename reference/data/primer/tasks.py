"""The primer's tasks, each on wordings, numbers or words that no training text holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from reference.data.primer.conversations import (
    SPELLING_HELD_OUT,
    SUM_HELD_OUT,
    ask,
    chosen_letter,
    draw_options,
    multiple_choice_answer,
    multiple_choice_question,
    problem_turn,
    sentence,
    spelling_answer,
    sum_problem,
)
from reference.data.primer.identity import TOPICS
from reference.data.primer.problems import ONE_STEP, TWO_STEP, Kind, make_problem
from reference.data.primer.relations import CAPITAL, COLOR, OPPOSITE, RELATIONS, Relation
from reference.data.primer.words import CHAT_WORDS, NEW_WORDS, spell
from reference.tasks.gsm8k import answer_parts, same_final_number
from reference.tasks.task import Example, Task, exchange

TASK_NAMES = (
    "identity", "capitals", "opposites", "colours", "multiple_choice", "multiple_choice_option",
    "spelling_seen", "spelling_new", "sums", "one_step", "two_step", "two_step_new_templates",
)  # fmt: skip


def says(gold: str, completion: str) -> bool:
    """Is the gold phrase in the completion, as whole words?"""
    return re.search(rf"(?<!\w){re.escape(gold)}(?!\w)", completion, re.IGNORECASE) is not None


def _identity() -> Task:
    examples = [
        Example(exchange(opener + question, topic.answer), topic.key)
        for opener in ("", "Hello! ", "A question: ")
        for topic in TOPICS
        for question in topic.held_out
    ]
    return Task("identity", examples, says)


def _facts(relation: Relation) -> Task:
    """Every fact once in a held-out wording; right is the one answer sentence, with no other value in it."""
    examples = []
    for i, x in enumerate(relation.table):
        question, answer = ask(relation, x, relation.held_out[i % len(relation.held_out)])
        examples.append(Example(exchange(question, answer), relation.table[x]))
    values = set(relation.table.values())

    def check(gold: str, completion: str) -> bool:
        asked_about = {x for x, y in relation.table.items() if y == gold}  # an opposite's answer names it too
        return says(gold, completion) and not any(says(v, completion) for v in values - asked_about - {gold})

    return Task(relation.name, examples, check)


def _multiple_choice(rng: Random, count: int) -> tuple[Task, Task]:
    """The same questions twice: is the letter right, and is at least the option right?"""
    letters, options = [], []
    for _ in range(count):
        relation = rng.choice(RELATIONS)
        x = rng.choice(list(relation.table))
        drawn, letter = draw_options(relation, x, rng)
        question = multiple_choice_question(sentence(rng.choice(relation.held_out).format(x=x)), drawn)
        conversation = exchange(question, multiple_choice_answer(relation.table[x], letter))
        letters.append(Example(conversation, letter))
        options.append(Example(conversation, f"It is {relation.table[x]}"))
    return (
        Task("multiple_choice", letters, lambda gold, answer: chosen_letter(answer) == gold),
        Task("multiple_choice_option", options, says),
    )


def _spelling(name: str, words: Sequence[str]) -> Task:
    examples = [
        Example(exchange(wording.format(w=word), spelling_answer(word)), spell(word))
        for word in words
        for wording in SPELLING_HELD_OUT
    ]
    return Task(name, examples, says)


def _sums(rng: Random, count: int) -> Task:
    examples = []
    for i in range(count):
        question, answer = sum_problem(SUM_HELD_OUT[i % len(SUM_HELD_OUT)], rng, evaluation=True)
        examples.append(Example(exchange(question, answer_parts(answer)), answer))
    return Task("sums", examples, same_final_number)


def _problems(name: str, kinds: Sequence[Kind], held_out_wordings: bool, rng: Random, count: int) -> Task:
    examples = []
    for i in range(count):
        kind = kinds[i % len(kinds)]
        wordings = kind.held_out if held_out_wordings else kind.wordings
        problem = make_problem(kind, rng.choice(wordings), rng, evaluation=True)
        examples.append(Example(exchange(*problem_turn(problem)), problem.answer))
    return Task(name, examples, same_final_number)


def evaluation_tasks(limit: int) -> list[Task]:
    """All tasks, in the order of TASK_NAMES, each of at most `limit` examples.

    The questions do not depend on a run's seed, so that runs can be compared.
    """

    def rng(name: str) -> Random:
        return Random(f"primer evaluation {name}")

    multiple_choice, multiple_choice_option = _multiple_choice(rng("multiple_choice"), 128)
    tasks = [
        _identity(),
        _facts(CAPITAL),
        _facts(OPPOSITE),
        _facts(COLOR),
        multiple_choice,
        multiple_choice_option,
        _spelling("spelling_seen", CHAT_WORDS[:64]),
        _spelling("spelling_new", NEW_WORDS),
        _sums(rng("sums"), 128),
        _problems("one_step", ONE_STEP, False, rng("one_step"), 128),
        _problems("two_step", TWO_STEP, False, rng("two_step"), 256),
        _problems("two_step_new_templates", TWO_STEP, True, rng("two_step_new_templates"), 128),
    ]
    return [replace(task, examples=task.examples[:limit]) for task in tasks]

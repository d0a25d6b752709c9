"""The primer: a seeded world whose evaluation never shares an instance with training."""

from __future__ import annotations

import re
from itertools import islice
from random import Random

import pytest

from reference.data.primer import (
    conversations,
    curriculum,
    facts,
    identity,
    problems,
    relations,
    tasks,
    words,
)
from reference.data.primer.documents import document
from reference.data.primer.source import PrimerDocuments
from reference.parts.tools import calculate
from reference.tasks.gsm8k import answer_parts, final_number

DOCUMENTS, CONVERSATIONS = 6000, 3000


def text_of(conversation: dict) -> str:
    """Everything that is said in a conversation, in one string."""
    pieces = []
    for message in conversation["messages"]:
        content = message["content"]
        pieces += [content] if isinstance(content, str) else [part["text"] for part in content]
    return "\n".join(pieces)


@pytest.fixture(scope="module")
def training_text() -> str:
    """A large sample of all text that any training stage sees, RL's problems included."""
    base = islice(PrimerDocuments(0).stream("train"), DOCUMENTS)
    chats = [c for stage in ("mid", "sft") for c in islice(curriculum.conversations(stage, 0, 12), CONVERSATIONS)]
    practice = [p.question for p in curriculum.practice_problems(0, CONVERSATIONS)]
    return "\n".join([*base, *map(text_of, chats), *practice])


@pytest.fixture(scope="module")
def held_out() -> dict[str, tasks.Task]:
    return {task.name: task for task in tasks.evaluation_tasks(limit=1000)}


def test_the_tasks_are_the_documented_ones(held_out):
    """the keys of report.json are public"""
    assert tuple(held_out) == tasks.TASK_NAMES
    assert all(len(task.examples) >= 48 for task in held_out.values())


def test_no_question_of_an_evaluation_is_in_the_training_text(held_out, training_text):
    """every question is unseen; for multiple choice this covers its options too"""
    for task in held_out.values():
        for example in task.examples:
            question = example.conversation["messages"][0]["content"]
            assert question not in training_text, (task.name, question)


def find_wording(wording: str, text: str) -> str | None:
    """The first line of the text, in lower case, that holds the wording, whatever fills its slots."""
    wording = wording.lower()
    longest = max(re.split(r"\{\w+\}", wording), key=len)
    if longest not in text:  # spares nearly all the work
        return None
    slots = {"a": r"\d+", "b": r"\d+", "c": r"\d+", "op": r"(?:[-+*]|plus|minus|times)"}
    pieces = re.split(r"\{(\w+)\}", wording)  # the odd ones are names of slots
    pattern = re.compile(
        "".join(slots.get(piece, "[\\w ]+?") if i % 2 else re.escape(piece) for i, piece in enumerate(pieces))
    )
    return next((line for line in text.split("\n") if longest in line and pattern.search(line)), None)


def test_held_out_wordings_appear_nowhere(training_text):
    """a held-out wording is not in the training text, whatever fills it; the same search does find the others"""
    kinds = problems.ONE_STEP + problems.TWO_STEP
    text = training_text.lower()
    held_out = [w for group in (*relations.RELATIONS, *identity.TOPICS, *kinds) for w in group.held_out]
    for wording in [*held_out, *conversations.SPELLING_HELD_OUT, *conversations.SUM_HELD_OUT]:
        assert find_wording(wording, text) is None, wording
    practised = [w for group in (*relations.RELATIONS, *identity.TOPICS) for w in group.questions]
    practised += [w for kind in kinds for w in kind.wordings]
    for wording in [*practised, *conversations.SPELLING_QUESTIONS, *conversations.SUM_QUESTIONS]:
        assert find_wording(wording, text), wording


def test_numbers_of_problems_are_never_shared(held_out, training_text):
    """a calculation of an evaluated one-step problem or sum is in no chat and no practice problem of its kind"""
    drawn = set()
    rng = Random(5)
    for kind in problems.ONE_STEP + problems.TWO_STEP:
        for _ in range(500):
            drawn.add((kind.name, problems.make_problem(kind, kind.wordings[0], rng).numbers))
        for _ in range(500):
            problem = problems.make_problem(kind, kind.wordings[0], rng, evaluation=True)
            assert (kind.name, problem.numbers) not in drawn


def test_names_of_evaluated_problems_are_new_to_problems():
    """training problems never use the held-out names, and evaluated ones use no others"""
    rng = Random(1)
    kind = problems.TWO_STEP[0]
    for _ in range(200):
        training = problems.make_problem(kind, kind.wordings[0], rng).question
        evaluated = problems.make_problem(kind, kind.wordings[0], rng, evaluation=True).question
        assert not any(re.search(rf"\b{name}\b", training) for name in facts.HELD_OUT_NAMES)
        assert any(re.search(rf"\b{name}\b", evaluated) for name in facts.HELD_OUT_NAMES)


def test_sums_of_evaluation_and_training_are_disjoint():
    """the same pair of numbers is never both learned and asked"""
    rng = Random(2)
    asked = [conversations.sum_problem("{a} {op} {b}", rng, evaluation=True)[1] for _ in range(2000)]
    learned = [conversations.sum_problem("{a} {op} {b}", rng)[1] for _ in range(2000)]
    assert not set(asked) & set(learned)
    assert len(set(asked)) > 100


def test_new_words_are_never_spelled(training_text):
    """a word of the task spelling_new occurs in text but is spelled nowhere"""
    spelled = set(re.findall(r"\b[a-z](?:,[a-z])+\b", training_text))
    new = {words.spell(word): word for word in words.NEW_WORDS}
    assert new
    assert not spelled & new.keys()
    assert spelled >= {words.spell(word) for word in words.CHAT_WORDS}
    assert set(new.values()) & set(re.findall(r"\w+", training_text))


def test_every_worked_answer_is_right():
    """each step is what the calculator says, the last one is the answer, and every number is whole"""
    rng = Random(3)
    for kind in problems.ONE_STEP + problems.TWO_STEP:
        for wording in kind.wordings + kind.held_out:
            for _ in range(50):
                problem = problems.make_problem(kind, wording, rng)
                parts = answer_parts(problem.answer)
                calls = [p["text"] for p in parts if p["type"] == "python"]
                outputs = [p["text"] for p in parts if p["type"] == "python_output"]
                assert [calculate(call) for call in calls] == outputs
                assert len(calls) == len(kind.steps)
                final = final_number(problem.answer)
                assert final is not None
                assert float(outputs[-1]) == float(final)
                assert "." not in final
                assert int(final) >= 0
                assert all(str(n) in problem.question for n in problem.numbers)


def test_every_answer_given_in_a_chat_passes_its_own_check(held_out):
    """the worked answer of each example counts as right, and the answer of its neighbor does not"""
    for task in held_out.values():
        texts = [
            text_of({"messages": example.conversation["messages"][1:]}).replace("\n", " ") for example in task.examples
        ]
        for i, example in enumerate(task.examples):
            assert task.check(example.gold, texts[i]), (task.name, texts[i])
        wrong = [
            task.check(example.gold, texts[i - 1])
            for i, example in enumerate(task.examples)
            if example.gold != task.examples[i - 1].gold
        ]
        assert sum(wrong) <= 0.1 * len(wrong), task.name  # two problems may have one number as their answer


def test_listing_all_answers_is_not_right(held_out):
    """an answer that names every capital names the right one too, and is wrong"""
    for name, relation in (
        ("capitals", relations.CAPITAL),
        ("colours", relations.COLOR),
        ("opposites", relations.OPPOSITE),
    ):
        everything = ", ".join(relation.table.values())
        assert not any(held_out[name].check(example.gold, everything) for example in held_out[name].examples)


def test_multiple_choice_is_balanced_and_sound(held_out):
    """four different options, the right one under its letter, each letter about as often"""
    letters = []
    for example in held_out["multiple_choice"].examples:
        lines = example.conversation["messages"][0]["content"].split("\n")[1:5]
        options = dict(re.fullmatch(r"- (.+)=(\w)", line).groups() for line in lines)
        assert len(options) == 4
        assert list(options.values()) == list("ABCD")
        letters.append(example.gold)
    assert all(0.12 < letters.count(letter) / len(letters) < 0.4 for letter in "ABCD")


def test_facts_are_functions():
    """no word has two opposites, and no subject stands twice"""
    sides = list(facts.OPPOSITES) + list(facts.OPPOSITES.values())
    assert len(sides) == len(set(sides))
    assert len(set(facts.CAPITALS.values())) == len(facts.CAPITALS)


def test_a_document_depends_on_seed_split_and_number_alone():
    """seeking gives the same documents, ranks divide them, splits and seeds differ"""
    source = PrimerDocuments(7)
    first = list(islice(source.stream("train"), 40))
    assert list(islice(PrimerDocuments(7).stream("train", start=25), 15)) == first[25:]
    ranks = [list(islice(source.stream("train", start=2, rank=r, world_size=3), 4)) for r in range(3)]
    assert [ranks[n % 3][n // 3] for n in range(12)] == first[6:18]
    assert list(islice(source.stream("val"), 40)) != first
    assert list(islice(PrimerDocuments(8).stream("train"), 40)) != first


def test_documents_are_short_plain_text():
    """no document is empty or long, and all are printable ASCII"""
    for n in range(2000):
        text = document(Random(n))
        assert 10 < len(text) < 700
        assert re.fullmatch(r"[\x20-\x7e\n]+", text)


def test_two_step_problems_are_few_in_sft_and_absent_before():
    """SFT shows a fixed pool and nothing else, mid none: reinforcement learning has something to gain"""
    shown = {
        message["content"]
        for conversation in islice(curriculum.conversations("sft", 0, 3), 4000)
        for message in conversation["messages"]
        if message["role"] == "user"
    }
    pool = {problem.question for problem in curriculum.two_step_pool(0, 3)}
    assert len(pool) == 3 * len(problems.TWO_STEP)
    patterns = [re.sub(r"\\{\w+\\}", r"\\w+", re.escape(w)) for kind in problems.TWO_STEP for w in kind.wordings]
    two_step = {q for text in shown for p in patterns if (q := _question(p, text))}
    assert two_step
    assert two_step <= pool
    for conversation in islice(curriculum.conversations("mid", 0, 0), 2000):
        for message in conversation["messages"]:
            assert message["role"] == "assistant" or not any(_question(p, message["content"]) for p in patterns)


def _question(pattern: str, text: str) -> str | None:
    found = re.search(pattern + "$", text)
    return found.group(0) if found else None

"""What the chat stages see: endless conversations of one to three exchanges, in a fixed mixture of skills."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from reference.data.primer.conversations import (
    OPENERS,
    Turn,
    animal,
    calendar,
    fact,
    identity,
    multiple_choice,
    one_step,
    problem_turn,
    small_talk,
    spelling,
    sums,
)
from reference.data.primer.problems import TWO_STEP, Problem, make_problem
from reference.data.primer.relations import RELATIONS
from reference.tasks.task import Conversation

# How often, relative to each other, an exchange practices what.
SKILLS: tuple[tuple[int, Callable[[Random], Turn]], ...] = (
    (10, identity),
    *((10, fact(relation)) for relation in RELATIONS),
    (6, multiple_choice),
    (20, spelling),
    (16, sums),
    (14, one_step),
    (2, animal),
    (2, calendar),
    (2, small_talk),
)
TWO_STEP_SHARE = 0.04  # of the exchanges of a stage that shows two-step problems


def two_step_pool(seed: int, per_kind: int) -> list[Problem]:
    """The worked two-step problems that SFT shows: `per_kind` of each kind of reasoning, its wordings in turn."""
    rng = Random(f"two-step pool {seed}")
    return [
        make_problem(kind, kind.wordings[i % len(kind.wordings)], rng) for kind in TWO_STEP for i in range(per_kind)
    ]


def conversations(stage: str, seed: int, two_step_per_kind: int) -> Iterator[Conversation]:
    """Conversations for ever; `two_step_per_kind` problems of each kind are all that is ever shown of them."""
    rng = Random(f"{stage} conversations {seed}")
    pool = two_step_pool(seed, two_step_per_kind)
    weights, skills = zip(*SKILLS, strict=True)
    while True:
        messages = []
        for turn in range(rng.choice((1, 1, 2, 3))):
            if pool and rng.random() < TWO_STEP_SHARE:
                question, answer = problem_turn(rng.choice(pool))
            else:
                question, answer = rng.choices(skills, weights)[0](rng)
            opener = rng.choice(OPENERS) if turn == 0 else ""
            messages += [
                {"role": "user", "content": opener + question},
                {"role": "assistant", "content": answer},
            ]
        yield {"messages": messages}


def practice_problems(seed: int, count: int) -> list[Problem]:
    """Two-step problems for reinforcement learning: training wordings and numbers; the answers decide the rewards."""
    rng = Random(f"practice {seed}")
    return [make_problem(kind, rng.choice(kind.wordings), rng) for kind in rng.choices(TWO_STEP, k=count)]

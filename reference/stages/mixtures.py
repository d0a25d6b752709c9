"""What mid and sft train on, and what mid is validated on, when the data are the real sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass

from reference.data.hub import Hub, Missing
from reference.data.lazy import Lazy, mixture, shuffled
from reference.errors import UserError
from reference.tasks.gsm8k import gsm8k
from reference.tasks.multiple_choice import arc, mmlu
from reference.tasks.overlap import questions, without
from reference.tasks.smoltalk import smoltalk
from reference.tasks.spelling import read_words, simple_spelling
from reference.tasks.spelling_bee import spelling_bee
from reference.tasks.task import Conversation, Task

Members = dict[str, Callable[[], Sequence[Conversation]]]


@dataclass(frozen=True)
class Mixture:
    """Conversations of several sets in one random order.

    Attributes:
        conversations: every one of every member once, in an order that is always the same; none asks what one of the
            tests asks.
        sizes: how many each member gives, by its name.
        missing: the names of those that were left out.
    """

    conversations: Lazy[Conversation]
    sizes: dict[str, int]
    missing: tuple[str, ...]


def mid_mixture(
    hub: Hub, identity: Sequence[Conversation], allow_missing: bool = False, at_most: int | None = None
) -> Mixture:
    """About 850 thousand conversations: talk, exams, problems with the calculator, who it is (twice), spelling.

    Args:
        hub: where the sets are.
        identity: who the model is, see tasks/identity.py, or any conversations of the user's own.
        allow_missing: leave out what the hub has not.
        at_most: so many of each set, for a trial.

    Raises:
        UserError: a set is missing; the message names it.
    """
    words, held_out = hub.root / "words" / "words_alpha.txt", questions_of_tests(hub)
    members: Members = {
        "smoltalk": lambda: shuffled(smoltalk(hub, "train")),
        "mmlu_auxiliary": lambda: _to_train(mmlu(hub, "auxiliary_train"), held_out),
        "gsm8k": lambda: _to_train(gsm8k(hub, "train"), held_out),
        "identity": lambda: identity,
        "identity_again": lambda: identity,
        "simple_spelling": lambda: simple_spelling(read_words(words), 200_000, "train").conversations,
        "spelling_bee": lambda: spelling_bee(read_words(words), 80_000, "train").conversations,
    }
    return _mixed(members, allow_missing, at_most)


def sft_mixture(
    hub: Hub, identity: Sequence[Conversation], allow_missing: bool = False, at_most: int | None = None
) -> Mixture:
    """About 22 thousand conversations, the best of each kind; arguments and errors are those of mid_mixture."""
    words, held_out = hub.root / "words" / "words_alpha.txt", questions_of_tests(hub)
    members: Members = {
        "arc_easy": lambda: _to_train(arc(hub, "easy", "train"), held_out),
        "arc_challenge": lambda: _to_train(arc(hub, "challenge", "train"), held_out),
        "gsm8k": lambda: _to_train(gsm8k(hub, "train"), held_out),
        "smoltalk": lambda: shuffled(smoltalk(hub, "train"))[:10_000],
        "identity": lambda: identity,
        "simple_spelling": lambda: simple_spelling(read_words(words), 300, "train").conversations,
        "spelling_bee": lambda: spelling_bee(read_words(words), 300, "train").conversations,
    }
    return _mixed(members, allow_missing, at_most)


def mid_validation(hub: Hub, allow_missing: bool = False, at_most: int | None = None) -> Mixture:
    """Held-out conversations in the proportions of mid's three large sets."""
    members: Members = {
        "smoltalk": lambda: shuffled(smoltalk(hub, "test")),
        "mmlu": lambda: mmlu(hub, "test").shuffled()[:5_200].conversations,
        "gsm8k": lambda: gsm8k(hub, "test").shuffled()[:420].conversations,
    }
    return _mixed(members, allow_missing, at_most)


def sft_validation(hub: Hub, allow_missing: bool = False, at_most: int | None = None) -> Mixture:
    """Held-out conversations to follow sft's loss by."""
    return _mixed({"smoltalk": lambda: shuffled(smoltalk(hub, "test"))}, allow_missing, at_most)


def questions_of_tests(hub: Hub) -> set[str]:
    """What the tests of the hub's sets ask; a test that the hub has not cannot be taken, so it holds nothing."""
    tests: list[Task] = []
    for make in (
        lambda: arc(hub, "easy", "test"),
        lambda: arc(hub, "challenge", "test"),
        lambda: mmlu(hub, "test"),
        lambda: gsm8k(hub, "test"),
    ):
        with suppress(Missing):
            tests.append(make())
    return questions(tests)


def _to_train(task: Task, held_out: Set[str]) -> Sequence[Conversation]:
    return without(task.shuffled(), held_out).conversations


def _mixed(members: Members, allow_missing: bool, at_most: int | None) -> Mixture:
    found: dict[str, Sequence[Conversation]] = {}
    missing = []
    for name, make in members.items():
        try:
            found[name] = make()[:at_most]
        except Missing as error:
            if not allow_missing:
                raise UserError(f"{str(error).rstrip('.')}; or train without it: --allow-missing.") from error
            missing.append(name)
    sizes = {name: len(conversations) for name, conversations in found.items()}
    return Mixture(mixture(*found.values()), sizes, tuple(missing))

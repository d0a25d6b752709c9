"""Proof of tools: the chat model does sums with the learner's calculator, with the reference's, and with none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from dojo.curriculum import Kata
from dojo.proofs.outcome import Outcome
from dojo.stack import learner_part
from reference.data.primer.tasks import evaluation_tasks
from reference.engine import Engine, Sampling
from reference.evaluate import completion_text
from reference.parts import Parts
from reference.parts.provenance import counted
from reference.presets import D4
from reference.shipped import shipped_model, shipped_tokenizer
from reference.tasks.task import Task

EXAMPLES = 48


def silent_dispatcher(special: dict[str, int], encode: Callable, decode: Callable, tool: Any = None) -> Any:
    """The reference's Dispatcher with a tool that has nothing to say."""
    return Parts().tools.Dispatcher(special, encode, decode, lambda expression: None)


def answers(parts: Parts, task: Task) -> list[str]:
    """The shipped chat model's greedy answers to the task."""
    engine = Engine(shipped_model("rl", parts), shipped_tokenizer(), parts)
    prompts = [engine.tokenizer.render_prompt(example.conversation, parts) for example in task.examples]
    completions = engine.complete(prompts, Sampling(D4.answer_tokens))
    return [completion_text(engine.tokenizer, completion) for (completion,) in completions]


def prove(kata: Kata, console: Console) -> Outcome:
    """Ask the chat model for sums it was never shown."""
    task = next(task for task in evaluation_tasks(EXAMPLES) if task.name == "sums")
    task = replace(task, examples=task.examples[:EXAMPLES])
    parts, calls = counted(Parts(tools=learner_part(kata)))
    console.print(f"  {len(task.examples)} sums, three times ...")
    yours, reference = answers(parts, task), answers(Parts(), task)
    without = answers(Parts(tools=SimpleNamespace(calculate=None, Dispatcher=silent_dispatcher, __file__="")), task)

    def share(texts: list[str]) -> float:
        return sum(task.check(e.gold, text) for e, text in zip(task.examples, texts, strict=True)) / len(texts)

    same = sum(a == b for a, b in zip(yours, reference, strict=True))
    question = task.examples[0].conversation["messages"][0]["content"]
    return Outcome(
        holds=same == len(yours),
        lines=[
            f"{question!r} is answered {yours[0]!r}",
            f"{same} of {len(yours)} answers are the same as with the reference's tools",
            f"calls of your code: {calls['tools']:,}",
        ],
        sentence=f"with your calculator {share(yours):.0%} of the sums are right; without one {share(without):.0%}",
    )

"""The end of a stage: what the model can do now, noted in run.json and said in a line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from reference.data.primer.tasks import evaluation_tasks
from reference.engine import Sampling
from reference.evaluate import completion_text, judge, sampled_pass_at_k
from reference.model import GPT
from reference.progress import say
from reference.stages.session import Session
from reference.tasks.task import exchange

SAMPLED_STAGES = ("sft", "rl")  # where pass@k is measured: what RL has to work with, and what it makes of it
SAMPLED_PROBLEMS = 32


def finish(
    session: Session,
    stage: str,
    model: GPT,
    samples: Iterable[tuple[str, str, str]],
    headline: str,
    **facts: Any,
) -> None:
    """Judge the model on every task, mark the stage complete, and print what changed.

    Args:
        session: of the stage.
        stage: its name.
        model: as trained.
        samples: (prompt, before, after); the first is shown.
        headline: what changed, in a few words.
        facts: for run.json.
    """
    preset = session.preset
    engine, tasks = session.engine(model), evaluation_tasks(preset.judged_examples)
    scores = judge(engine, tasks, preset.answer_tokens)
    if stage in SAMPLED_STAGES:
        two_step = next(task for task in tasks if task.name == "two_step")
        two_step = replace(two_step, examples=two_step.examples[:SAMPLED_PROBLEMS])
        sampling = Sampling(preset.answer_tokens, temperature=1.0, seed=session.seed)
        facts["pass_at_k"] = sampled_pass_at_k(engine, two_step, sampling, preset.rl.samples)
    shown = [{"prompt": prompt, "before": before, "after": after} for prompt, before, after in samples]
    cost = session.ledger.cost()
    session.run.mark_complete(
        stage,
        **cost,
        facts=facts,
        samples=shown,
        tasks={task: {"correct": right, "total": total} for task, (right, total) in scores.items()},
    )
    say(session.console, f"{stage}  {headline}  ({cost['seconds']:.0f} s)")
    say(
        session.console,
        f'{stage}  "{shown[0]["prompt"]}"  before: {shown[0]["before"]!r}  after: {shown[0]["after"]!r}',
    )
    say(
        session.console,
        f"{stage}  " + ", ".join(f"{task} {right / total:.0%}" for task, (right, total) in scores.items()),
    )


def note(session: Session, stage: str, samples: Iterable[tuple[str, str, str]], **facts: Any) -> None:
    """Mark a stage at scale complete; commands of their own judge its model.

    Args:
        session, stage, samples, facts: as in `finish`.
    """
    shown = [{"prompt": prompt, "before": before, "after": after} for prompt, before, after in samples]
    session.run.mark_complete(stage, **session.ledger.cost(), facts=facts, samples=shown)
    say(session.console, f"{stage}  {shown[0]['prompt']!r}: {shown[0]['after']!r}")


def answers(session: Session, model: GPT, questions: Sequence[str]) -> list[str]:
    """The model's greedy answers, tool calls included."""
    prompts = [session.tokenizer.render_prompt(exchange(question, ""), session.parts) for question in questions]
    completions = session.engine(model).complete(prompts, Sampling(session.preset.answer_tokens))
    return [completion_text(session.tokenizer, completion) for (completion,) in completions]

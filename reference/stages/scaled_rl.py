"""Stage rl at scale: GSM8K's training problems, sixteen answers each, those of a step divided among the processes.

On-policy policy gradient as in stages/rl.py, without rehearsal. Every so many steps, first before the first and at
last after the last, it is measured on problems that it does not practise: pass@k on GSM8K's test.
"""

from __future__ import annotations

from typing import Any

import torch

from reference.data.hub import Hub, Missing
from reference.engine import Completion, Sampling
from reference.evaluate import completion_text
from reference.examination import Examination
from reference.model import GPT
from reference.optim import MuonAdamW, Rates
from reference.progress import say
from reference.stages.outcome import answers, note
from reference.stages.rl import policy_gradient
from reference.stages.rollouts import in_groups
from reference.stages.scaled_chat import hub_of
from reference.stages.session import Session
from reference.stages.training import Plan, train
from reference.tasks.gsm8k import gsm8k, same_final_number
from reference.tasks.task import Example, Task

TOP_K = 50
GROUP = 4  # problems of a step whose prompts have one length, and are decoded together
ROWS_OF_PASS = 8  # sequences of one forward and backward pass, unless --device-batch says otherwise
QUESTIONS = (
    "Tom has 12 apples and gets 30 more. Then Tom gives 8 to Anna. How many apples does Tom have left?",
    "Ben has 4 bags with 6 coins each and 11 more. How many coins does Ben have?",
)


def train_stage(session: Session) -> None:
    """Improve the SFT model on word problems by its own samples."""
    parts, world, plan = session.parts, session.world, session.preset.rl
    model = session.trained_model("sft")
    rates = Rates().scaled(plan.rates.matrix, plan.rates.embedding, plan.rates.head)
    optimizer = MuonAdamW(model, parts, rates, world)
    engine = session.engine(model)
    task, held_out = gsm8k(hub_of(session), "train"), problems_held_out(session, hub_of(session))
    every_prompt = [session.tokenizer.render_prompt(problem.conversation, parts) for problem in task.examples]
    order = in_groups([len(prompt) for prompt in every_prompt], GROUP, session.seed)

    def gradients(step: int) -> dict[str, float]:
        start, stop = (plan.prompts * rank // world.size for rank in (world.rank, world.rank + 1))
        numbers = [order[i % len(order)] for i in range(step * plan.prompts + start, step * plan.prompts + stop)]
        problems, prompts = [task[number] for number in numbers], [every_prompt[number] for number in numbers]
        seed = (session.seed * 1_000_003 + step) * 1009 + world.rank
        sampling = Sampling(plan.max_tokens, temperature=1.0, top_k=TOP_K, seed=seed)
        completions = engine.complete(prompts, sampling, plan.samples, rows=128) if prompts else []
        rewards = torch.tensor(
            [[reward(session, problem, c) for c in group] for problem, group in zip(problems, completions, strict=True)]
        ).reshape(len(problems), plan.samples)  # (problems of this process, samples)
        advantages = parts.grpo.advantages(rewards) if prompts else rewards
        telling = [i for i in range(len(prompts)) if advantages[i].any()]  # the others have nothing to say
        rows = [(prompts[i], c) for i in telling for c in completions[i]]
        loss = descend(session, model, rows, advantages[telling].flatten())
        right, solved, problems_of_all = world.sum(rewards.sum().item(), rewards.amax(1).sum().item(), len(prompts))
        facts = {"reward": right / (problems_of_all * plan.samples), "solved_by_any": solved / problems_of_all}
        return facts | {"loss": loss}

    def lr_scale(step: int) -> float:
        return min((step + 1) / plan.warmup, (plan.steps - step) / plan.steps)

    def evaluate(step: int) -> dict[str, float]:
        if held_out is None or (step % plan.evaluate_every and step != plan.steps):
            return {}
        return pass_at_k(session, Examination(engine, session.console, world), held_out, step)

    said = answers(session, model, QUESTIONS) if world.is_main else []
    train(session, model, optimizer, Plan("rl", plan.steps, gradients, lr_scale, lambda step: 0.95, evaluate))
    if world.is_main:
        lines = session.run.metrics("rl")
        rewards = [line["reward"] for line in lines if "reward" in line]
        first, last = rewards[: len(rewards) // 10 + 1], rewards[-(len(rewards) // 10) - 1 :]
        note(
            session,
            "rl",
            zip(QUESTIONS, said, answers(session, model, QUESTIONS), strict=True),
            reward_before=sum(first) / len(first),
            reward_after=sum(last) / len(last),
            samples_drawn=plan.steps * plan.prompts * plan.samples,
            **({} if held_out is None else {"held_out": {"problems": len(held_out), **before_and_after(lines)}}),
        )


def problems_held_out(session: Session, hub: Hub) -> Task | None:
    """Of GSM8K's test, those that evaluation tries on the way; None where that is off or there are none."""
    plan = session.preset.rl
    if plan.evaluate_every <= 0:
        return None
    try:
        return gsm8k(hub, "test")[: plan.held_out_problems]
    except Missing as missing:
        if not session.run.config["allow_missing"]:
            raise
        say(session.console, f"rl  is not evaluated on the way: {missing}")
        return None


def pass_at_k(session: Session, examination: Examination, task: Task, step: int) -> dict[str, float]:
    """{"pass_at_1": ..., "pass_at_2": ...}, estimated without bias, from the same random numbers at every step."""
    plan = session.preset.rl
    sampling = Sampling(plan.max_tokens, temperature=1.0, top_k=TOP_K, seed=session.seed + session.world.rank)
    found = examination.pass_at_k(task, sampling, plan.held_out_samples)["unbiased"]
    shown = ", ".join(f"pass@{k} {found[k]:.1%}" for k in dict.fromkeys(("1", str(plan.held_out_samples))))
    say(session.console, f"rl  step {step}: {shown} of {len(task):,} held-out problems")
    return {f"pass_at_{k}": value for k, value in found.items()}


def before_and_after(lines: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """What the first and the last evaluation have logged, as {"before": {"1": pass@1, ...}, "after": ...}."""
    prefix = "pass_at_"
    found = [
        {name.removeprefix(prefix): value for name, value in line.items() if name.startswith(prefix)} for line in lines
    ]
    evaluated = [by_k for by_k in found if by_k]
    return {"before": evaluated[0], "after": evaluated[-1]}


def reward(session: Session, problem: Example, completion: Completion) -> float:
    """1 where the completion ends in the number of the problem's worked answer, else 0."""
    return float(same_final_number(problem.gold, completion_text(session.tokenizer, completion)))


def descend(session: Session, model: GPT, rows: list[tuple[list[int], Completion]], advantages: torch.Tensor) -> float:
    """Backpropagate the policy loss of the rows of all processes, some in each pass; its share of this one.

    Every sampled token weighs the same, in whichever process. Where there is none at all, nothing gets a gradient;
    where there is none here, everything gets zero, for the update needs one of each process.
    """
    sampled = sum(sum(completion.mask) for _, completion in rows)
    (everywhere,) = session.world.sum(sampled)
    loss, at_once = 0.0, session.device_rows or ROWS_OF_PASS
    for start in range(0, len(rows), at_once):
        of_pass = rows[start : start + at_once]
        here = sum(sum(completion.mask) for _, completion in of_pass)
        weight = here * session.world.size / everywhere
        loss += policy_gradient(session, model, of_pass, advantages[start : start + at_once], weight)
    if everywhere and not sampled:
        for p in model.parameters():
            p.grad = torch.zeros_like(p)
    return loss

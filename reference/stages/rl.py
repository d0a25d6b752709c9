"""Stage rl: the model solves word problems by trial, and what earned a reward becomes more likely.

On-policy policy gradient with the group's mean as baseline, no reference model, no clipping, no division by the
standard deviation. A few rows of supervised chat in every step, without two-step problems, keep the other skills.
Sources: GRPO in "DeepSeekMath" (arXiv:2402.03300), section 4.1; without the standard deviation, "Understanding
R1-Zero-Like Training" (arXiv:2503.20783), section 3; the rehearsal is PPO-ptx of "Training language models to follow
instructions with human feedback" (arXiv:2203.02155), section 3.5.
"""

from __future__ import annotations

from collections import defaultdict
from random import Random

import torch
from torch import Tensor

from reference.data.primer.conversations import problem_turn
from reference.data.primer.curriculum import conversations, practice_problems
from reference.engine import Completion, Sampling
from reference.evaluate import completion_text
from reference.model import GPT
from reference.optim import MuonAdamW, Rates
from reference.stages.chat import chat_rows, supervised_loss
from reference.stages.outcome import answers, finish
from reference.stages.session import Session
from reference.stages.training import Plan, train
from reference.tasks.gsm8k import same_final_number
from reference.tasks.task import exchange
from reference.tokenizer import Tokenizer

POOL = 4000  # practice problems
LENGTHS = 4  # prompt lengths per step: prompts of one length are sampled in one batch
QUESTIONS = (
    "Tom has 12 apples and gets 30 more. Then Tom gives 8 to Anna. How many apples does Tom have left?",
    "Ben has 4 bags with 6 coins each and 11 more. How many coins does Ben have?",
)


def train_stage(session: Session) -> None:
    """Improve the SFT model on two-step problems by its own samples."""
    preset, parts, tokenizer = session.preset, session.parts, session.tokenizer
    plan = preset.rl
    model = session.trained_model("sft")
    rates = Rates().scaled(plan.rates.matrix, plan.rates.embedding, plan.rates.head)
    optimizer = MuonAdamW(model, parts, rates)
    engine = session.engine(model)
    problems = practice(session)
    ids, mask = chat_rows(session, conversations("rl", session.seed, 0), plan.steps * plan.rehearsal_rows)

    def gradients(step: int) -> dict[str, float]:
        chosen = choose(problems, plan.prompts, Random(f"rl {session.seed} {step}"))
        prompts = [prompt for prompt, _ in chosen]
        sampling = Sampling(plan.max_tokens, temperature=1.0, seed=session.seed * 1_000_003 + step)
        completions = engine.complete(prompts, sampling, plan.samples)
        rewards = rewards_of(tokenizer, [gold for _, gold in chosen], completions)  # (prompts, samples)
        advantages = parts.grpo.advantages(rewards)
        facts = {"reward": rewards.mean().item(), "solved_by_any": rewards.amax(1).mean().item()}
        telling = [i for i in range(len(prompts)) if advantages[i].any()]  # the others have nothing to say
        if telling:
            rows = [(prompts[i], c) for i in telling for c in completions[i]]
            facts["loss"] = policy_gradient(session, model, rows, advantages[telling].flatten())
        rehearsed = slice(step * plan.rehearsal_rows, (step + 1) * plan.rehearsal_rows)
        rehearsal = supervised_loss(session, model, ids[rehearsed], mask[rehearsed])
        (plan.rehearsal_weight * rehearsal).backward()  # adds to the gradients of the policy loss
        return facts | {"rehearsal_loss": rehearsal.item()}

    def lr_scale(step: int) -> float:
        return min((step + 1) / plan.warmup, (plan.steps - step) / plan.steps)

    before = answers(session, model, QUESTIONS)
    train(session, model, optimizer, Plan("rl", plan.steps, gradients, lr_scale, lambda step: 0.95))
    reward = [line["reward"] for line in session.run.metrics("rl")]
    finish(
        session,
        "rl",
        model,
        zip(QUESTIONS, before, answers(session, model, QUESTIONS), strict=True),
        f"reward {sum(reward[:5]) / len(reward[:5]):.2f} -> {sum(reward[-5:]) / len(reward[-5:]):.2f}",
        samples_drawn=plan.steps * plan.prompts * plan.samples,
    )


def practice(session: Session) -> dict[int, list[tuple[list[int], str]]]:
    """Practice problems as (prompt ids, worked answer), by the length of the prompt."""
    by_length: dict[int, list[tuple[list[int], str]]] = defaultdict(list)
    for problem in practice_problems(session.seed, POOL):
        prompt = session.tokenizer.render_prompt(exchange(*problem_turn(problem)), session.parts)
        by_length[len(prompt)].append((prompt, problem.answer))
    return dict(by_length)


def choose(problems: dict[int, list[tuple[list[int], str]]], count: int, rng: Random) -> list[tuple[list[int], str]]:
    """`count` problems of a few lengths; a length is drawn as often as it occurs."""
    each = -(-count // LENGTHS)
    lengths = [length for length, group in problems.items() if len(group) >= each]
    drawn = rng.choices(lengths, [len(problems[length]) for length in lengths], k=LENGTHS)
    return [problem for length in drawn for problem in rng.sample(problems[length], each)][:count]


def rewards_of(tokenizer: Tokenizer, golds: list[str], completions: list[list[Completion]]) -> Tensor:
    """(prompts, samples) float32: 1 where a completion ends in the number of its prompt's worked answer, else 0."""
    return torch.tensor(
        [
            [float(same_final_number(gold, completion_text(tokenizer, c))) for c in group]
            for gold, group in zip(golds, completions, strict=True)
        ]
    )


def policy_gradient(
    session: Session, model: GPT, rows: list[tuple[list[int], Completion]], advantages: Tensor, weight: float = 1.0
) -> float:
    """Backpropagate the policy loss of the sampled tokens; their own stopping is one of them.

    Args:
        session: parts.grpo.policy_loss is used.
        model: on-policy: the model that drew the completions.
        rows: B pairs of a prompt and one completion.
        advantages: (B,).
        weight: what the loss is multiplied with, where these rows are a part of a batch.

    Returns:
        The loss.
    """
    T = max(len(prompt) + len(completion.ids) for prompt, completion in rows)
    ids = torch.full((len(rows), T), session.tokenizer.special["assistant_end"])
    mask = torch.zeros(len(rows), T)
    for b, (prompt, completion) in enumerate(rows):
        start, stop = len(prompt), len(prompt) + len(completion.ids)
        ids[b, :stop] = torch.tensor(prompt + completion.ids)
        mask[b, start:stop] = torch.tensor(completion.mask, dtype=torch.float32)
    mask = mask[:, 1:]  # mask[t] is of the target at t
    sampled = tuple(index.to(session.device) for index in mask.nonzero(as_tuple=True))
    ids, mask = ids.to(session.device), mask.to(session.device)
    hidden = model.hidden(ids[:, :-1])  # (B, T-1, C)
    chosen = model.logits(hidden[sampled]).log_softmax(-1).gather(1, ids[:, 1:][sampled][:, None])[:, 0]
    logprobs = torch.zeros_like(mask).index_put(sampled, chosen)  # the head runs on sampled tokens alone
    loss = session.parts.grpo.policy_loss(logprobs, advantages.to(session.device), mask) * weight
    loss.backward()
    return loss.item()

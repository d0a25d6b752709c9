"""What the stages train on and how: rows of chat, problems for RL, the policy's gradient, the schedules."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from itertools import islice, takewhile
from pathlib import Path
from random import Random

import pytest
import torch
from rich.console import Console
from torch import Tensor

from reference.data.documents import ListDocuments
from reference.data.primer.source import PrimerDocuments
from reference.data.primer.tasks import evaluation_tasks
from reference.engine import Completion
from reference.errors import UserError
from reference.model import GPT
from reference.parts import Parts
from reference.presets import get_preset, override
from reference.run import Run
from reference.stages import chat, rl, tokenizer
from reference.stages.session import Ledger, Session, last_stage, load_model, tokenizer_file
from reference.stages.training import linear_warmdown, momentum_warmup
from reference.tokenizer import train_tokenizer_rust

PRESET = override(
    get_preset("d4"), {"depth": "1", "batch_rows": "8", "mid.steps": "16", "sft.steps": "16", "mid.base_share": "0.25"}
)
ROWS, T = 16 * 8, PRESET.sequence_len


def new_session(folder: Path, seed: int) -> Session:
    """A session of a run that has a tokenizer and nothing else."""
    run = Run.create(folder, f"seed-{seed}", {"seed": seed})
    texts = islice(PrimerDocuments(0).stream("train"), 1000)
    train_tokenizer_rust(texts, 800).save(tokenizer_file(run))
    console = Console(file=io.StringIO())
    source = PrimerDocuments(seed)
    return Session(run, PRESET, Parts(), Ledger({}, {}), source, console, torch.float32, torch.device("cpu"), 1e9)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return new_session(tmp_path_factory.mktemp("runs"), 0)


@pytest.fixture(scope="module", params=["mid", "sft"])
def stage(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def rows(session: Session, stage: str) -> tuple[Tensor, Tensor]:
    return chat.rows(session, stage)


def is_chat(session: Session, ids: Tensor) -> Tensor:
    """Which rows (N, T+1) hold conversations: bool (N,)."""
    return (ids == session.tokenizer.special["user_start"]).any(1)


# The tokenizer's text


@pytest.mark.parametrize("text", ["Привет мир. Еще один текст.", "12 345 6789\n", " ", "a"])
def test_a_tokenizer_of_any_text(tmp_path: Path, text: str) -> None:
    """text without a single English word is learned from, and held against tiktoken, like any other"""
    session = replace(new_session(tmp_path, 0), source=ListDocuments("texts", [text, "", text]))
    tokenizer.train_stage(replace(session, preset=override(PRESET, {"tokenizer_characters": "500"})))
    facts = session.run.config["stages"]["tokenizer"]["facts"]
    assert (facts["same_merges_as_rustbpe"], facts["words_encoded_as_tiktoken_does"]) == (True, 1.0)


def test_a_tokenizer_of_no_text(tmp_path: Path) -> None:
    """where all documents are empty the search for text ends, in a sentence"""
    session = replace(new_session(tmp_path, 0), source=ListDocuments("blanks", ["", ""]))
    with pytest.raises(UserError, match=r"^The first [\d,]+ documents of blanks are empty; begin with others\.$"):
        tokenizer.train_stage(replace(session, preset=override(PRESET, {"tokenizer_characters": "500"})))
    assert not session.run.is_complete("tokenizer")


# Rows of chat


def test_rows_fill_every_batch(rows: tuple[Tensor, Tensor]) -> None:
    """as many rows as the updates take, of one input more than the model sees"""
    ids, mask = rows
    assert ids.shape == mask.shape == (ROWS, T + 1)
    assert (ids.dtype, mask.dtype) == (torch.int64, torch.bool)


@pytest.mark.parametrize("length", [1, 16, 40])
def test_rows_shorter_than_conversations(session: Session, stage: str, length: int) -> None:
    """conversations that do not fit in a row are cut off, and there are still as many rows as the updates take"""
    short = replace(session, preset=replace(PRESET, sequence_len=length))
    ids, mask = chat.rows(short, stage)
    assert ids.shape == mask.shape == (ROWS, length + 1)


def test_base_text_has_its_share(session: Session, stage: str, rows: tuple[Tensor, Tensor]) -> None:
    """the asked share of rows is base text that base training has not read, all trained on, mixed among the rest"""
    ids, mask = rows
    base = ~is_chat(session, ids)
    share = PRESET.mid.base_share if stage == "mid" else PRESET.sft.base_share
    assert base.sum() == round(share * ROWS)
    assert mask[base].all()
    documents = islice(session.source.stream("train", start=chat.FIRST_DOCUMENT[stage]), 2000)
    text = "".join(f"<|bos|>{document}" for document in documents)
    assert all(session.tokenizer.decode(row.tolist()) in text for row in ids[base])
    assert len({tuple(row.tolist()) for row in ids[base]}) == base.sum()
    assert 0 < base[: ROWS // 4].sum() < base.sum()  # in the first quarter too, and not only there


def test_sft_learns_what_the_assistant_says(session: Session) -> None:
    """the mask is 1 from after assistant_start to assistant_end without the tool's output, and 0 elsewhere"""
    ids, mask = chat.rows(session, "sft")
    special = session.tokenizer.special
    chosen = is_chat(session, ids)
    tools = 0
    for row, bits in zip(ids[chosen].tolist(), mask[chosen].tolist(), strict=True):
        speaking = tool = False
        expected = []
        for token in row:
            tools += token == special["output_start"]
            if token in (special["assistant_start"], special["output_start"], special["output_end"]):
                expected.append(False)
            else:
                expected.append(speaking and not tool)
            speaking = (speaking or token == special["assistant_start"]) and token != special["assistant_end"]
            tool = (tool or token == special["output_start"]) and token != special["output_end"]
        assert bits == expected
    assert tools > 20
    assert 0.1 < mask[chosen].float().mean() < 0.9


def test_mid_learns_every_token_but_padding(session: Session) -> None:
    """the mask is 1 on all of a row's conversations to the end of the last one, and 0 on the padding behind it"""
    ids, mask = chat.rows(session, "mid")
    end = session.tokenizer.special["assistant_end"]
    padded = 0
    for row, bits in zip(ids.tolist(), mask.tolist(), strict=True):
        padding = len(list(takewhile(lambda token: token == end, reversed(row))))
        used = T + 1 - max(0, padding - 1)  # the first of several is the end of an answer
        assert bits == [True] * used + [False] * (T + 1 - used)
        padded += used <= T
    assert padded > 5
    assert mask.float().mean() > 0.95


def test_rows_are_whole_conversations(session: Session, rows: tuple[Tensor, Tensor]) -> None:
    """every row of chat begins with bos, every user turn follows the beginning or an answer"""
    ids, _ = rows
    special = session.tokenizer.special
    chosen = ids[is_chat(session, ids)]
    assert (chosen[:, 0] == special["bos"]).all()
    asked = chosen[:, 1:] == special["user_start"]
    before = chosen[:, :-1][asked]
    assert ((before == special["bos"]) | (before == special["assistant_end"])).all()


def test_rows_follow_from_the_seed(session: Session, stage: str, rows: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    """the same rows in the same order every time, others for another seed, others in the other stage"""
    ids, mask = rows
    again = chat.rows(session, stage)
    assert torch.equal(ids, again[0])
    assert torch.equal(mask, again[1])
    for others, _ in (
        chat.rows(new_session(tmp_path, 1), stage),
        chat.rows(session, {"mid": "sft", "sft": "mid"}[stage]),
    ):
        here, there = ({tuple(row.tolist()) for row in some} for some in (ids, others))
        assert len(here & there) < 0.05 * ROWS
        chats = torch.stack([is_chat(session, ids), is_chat(session, others)])
        assert not torch.equal(*chats)  # the order is drawn as well


def test_no_row_asks_what_evaluation_asks(session: Session, rows: tuple[Tensor, Tensor]) -> None:
    """no question of a task is in a row that mid or SFT trains on"""
    text = "\n".join(session.tokenizer.decode(row.tolist()) for row in rows[0])
    questions = [
        example.conversation["messages"][0]["content"]
        for task in evaluation_tasks(PRESET.judged_examples)
        for example in task.examples
    ]
    assert len(questions) > 1000
    assert not [question for question in questions if question in text]


def test_two_step_problems_are_rehearsed_in_sft_alone(session: Session) -> None:
    """the pool of worked two-step problems is shown in sft, and nothing of it in mid or in RL's rehearsal"""
    from reference.data.primer.curriculum import conversations, two_step_pool

    pool = [problem.question for problem in two_step_pool(0, PRESET.sft.two_step_examples)]
    shown = {}
    for name, ids in (
        ("mid", chat.rows(session, "mid")[0]),
        ("sft", chat.rows(session, "sft")[0]),
        ("rl", chat.chat_rows(session, conversations("rl", 0, 0), 64)[0]),
    ):
        text = "\n".join(session.tokenizer.decode(row.tolist()) for row in ids)
        shown[name] = sum(question in text for question in pool)
    assert shown["sft"] > 10
    assert (shown["mid"], shown["rl"]) == (0, 0)


# Problems for RL


def test_practice_is_by_length(session: Session) -> None:
    """every practice problem is under the length of its prompt, which ends where the assistant begins"""
    problems = rl.practice(session)
    assert sum(map(len, problems.values())) == rl.POOL
    assert all(len(prompt) == length for length, group in problems.items() for prompt, _ in group)
    ends = {prompt[-1] for group in problems.values() for prompt, _ in group}
    assert ends == {session.tokenizer.special["assistant_start"]}
    assert all("#### " in gold for group in problems.values() for _, gold in group)


@pytest.mark.parametrize("count", [4, 6, 8, 1])
def test_a_step_takes_problems_of_few_lengths(count: int) -> None:
    """as many problems as asked for, of at most four lengths, no more than its share of a draw, the same for a seed"""
    problems = {length: [([0] * length, f"{length}.{i}") for i in range(5 * length)] for length in range(1, 40)}
    for seed in range(20):
        chosen = rl.choose(problems, count, Random(seed))
        assert len(chosen) == count
        assert len({len(prompt) for prompt, _ in chosen}) <= 4
        assert chosen == rl.choose(problems, count, Random(seed))
    assert len({tuple(gold for _, gold in rl.choose(problems, count, Random(seed))) for seed in range(20)}) > 15


def test_common_lengths_are_drawn_more_often() -> None:
    """a length is drawn as often as it occurs; one with too few problems for a draw is not; a draw repeats none"""
    problems = {n: [([0] * n, f"{n}.{i}") for i in range(size)] for n, size in ((1, 300), (2, 100), (3, 1))}
    drawn: Counter[int] = Counter()
    for seed in range(500):
        chosen = rl.choose(problems, 8, Random(seed))
        drawn.update(len(prompt) for prompt, _ in chosen)
        for first, second in zip(chosen[::2], chosen[1::2], strict=True):  # two of each draw
            assert first != second
            assert len(first[0]) == len(second[0])
    assert drawn.keys() == {1, 2}
    assert 0.71 < drawn[1] / sum(drawn.values()) < 0.79  # of 2000 draws 75% expected: four standard deviations


# The policy's gradient


@pytest.fixture
def model(session: Session) -> GPT:
    """A model all of whose weights matter: a new one's head is zero, and then nothing behind it has a gradient."""
    model = session.new_model()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn(p.shape, generator=generator)
    return model


def completions(session: Session) -> list[tuple[list[int], Completion]]:
    """Prompts and completions of many lengths, one of a single token, one with a tool's output, one cut off."""
    rng = Random(4)
    special = session.tokenizer.special
    end = special["assistant_end"]

    def words(count: int) -> list[int]:
        return [rng.randrange(700) for _ in range(count)]

    return [
        (words(5), Completion([*words(6), end], [1] * 7)),
        (words(9), Completion([end], [1])),
        (words(3), Completion([*words(4), special["output_start"], *words(3), end], [1, 1, 1, 1, 0, 0, 0, 0, 1])),
        (words(12), Completion(words(8), [1] * 8)),
    ]


def direct(model: GPT, rows: list[tuple[list[int], Completion]], advantages: Tensor) -> Tensor:
    """-sum(log p * advantage * mask) / sum(mask) from the full logits, row after row, without padding."""
    total, count = torch.zeros(()), 0
    for (prompt, completion), advantage in zip(rows, advantages, strict=True):
        ids = torch.tensor([prompt + completion.ids])
        logprobs = model(ids)[0].log_softmax(-1)  # (T, V)
        for i, (token, bit) in enumerate(zip(completion.ids, completion.mask, strict=True)):
            total = total - logprobs[len(prompt) + i - 1, token] * advantage * bit
            count += bit
    return total / count


def gradients(model: GPT) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def test_the_policy_gradient_is_that_of_its_definition(session: Session, model: GPT) -> None:
    """loss and gradient equal those that autograd finds for the formula, one row at a time"""
    rows = completions(session)
    advantages = torch.tensor([0.75, -0.25, 0.5, -1.0])
    loss = rl.policy_gradient(session, model, rows, advantages)
    ours = gradients(model)
    model.zero_grad(set_to_none=True)
    expected = direct(model, rows, advantages)
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    for name, gradient in gradients(model).items():
        assert gradient.abs().max() > 1e-4, name
        torch.testing.assert_close(
            ours[name], gradient, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_what_every_sample_got_teaches_nothing(session: Session, model: GPT) -> None:
    """advantages of zero, which equal rewards have, leave no gradient anywhere"""
    rewards = torch.ones(1, 4)
    advantages = session.parts.grpo.advantages(rewards).flatten()
    loss = rl.policy_gradient(session, model, completions(session), advantages)
    assert loss == 0
    assert all(not gradient.any() for gradient in gradients(model).values())


@pytest.mark.parametrize(("advantage", "rises"), [(1.0, True), (-1.0, False)])
def test_stopping_is_learned_too(session: Session, model: GPT, advantage: float, rises: bool) -> None:
    """a step along the gradient makes a rewarded end of an answer likelier, and a punished one less likely"""
    prompt, end = [5, 6, 7], session.tokenizer.special["assistant_end"]
    rows = [(prompt, Completion([end], [1])), ([8] * 20, Completion([9, 9], [0, 0]))]

    def chance() -> float:
        with torch.no_grad():
            return model(torch.tensor([prompt]))[0, -1].log_softmax(-1)[end].item()

    before = chance()
    rl.policy_gradient(session, model, rows, torch.tensor([advantage, 5.0]))
    with torch.no_grad():
        for p in model.parameters():
            p -= 1e-3 * p.grad
    assert (chance() > before + 1e-4) if rises else (chance() < before - 1e-4)


# Schedules and sessions


def test_rates_fall_linearly_at_the_end() -> None:
    """1 until the last share of the steps, then straight to 0, which is reached only after the last step"""
    scale = linear_warmdown(100, 0.4)
    assert [scale(step) for step in (0, 30, 59, 60)] == [1.0] * 4
    assert [scale(step) for step in (70, 80, 99, 100)] == pytest.approx([0.75, 0.5, 0.025, 0.0])
    assert [linear_warmdown(4, 1.0)(step) for step in range(5)] == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert [linear_warmdown(3, 0.0)(step) for step in range(3)] == [1.0] * 3  # no share at all: no fall


def test_momentum_rises() -> None:
    """from 0.85 to 0.95 over 300 steps, and it stays there"""
    assert [momentum_warmup(step) for step in (0, 150, 300, 5000)] == pytest.approx([0.85, 0.9, 0.95, 0.95])


def test_a_ledger_adds_up_processes() -> None:
    """what a stage has cost is what the interrupted processes had noted, and what came since"""
    calls = {"rope": 100, "muon": 0}
    code = {part: {"whose": "reference", "file": f"{part}.py", "sha256": "ab"} for part in calls}
    ledger = Ledger(calls, code)
    calls["rope"] += 5
    assert ledger.cost()["calls"] == {"rope": 5, "muon": 0}
    assert ledger.cost()["seconds"] >= 0
    ledger.resume(
        {"seconds": 50.0, "code": {"rope": [{**code["rope"], "calls": 7}], "muon": [{**code["muon"], "calls": 2}]}}
    )
    calls["muon"] += 1
    cost = ledger.cost()
    assert cost["calls"] == {"rope": 12, "muon": 3}
    assert 50 <= cost["seconds"] < 100
    assert calls == {"rope": 105, "muon": 1}


def test_a_ledger_keeps_versions_apart() -> None:
    """code that went on where other code was interrupted stands after it, with its own calls; what ran not does not"""
    calls = {"rope": 0, "muon": 0, "grpo": 0}
    reference = {part: {"whose": "reference", "file": "", "sha256": "ab"} for part in calls}
    first = Ledger(calls, reference)
    calls |= {"rope": 5, "muon": 1}
    second = Ledger(calls, {**reference, "rope": {"whose": "learner", "file": "", "sha256": "cd"}})
    second.resume(first.cost())
    calls |= {"rope": 8, "muon": 3}
    cost = second.cost()
    assert cost["calls"] == {"rope": 8, "muon": 3, "grpo": 0}
    versions = {part: [(v["whose"], v["sha256"], v["calls"]) for v in found] for part, found in cost["code"].items()}
    assert versions == {
        "rope": [("reference", "ab", 5), ("learner", "cd", 3)],
        "muon": [("reference", "ab", 3)],
        "grpo": [],
    }


def test_a_run_without_models(session: Session) -> None:
    """asking for the model of a stage that has none gives a sentence that says what to do"""
    with pytest.raises(UserError, match=r"has no trained model yet; train it with \./noxw -s d4 -- --tag seed-0\.$"):
        last_stage(session.run)
    with pytest.raises(UserError, match=r"has no checkpoint of the stage sft; train it first\.$"):
        load_model(session.run, "sft", Parts())


def test_a_new_model_follows_from_the_seed(session: Session, tmp_path: Path) -> None:
    """the same seed gives the same weights, another one others"""
    first, again = session.new_model().state_dict(), session.new_model().state_dict()
    other = new_session(tmp_path, 1).new_model().state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["transformer.wte.weight"], other["transformer.wte.weight"])

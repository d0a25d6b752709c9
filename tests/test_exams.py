"""Exams, ChatCORE, pass@k and compression: by hand, by one process and by several."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
import tiktoken
import torch
from rich.console import Console

from reference.data.documents import ListDocuments
from reference.data.hub import Hub
from reference.distributed import ALONE, World
from reference.engine import Completion, Engine, Sampling
from reference.errors import UserError
from reference.evaluate import bits_per_byte, draws, first_k, pass_at_k
from reference.evaluations import evaluations, note
from reference.examination import PROMPTS, Examination
from reference.model import GPT, GPTConfig
from reference.parts import Parts
from reference.run import Run
from reference.sandbox.passing import passing
from reference.tasks.exams import CHANCE, FIVE, chat_core, exams
from reference.tasks.humaneval import humaneval
from reference.tasks.task import Example, Task, exchange
from reference.tokenizer import train_tokenizer
from reference.tokenizer_evaluation import bytes_per_token, compression, peers, samples
from tests.worlds import in_world

PARTS = Parts()
TOKENIZER = train_tokenizer(["How many apples has Tom? A B C D one two three 12"] * 5, 300, PARTS)
QUIET = Console(file=io.StringIO())

# ----------------------------------------------------------------------------------- ChatCORE

MID = {"arc_challenge": 0.2875, "arc_easy": 0.3561, "gsm8k": 0.0250, "humaneval": 0.0671, "mmlu": 0.3111}
SFT = {"arc_challenge": 0.2807, "arc_easy": 0.3876, "gsm8k": 0.0455, "humaneval": 0.0854, "mmlu": 0.3151}


@pytest.mark.parametrize(("published", "score"), [(MID, 0.0730), (SFT, 0.0884)])
def test_the_published_chat_core_is_of_five_exams(published: dict[str, float], score: float) -> None:
    """nanochat's published accuracies of d20 give its published ChatCORE when SpellingBee is left out."""
    assert chat_core(published, FIVE) == pytest.approx(score, abs=5e-5)
    assert chat_core(published) is None, "of six exams one is missing"
    assert chat_core({**published, "spelling_bee": 1.0}) == pytest.approx((5 * score + 1) / 6, abs=5e-5)


def test_chat_core_of_guessing_and_knowing() -> None:
    """0 and 1."""
    assert chat_core(CHANCE) == 0
    assert chat_core(dict.fromkeys(CHANCE, 1.0)) == 1


def test_the_exams_of_the_real_sets(data_dir: Path) -> None:
    """All six on their test splits; one that is missing is named, or left out."""
    tasks, missing = exams(Hub(data_dir, None), lambda program: True)
    sizes = {task.name: len(task) for task in tasks}
    assert sizes == {
        "arc_easy": 2376,
        "arc_challenge": 1172,
        "mmlu": 14042,
        "gsm8k": 1319,
        "humaneval": 164,
        "spelling_bee": 256,
    }
    assert missing == []
    assert [task.name for task in exams(Hub(data_dir, None), lambda program: True, ["gsm8k"])[0]] == ["gsm8k"]


def test_exams_that_are_not_there(tmp_path: Path) -> None:
    """A sentence with the data set and the way around it; a name that is no exam is refused."""
    with pytest.raises(UserError, match=r"allenai/ai2_arc .*; or go without it: --allow-missing"):
        exams(Hub(tmp_path, None), lambda program: True)
    assert exams(Hub(tmp_path, None), lambda program: True, allow_missing=True) == ([], list(CHANCE))
    with pytest.raises(UserError, match="no exam 'latin'; there are arc_easy"):
        exams(Hub(tmp_path, None), lambda program: True, ["latin"])


# ------------------------------------------------------------------------------ by how many


def number_task(count: int, letters: bool = False) -> Task:
    """Even questions are answered with A or "yes" by the stand-in below."""
    examples = [
        Example(exchange(f"q{i}", "x"), "A" if letters and i % 3 else "yes", ("A", "B") if letters else ())
        for i in range(count)
    ]
    return Task("letters" if letters else "words", examples, lambda gold, text: gold == text)


class Yes:
    """An engine whose every completion to an even question is "yes", to an odd one "no"."""

    tokenizer = SimpleNamespace(
        special={"assistant_end": 1, "bos": 0},
        decode=lambda ids: "yes" if ids[0] % 2 == 0 else "no",
        render_prompt=lambda conversation, parts: [int(conversation["messages"][0]["content"][1:])],
    )
    parts = None

    def complete(self, prompts: list[list[int]], sampling: Sampling, samples: int = 1) -> list[list[Completion]]:
        return [[Completion([prompt[0] + 10 + 3 * k], [1]) for k in range(samples)] for prompt in prompts]


def examine(world: World) -> dict[str, torch.Tensor]:
    examination = Examination(Yes(), QUIET, world)  # type: ignore[arg-type]
    right, total = examination.exams([number_task(9)], 5)["words"]
    few = examination.exams([number_task(1)], 5)["words"]
    rates = examination.pass_at_k(number_task(9), Sampling(5), 2)
    values = [*rates["unbiased"].values(), *rates["first_k"].values()]
    return {"counts": torch.tensor([right, total, *few]), "rates": torch.tensor(values)}


@pytest.mark.parametrize("size", [2, 3])
def test_several_processes_count_as_one(size: int, tmp_path: Path) -> None:
    """Each takes every size-th question, also of a task with fewer questions than processes; all know the result."""
    alone = examine(ALONE)
    assert alone["counts"].tolist() == [5, 9, 1, 1]
    assert alone["rates"].tolist() == pytest.approx([1 / 2, 1, 5 / 9, 1])
    for of_rank in in_world(size, examine, tmp_path):
        assert of_rank["counts"].tolist() == alone["counts"].tolist()
        assert of_rank["rates"].tolist() == pytest.approx(alone["rates"].tolist())


def test_any_of_the_first_k() -> None:
    """Simpler than the unbiased estimate, and of the same mean over all orders of the draws."""
    drawn = [False, True, False, True]
    assert [first_k(drawn, k) for k in (1, 2, 3, 4)] == [0, 1, 1, 1]
    orders = list(itertools.permutations(drawn))
    for k in (1, 2, 3, 4):
        assert sum(first_k(order, k) for order in orders) / len(orders) == pytest.approx(pass_at_k(2, 4, k))
    assert draws(Yes(), number_task(2), Sampling(1), 3) == [  # type: ignore[arg-type]
        [True, False, True],
        [False, True, False],
    ]


# ---------------------------------------------------------------------------- bits per byte


@pytest.fixture(scope="module")
def engine() -> Engine:
    model = GPT(GPTConfig(TOKENIZER.vocab_size, 2, 2, 1, 32, 16), PARTS)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.3)
    return Engine(model, TOKENIZER, PARTS)


def test_bits_per_byte_reads_the_split_from_its_beginning(engine: Engine) -> None:
    """So many tokens of it, in batches of any number of rows; validation is not training text."""
    source = ListDocuments("apples", [f"Tom has {i} apples and {i * i} pears" for i in range(60)])
    examination = Examination(engine, QUIET)
    values = [examination.bits_per_byte(source, "train", 16 * 12, rows) for rows in (1, 2, 4)]
    assert values == pytest.approx([values[0]] * 3, rel=1e-4)
    flat = [
        i for text in list(source._splits["train"])[:60] for i in [TOKENIZER.special["bos"], *TOKENIZER.encode(text)]
    ][: 16 * 12 + 1]
    ids, targets = torch.tensor(flat[:-1]).view(12, 16), torch.tensor(flat[1:]).view(12, 16)
    assert values[0] == pytest.approx(bits_per_byte(engine.model, [(ids, targets)], TOKENIZER.token_bytes()), rel=1e-4)
    assert examination.bits_per_byte(source, "val", 16 * 12, 1) != pytest.approx(values[0])


def test_continuations(engine: Engine) -> None:
    """One a prompt, as the greedy engine gives it."""
    said = Examination(engine, QUIET).continuations(4)
    assert tuple(said) == PROMPTS
    prompt = [TOKENIZER.special["bos"], *TOKENIZER.encode(PROMPTS[0])]
    ids = list(prompt)
    while len(ids) < len(prompt) + 4:
        ids.append(int(engine.model(torch.tensor([ids]))[0, -1].argmax()))
    assert said[PROMPTS[0]] == TOKENIZER.decode(ids[len(prompt) :])


# -------------------------------------------------------------------------------- tokenizers


def test_compression() -> None:
    """Bytes, not characters, per token, of every text by every tokenizer."""
    assert bytes_per_token(lambda text: [1, 2], "né한") == 6 / 2
    assert compression({"a": list, "b": lambda text: [0]}, {"x": "abcd", "y": "ab"}) == {  # type: ignore[dict-item]
        "x": {"a": 1.0, "b": 4.0},
        "y": {"a": 1.0, "b": 2.0},
    }


def test_samples_are_of_five_kinds() -> None:
    """Each a few hundred bytes; the code compiles, the Korean is Korean."""
    texts = samples()
    assert list(texts) == ["news", "korean", "code", "math", "science"]
    assert all(300 < len(text.encode()) < 1000 for text in texts.values())
    compile(texts["code"], "sample", "exec")
    assert sum("가" <= char <= "힣" for char in texts["korean"]) > 100


def test_peers_are_there_or_their_absence_is_said() -> None:
    """With a network or tiktoken's files both can be compared; otherwise a sentence says which is left out."""

    def only_gpt2(name: str) -> tiktoken.Encoding:
        if name != "gpt2":
            raise requests.ConnectionError("no network")
        return TOKENIZER._encoding

    found, absent = peers(only_gpt2)
    assert list(found) == ["gpt2"]
    assert found["gpt2"]("12 apples") == TOKENIZER.encode("12 apples")
    assert absent == [
        "GPT-4's tokenizer (cl100k_base) is not on this machine and cannot be fetched, so it is left out."
    ]


# ---------------------------------------------------------------------------------- keeping


def test_results_are_kept_side_by_side(tmp_path: Path) -> None:
    """Of several commands and stages; what is measured again replaces itself alone; run.json is not touched."""
    run = Run.create(tmp_path, "x", {})
    before = (run.path / "run.json").read_bytes()
    assert evaluations(run) == {}
    note(run, "base", core=0.1, core_tasks={"copa": 0.5})
    note(run, "base", bits_per_byte={"val": 0.9})
    note(run, "tokenizer", bytes_per_token={})
    note(run, "base", core=0.2)
    assert evaluations(run) == {
        "base": {"core": 0.2, "core_tasks": {"copa": 0.5}, "bits_per_byte": {"val": 0.9}},
        "tokenizer": {"bytes_per_token": {}},
    }
    assert (run.path / "run.json").read_bytes() == before
    (run.path / "evaluations" / "sft.json").write_text("{")
    with pytest.raises(UserError, match=r"sft\.json is damaged; delete it and evaluate sft again"):
        evaluations(run)


# ------------------------------------------------------------------------ HumanEval, for real


def test_humaneval_in_the_sandbox(data_dir: Path) -> None:
    """The data set's own solutions pass; a stub does not, nor one that loops, eats memory, or leaves early."""
    wrong = [
        "    return None\n",
        "    while True: pass\n",
        "    return 'x' * 10**10\n",
        "    import os; os._exit(0)\n",
        "    raise SystemExit(0)\n",
        "    open('/tmp/trace', 'w')\n",
    ]
    with passing() as passes:
        task = humaneval(Hub(data_dir, None), passes)
        for i in range(0, 164, 41):
            assert task.evaluate(task[i], task[i].conversation["messages"][1]["content"])
        prompt = task[0].conversation["messages"][0]["content"]
        assert [task.evaluate(task[0], prompt + body) for body in wrong] == [False] * len(wrong)

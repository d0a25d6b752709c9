"""CORE's scorers on hand-made cases, against transformers' own loss, and on the real bundle with a model that knows."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor

from reference.core.bundle import CoreTask, fetch_bundle, read_bundle
from reference.core.evaluation import Subject, answers, chosen, core, read_results, write_results
from reference.core.prompts import ordered_items, prompts, shots_of
from reference.core.scorers import Reader, Reading, is_right, read, reader_of, reader_of_transformers
from reference.core.spans import Span, shared_prefix, spans
from reference.data.download import Downloader
from reference.errors import UserError
from reference.model import GPT, GPTConfig
from reference.parts import Parts
from tests.unruly_server import Unruly, serving

BOS = 256
MC, SCHEMA, LM = "multiple_choice", "schema", "language_modeling"


def encode(text: str) -> list[int]:
    return list(text.encode())


# ---------------------------------------------------------------------------------- prompts

CHOICE = {"query": "Two and two?", "choices": ["four", "five"], "gold": 0}
OTHER = {"query": "Up or down? ", "choices": ["up", "down", "so"], "gold": 1}
PRONOUN = {"context_options": ["Ann fell so Ann", "Ann fell so Bob"], "continuation": "cried.", "gold": 0}
WORD = {"context": "  The sky is \n", "continuation": "blue"}
NEXT = {"context": "Grass is", "continuation": "green "}


def test_prompts_of_choices() -> None:
    """One a choice, each whole; the examples before are solved; a blank line between; nothing is trimmed."""
    assert prompts(MC, CHOICE, [], " ") == ["Two and two? four", "Two and two? five"]
    assert prompts(MC, CHOICE, [OTHER], "\nAnswer: ") == [
        "Up or down? \nAnswer: down\n\nTwo and two?\nAnswer: four",
        "Up or down? \nAnswer: down\n\nTwo and two?\nAnswer: five",
    ]


def test_prompts_of_schemata() -> None:
    """One a context, the same end to each."""
    assert prompts(SCHEMA, PRONOUN, [PRONOUN], " ") == [
        "Ann fell so Ann cried.\n\nAnn fell so Ann cried.",
        "Ann fell so Ann cried.\n\nAnn fell so Bob cried.",
    ]


def test_prompts_of_continuations() -> None:
    """Contexts are trimmed, answers are not; the text without its answer ends in no white space."""
    assert prompts(LM, WORD, [], " ") == ["The sky is", "The sky is blue"]
    assert prompts(LM, WORD, [NEXT, WORD], "\nAnswer: ") == [
        "Grass is\nAnswer: green \n\nThe sky is\nAnswer: blue\n\nThe sky is\nAnswer:",
        "Grass is\nAnswer: green \n\nThe sky is\nAnswer: blue\n\nThe sky is\nAnswer: blue",
    ]


def make_task(folder: Path, kind: str, items: list[dict[str, Any]], shots: int = 0, baseline: float = 0.0) -> CoreTask:
    file = folder / f"{kind}.jsonl"
    file.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    return CoreTask(kind, kind, file, shots, " ", baseline)


def test_order_and_shots(tmp_path: Path) -> None:
    """Shuffled with Random(1337), then cut; shots from Random(1234 + number), never the question itself."""
    items = [{"context": f"c{i}", "continuation": "x"} for i in range(50)]
    task = make_task(tmp_path, LM, items, 10)
    expected = list(items)
    Random(1337).shuffle(expected)
    assert ordered_items(task) == ordered_items(task, -1) == expected
    assert ordered_items(task, 20) == expected[:20]
    assert ordered_items(task, 3) == expected[:11], "ten shots need eleven examples"
    for number in (0, 7, 49):
        found = shots_of(expected, number, 10)
        rest = expected[:number] + expected[number + 1 :]
        assert found == Random(1234 + number).sample(rest, 10)
        assert expected[number] not in found


# ------------------------------------------------------------------------------------ spans


def test_the_span_of_a_choice_begins_where_the_choices_differ() -> None:
    """Not where the delimiter ends: a beginning that all choices share decides nothing."""
    first, second, third = spans(MC, ["ab xyz", "ab xw", "ab xyv"], encode, BOS)
    assert [span.ids[0] for span in (first, second, third)] == [BOS] * 3
    assert [bytes(span.ids[span.start : span.stop]) for span in (first, second, third)] == [b"yz", b"w", b"yv"]
    assert first.start == 1 + len("ab x")


def test_the_span_of_a_schema_is_what_all_end_in() -> None:
    """Though it stands at different places."""
    first, second = spans(SCHEMA, ["Ann saw Ann cry.", "Ann saw Bob's cry."], encode, BOS)
    assert [bytes(span.ids[span.start : span.stop]) for span in (first, second)] == [b" cry.", b" cry."]
    assert (first.start, second.start) == (1 + len("Ann saw Ann"), 1 + len("Ann saw Bob's"))
    same = spans(SCHEMA, ["abc", "abc"], encode, BOS)
    assert [(span.start, span.stop) for span in same] == [(1, 4)] * 2, "the bos is judged never: nothing predicts it"


def test_the_span_of_a_continuation_is_the_answer() -> None:
    """With the white space before it, which the shorter text has lost."""
    (span,) = spans(LM, ["The sky is", "The sky is blue"], encode, BOS)
    assert bytes(span.ids[span.start : span.stop]) == b" blue"
    with pytest.raises(UserError, match="'e' is added, so it has none of its own"):
        spans(LM, ["Th", "The"], {"Th": [1], "The": [2]}.__getitem__, BOS)


def test_shared_prefixes() -> None:
    """Of all rows; at most the shortest."""
    assert shared_prefix([[1, 2, 3], [1, 2, 4], [1, 2]]) == 2
    assert shared_prefix([[1, 2], [1, 2]]) == 2
    assert shared_prefix([[1], [2]]) == 0


def test_cropping_keeps_what_is_judged() -> None:
    """The left is cut off and the span moves with it; one token before the judged ones must stay."""
    span = Span([9, 8, 7, 6, 5], 3, 5)
    assert span.cropped(None) == span.cropped(5) == span
    assert span.cropped(3) == Span([7, 6, 5], 1, 3)
    with pytest.raises(UserError, match="An answer of 2 tokens does not fit into the 2"):
        span.cropped(2)


def test_a_model_of_short_sight(tmp_path: Path) -> None:
    """It is given no more tokens than it can read, the last ones."""
    read_at_once = []

    def reader(ids: Tensor, rows: Tensor, positions: Tensor) -> Tensor:
        read_at_once.append(ids.shape[1])
        assert (positions >= 0).all()
        return torch.zeros(len(rows), 257)

    answers(Subject(reader, encode, BOS, longest=12), make_task(tmp_path, LM, ITEMS[LM], 3))
    assert set(read_at_once) == {12}


# ----------------------------------------------------------------------------------- scorers


def bigram(table: Tensor) -> Reader:
    """A model whose next token depends on this one alone, by a table of logits (V, V)."""
    return lambda ids, rows, positions: table[ids[rows, positions]]


def counting(V: int = 12) -> Tensor:
    """After token t comes t + 1, by far: e^8 times as likely as any other."""
    return 8.0 * torch.eye(V).roll(1, dims=1)


@pytest.mark.parametrize(
    ("ids", "start", "exact"),
    [
        ([5, 1, 2, 3, 4], 2, True),
        ([5, 1, 2, 3, 4], 1, False),  # 1 does not follow 5: a span that begins one too late would not see it
        ([1, 2, 3, 4, 9], 2, False),  # 9 does not follow 4: a span that ends one too early would not see it
        ([1, 2, 3, 4, 9], 4, False),
        ([9, 2, 7, 8, 9], 3, True),  # 7 does not follow 2, but is not judged
        ([9, 2, 7, 8, 9], 2, False),
    ],
)
def test_exact_continuations(ids: list[int], start: int, exact: bool) -> None:
    """Exact means that each judged token, the first and the last included, follows the one before it."""
    (reading,) = read(bigram(counting()), [Span(ids, start, len(ids))], 0)
    assert reading.exact is exact
    assert is_right(LM, [reading], 0) is exact


def test_losses_by_hand() -> None:
    """-log p of each judged token after its predecessor, whatever stands beside it in the batch."""
    p = torch.tensor([[0.5, 0.25, 0.125, 0.125], [0.25, 0.25, 0.25, 0.25], [0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.7]])
    several = [Span([0, 1, 2, 0], 1, 3), Span([3, 3], 1, 2), Span([0] * 9, 8, 9), Span([1, 1, 1], 2, 2)]
    expected = [[-math.log(0.25), -math.log(0.25)], [-math.log(0.7)], [-math.log(0.5)], []]
    for batch_tokens in (1, 12, 1000):
        found = read(bigram(p.log()), several, 2, batch_tokens=batch_tokens)
        for reading, losses in zip(found, expected, strict=True):
            assert reading.losses == pytest.approx(losses, rel=1e-6)
    assert read(bigram(p.log()), [several[3]], 2)[0].mean == math.inf


def test_the_lowest_mean_wins() -> None:
    """Not the lowest sum: a long answer is not worse for its length; the first of equals is chosen."""
    long, short = Reading([1.0, 1.0, 1.0], False), Reading([2.0], True)
    assert is_right(MC, [short, long], 1)
    assert is_right(SCHEMA, [long, short], 0)
    assert is_right(MC, [long, long], 0)
    assert not is_right(MC, [long, long], 1)
    assert is_right(MC, [Reading([], True), long], 1), "an answer of no tokens of its own says nothing"


def test_choices_by_a_model_that_counts() -> None:
    """Choices that share their beginning and differ in one token; a schema whose end is likely after one context."""
    table = counting()
    digits = [int(i) for i in "123"]
    two = [Span([0, *digits, 4], 4, 5), Span([0, *digits, 7], 4, 5)]
    assert is_right(MC, read(bigram(table), two, 0), 0)
    assert is_right(MC, read(bigram(table), two[::-1], 0), 1)
    schema = [Span([0, 1, 2, 5, 6], 3, 5), Span([0, 1, 4, 5, 6], 3, 5)]  # 5 and 6 follow 4, not 2
    assert is_right(SCHEMA, read(bigram(table), schema, 0), 1)


# --------------------------------------------------------------------- against transformers


@pytest.fixture(scope="module")
def gpt2() -> Any:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=257, n_positions=96, n_embd=32, n_layer=2, n_head=2, initializer_range=0.3, bos_token_id=BOS
    )
    return transformers.GPT2LMHeadModel(config).eval()


ITEMS: dict[str, list[dict[str, Any]]] = {
    MC: [{"query": f"Q{i}?", "choices": [f"a{i}", "b" * (1 + i % 5), f"a {i * i}"], "gold": i % 3} for i in range(24)],
    SCHEMA: [
        {"context_options": [f"{i} so A", f"{i} so Bob"], "continuation": f"did {i}.", "gold": i % 2} for i in range(24)
    ],
    LM: [{"context": f" {i} and {i + 1} then ", "continuation": f"{i + 2}"} for i in range(24)],
}


@pytest.mark.parametrize("kind", [MC, SCHEMA, LM])
def test_losses_are_those_of_transformers(gpt2: Any, kind: str) -> None:
    """Each span alone, its loss by the library itself, from labels that are -100 where nothing is judged."""
    items = ITEMS[kind]
    several = [
        span
        for i, item in enumerate(items)
        for span in spans(kind, prompts(kind, item, shots_of(items, i, 2), " "), encode, BOS)
    ]
    for reading, span in zip(read(reader_of_transformers(gpt2), several, BOS, batch_tokens=400), several, strict=True):
        ids = torch.tensor([span.ids])
        labels = torch.full_like(ids, -100)
        labels[:, span.start : span.stop] = ids[:, span.start : span.stop]
        with torch.no_grad():
            assert reading.mean == pytest.approx(gpt2(ids, labels=labels).loss.item(), rel=1e-4)
        if reading.exact:
            following = gpt2.generate(ids[:, : span.start], max_new_tokens=1, do_sample=False, pad_token_id=BOS)[0, -1]
            assert following == span.ids[span.start]


@pytest.mark.parametrize("kind", [MC, SCHEMA, LM])
def test_a_task_against_plain_arithmetic(gpt2: Any, kind: str, tmp_path: Path) -> None:
    """GPT-2's class with random weights, the whole way: every answer as one text at a time and plain Python give it."""
    task = make_task(tmp_path, kind, ITEMS[kind], 2)
    subject = Subject(reader_of_transformers(gpt2), encode, BOS, longest=96, batch_tokens=300)
    expected = []
    items = ordered_items(task)
    for i, item in enumerate(items):
        rows = [[BOS, *encode(text)] for text in prompts(kind, item, shots_of(items, i, 2), " ")]
        scored = []
        for row in rows:
            with torch.no_grad():
                logits = gpt2(torch.tensor([row])).logits[0].double()
            nll = [-logits[t - 1].log_softmax(-1)[row[t]].item() for t in range(1, len(row))]  # of row[1], row[2], ...
            best = [int(logits[t - 1].argmax()) == row[t] for t in range(1, len(row))]
            scored.append((row, nll, best))
        if kind == LM:
            expected.append(all(scored[1][2][len(rows[0]) - 1 :]))
        elif kind == MC:
            same = next(t for t in range(99) if len({tuple(row[: t + 1]) for row in rows}) > 1)
            means = [sum(nll[same - 1 :]) / len(nll[same - 1 :]) for _, nll, _ in scored]
            expected.append(means.index(min(means)) == item["gold"])
        else:
            same = len(encode(f" {item['continuation']}"))
            means = [sum(nll[-same:]) / same for _, nll, _ in scored]
            expected.append(means.index(min(means)) == item["gold"])
    assert answers(subject, task) == expected
    ranks = [answers(subject, task, 20, rank, 3) for rank in range(3)]
    assert [ranks[i % 3][i // 3] for i in range(20)] == answers(subject, task, 20)
    if kind != LM:
        assert 0 < sum(expected) < len(expected), "a test of answers that are all alike would prove little"


def test_our_model_reads_as_its_own_forward() -> None:
    """The head on the judged positions alone gives the logits that the whole forward has there."""
    model = GPT(GPTConfig(257, 2, 2, 1, 32, 64), Parts())
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.4)
    several = [span for item in ITEMS[MC] for span in spans(MC, prompts(MC, item, [], " "), encode, BOS)]
    for reading, span in zip(read(reader_of(model), several, BOS), several, strict=True):
        logits = model(torch.tensor([span.ids]))[0]
        losses = [-logits[t - 1].log_softmax(-1)[span.ids[t]].item() for t in range(span.start, span.stop)]
        assert reading.losses == pytest.approx(losses, rel=1e-4)


# -------------------------------------------------------------------------- a model that knows


def knowing(texts: Iterable[str]) -> Reader:
    """Predicts how the text goes on, as long as it is one of these."""
    known = [torch.tensor([BOS, *encode(text), 0]) for text in texts]

    def reader(ids: Tensor, rows: Tensor, positions: Tensor) -> Tensor:
        logits = torch.zeros(len(rows), 257)
        following = {b: [(text, agreement(text, ids[b])) for text in known] for b in set(rows.tolist())}
        for n, (b, t) in enumerate(zip(rows.tolist(), positions.tolist(), strict=True)):
            for text, length in following[b]:
                if t < length:
                    logits[n, text[t + 1]] = 10.0
        return logits

    return reader


def agreement(text: Tensor, row: Tensor) -> int:
    n = min(len(text) - 1, len(row))
    different = (text[:n] != row[:n]).nonzero()
    return int(different[0]) if len(different) else n


def told(task: CoreTask, items: list[dict[str, Any]], right: bool) -> list[str]:
    """The full texts with the right answers, or with wrong ones."""
    texts = []
    for i, item in enumerate(items):
        possible = prompts(task.kind, item, shots_of(items, i, task.shots), task.delimiter)
        gold = item.get("gold", 1)
        if task.kind == LM and not right:
            possible = [possible[0], possible[0] + "\x01" * 9]
        texts.append(possible[gold if right or task.kind == LM else (gold + 1) % len(possible)])
    return texts


@pytest.mark.parametrize("number", range(22))
def test_a_model_that_knows_the_real_bundle(data_dir: Path, number: int) -> None:
    """Told the right answers it has every question right; told wrong ones, none: in each of the 22 tasks."""
    task = read_bundle(data_dir / "eval_bundle")[number]
    items = ordered_items(task, 5)
    assert answers(Subject(knowing(told(task, items, True)), encode, BOS), task, 5) == [True] * 5
    assert answers(Subject(knowing(told(task, items, False)), encode, BOS), task, 5) == [False] * 5


# ------------------------------------------------------------------------- bundle and results


def test_the_bundle_is_the_published_list(data_dir: Path) -> None:
    """22 tasks of three kinds, with their shots, delimiters and the accuracy of guessing."""
    tasks = {task.label: task for task in read_bundle(data_dir / "eval_bundle")}
    assert len(tasks) == 22
    kinds = [task.kind for task in tasks.values()]
    assert [kinds.count(kind) for kind in (MC, SCHEMA, LM)] == [11, 2, 9]
    shots = {label for label, task in tasks.items() if task.shots == 0}
    assert shots == {
        *("hellaswag_zeroshot", "copa", "openbook_qa", "lambada_openai", "winograd", "winogrande", "coqa"),
    }
    assert (tasks["agi_eval_lsat_ar"].shots, tasks["hellaswag"].shots) == (3, 10)
    assert (tasks["boolq"].delimiter, tasks["copa"].delimiter) == ("\nAnswer: ", " ")
    assert tasks["bigbench_language_identification"].baseline == pytest.approx(0.091)
    assert all(len(task.items()) > task.shots or label == "coqa" for label, task in tasks.items())


@pytest.mark.parametrize("size", ["", "-medium", "-large", "-xl"])
def test_published_accuracies_give_the_published_core(data_dir: Path, size: str, tmp_path: Path) -> None:
    """Our centering of GPT-2's published accuracies is the published one, in every task and in all."""
    tasks = read_bundle(data_dir / "eval_bundle")
    published = read_results(data_dir / "eval_bundle" / f"openai-community-gpt2{size}.csv")
    accuracies = {label: accuracy for label, (accuracy, _) in published.items() if accuracy is not None}
    assert len(accuracies) == 22
    for task in tasks:
        assert task.centered(accuracies[task.label]) == pytest.approx(published[task.label][1], abs=2e-6)
    assert core(tasks, accuracies) == pytest.approx(published["CORE"][1], abs=2e-6)
    write_results(tmp_path / "ours.csv", tasks, accuracies)
    assert read_results(tmp_path / "ours.csv").keys() == published.keys()
    theirs = (data_dir / "eval_bundle" / f"openai-community-gpt2{size}.csv").read_text().splitlines()
    ours = (tmp_path / "ours.csv").read_text().splitlines()
    assert [line[:47] for line in ours] == [line[:47] for line in theirs]
    assert [len(line) for line in ours] == [len(line) for line in theirs]


def test_core_needs_every_task(tmp_path: Path) -> None:
    """The mean of centered accuracies; of some tasks alone it would be another number, so there is none."""
    tasks = [make_task(tmp_path, kind, ITEMS[kind], baseline=b) for kind, b in ((MC, 0.25), (SCHEMA, 0.5))]
    assert core(tasks, {MC: 0.25, SCHEMA: 0.5}) == 0
    assert core(tasks, {MC: 1.0, SCHEMA: 0.4}) == pytest.approx((1 - 0.2) / 2)
    assert core(tasks, {MC: 1.0}) is None
    write_results(tmp_path / "some.csv", tasks, {MC: 1.0})
    assert read_results(tmp_path / "some.csv") == {MC: (1.0, 1.0)}
    (tmp_path / "some.csv").write_text("Task\nnonsense")
    assert chosen(tasks, []) == tasks
    assert chosen(tasks, [SCHEMA]) == tasks[1:]
    with pytest.raises(UserError, match=r"no task 'copa'; there are multiple_choice, schema\."):
        chosen(tasks, [SCHEMA, "copa"])
    with pytest.raises(UserError, match="no table of results"):
        read_results(tmp_path / "some.csv")


def zipped(files: dict[str, str]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def test_fetching_the_bundle(tmp_path: Path) -> None:
    """Unpacked whole, wherever core.yaml lies within, and nothing outside; a second call fetches nothing."""
    good = zipped({"eval_bundle/core.yaml": "x", "eval_bundle/eval_data/a.jsonl": "y", "../../outside": "z"})
    downloader = Downloader(attempts=2, backoff=0.001)
    with serving(Unruly({"/b.zip": good, "/none.zip": zipped({"a": "b"}), "/bad.zip": b"PK no"})) as server:
        for _ in range(2):
            fetch_bundle(tmp_path / "in" / "bundle", f"{server.url}/b.zip", downloader)
        assert server.asked == [("/b.zip", None)]
        with pytest.raises(UserError, match=r"holds no core\.yaml"):
            fetch_bundle(tmp_path / "other", f"{server.url}/none.zip", downloader)
        with pytest.raises(UserError, match="not a zip archive"):
            fetch_bundle(tmp_path / "another", f"{server.url}/bad.zip", downloader)
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {"in/bundle/core.yaml", "in/bundle/eval_data/a.jsonl"} <= found
    assert not (tmp_path / "outside").exists()
    assert not (tmp_path / "other").exists()


def test_a_bundle_that_is_not_there(tmp_path: Path) -> None:
    """Named in one sentence: the bundle, or the task whose file is missing, damaged or too short."""
    with pytest.raises(UserError, match="There is no evaluation bundle in"):
        read_bundle(tmp_path)
    (tmp_path / "core.yaml").write_text("icl_tasks: [{label: x}]")
    (tmp_path / "eval_meta_data.csv").write_text("Eval Task,Random baseline\nx,25\n")
    with pytest.raises(UserError, match="is damaged"):
        read_bundle(tmp_path)
    task = make_task(tmp_path, MC, ITEMS[MC], 30)
    with pytest.raises(UserError, match="holds 24 examples, too few for 30 shots"):
        task.items()
    task.file.write_text(json.dumps(CHOICE) + "\n" + json.dumps(WORD))
    with pytest.raises(UserError, match=r"Line 2 of .* is damaged"):
        task.items()
    task.file.unlink()
    with pytest.raises(UserError, match="The task multiple_choice has no"):
        task.items()

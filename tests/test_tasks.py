"""Every task on rows of ours and on the real data: prompts, checks, slices, and that tests never meet training."""

from __future__ import annotations

import ast
import io
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from reference.data.hub import Hub, Missing
from reference.errors import UserError
from reference.tasks.gsm8k import gsm8k
from reference.tasks.humaneval import Judge, code_of, humaneval, imports_of
from reference.tasks.multiple_choice import arc, mmlu
from reference.tasks.overlap import asked, questions, without
from reference.tasks.smoltalk import smoltalk
from reference.tasks.spelling import TEST_SEEDS, read_words, rng_of, simple_spelling, words_of_split
from reference.tasks.spelling_bee import answer, spelling_bee
from reference.tasks.task import Task

WORDS = [f"{a}{b}{c}" for a in "bcdfg" for b in "aeiou" for c in ("ll", "tter", "rry", "n")]


def hub_of(*rows: dict[str, Any]) -> Hub:
    """A hub whose every data set has these rows."""
    return Hub(Path("nowhere"), lambda *name: pa.Table.from_pylist(list(rows)))


def question_of(task: Task, i: int) -> str:
    return task[i].conversation["messages"][0]["content"]


def runs(program: str) -> bool:
    """Only for programs that stand in this file or in the data set: nothing a model wrote."""
    try:
        with redirect_stdout(io.StringIO()):
            exec(program, {})
    except Exception:
        return False
    return True


# ------------------------------------------------------------------------------------ slices


def test_slices_of_a_task_equal_its_parent() -> None:
    """start:stop:step of a task are the examples at start, start + step, ...; there are ceil((stop - start) / step)."""
    task = spelling_bee(WORDS, 40, "train")
    for start, stop, step in [(0, 40, 1), (3, 38, 4), (39, 40, 7), (5, 5, 1)]:
        part = task[start:stop:step]
        assert len(part) == -(-(stop - start) // step)
        assert [part[i] for i in range(len(part))] == [task[i] for i in range(start, stop, step)]
    assert (part.name, part.check) == (task.name, task.check)
    assert list(task.conversations) == [example.conversation for example in task.examples]


def test_kinds_checks_and_rewards() -> None:
    """Letters make a task categorical; a completion earns 1 when the check says so, else 0."""
    choice = mmlu(hub_of({"question": "q", "choices": list("wxyz"), "answer": 2, "subject": ""}), "test")
    assert (choice.kind, choice.evaluate(choice[0], "C"), choice.reward(choice[0], "A")) == ("categorical", True, 0.0)
    written = gsm8k(hub_of({"question": "q", "answer": "<<1+1=2>>2\n#### 2"}), "test")
    assert (written.kind, written.reward(written[0], "so #### 2")) == ("generative", 1.0)


# ----------------------------------------------------------------------------- multiple choice


def test_mmlu_prompt() -> None:
    """Options before their letters, no space between, so that the letter is the token that the answer is."""
    row = {"question": "How many?", "choices": ["one", "two", "= 3", ""], "answer": 1, "subject": "sums"}
    for wrapped in (row, {"train": row}, {**row, "train": None}):
        task = mmlu(hub_of(wrapped), "auxiliary_train")
        lines = question_of(task, 0).splitlines()
        assert lines[1:6] == ["How many?", "- one=A", "- two=B", "- = 3=C", "- =D"]
        assert task[0].conversation["messages"][1] == {"role": "assistant", "content": "B"}
        assert (task[0].gold, task[0].letters) == ("B", ("A", "B", "C", "D"))


@pytest.mark.parametrize("labels", [list("ABCD"), list("1234"), list("ABC"), list("ABCDE")])
def test_arc_labels(labels: list[str]) -> None:
    """Labels are those of the question, whatever they are, and so is the answer."""
    choices = {"text": [f"option {label}" for label in labels], "label": labels}
    task = arc(hub_of({"id": "1", "question": "q", "choices": choices, "answerKey": labels[1]}), "easy", "test")
    assert (task[0].letters, task[0].gold) == (tuple(labels), labels[1])
    assert f"- option {labels[2]}={labels[2]}" in question_of(task, 0).splitlines()
    assert task.evaluate(task[0], labels[1])
    assert not task.evaluate(task[0], labels[0])


def test_repeated_questions_are_left_out() -> None:
    """A question is the same in other case, with other marks, or with its options in another order."""
    row = {"question": "How many?", "choices": list("wxyz"), "answer": 1, "subject": ""}
    others = [{**row, "question": "how  many", "choices": list("zyxw")}, {**row, "question": "How much?"}, row]
    left = without(mmlu(hub_of(*others), "auxiliary_train"), questions([mmlu(hub_of(row), "test")]))
    assert [asked(example) for example in left.examples] == ["choose the right option how much"]


# ---------------------------------------------------------------------------------- HumanEval

PROMPT = 'from typing import List\nimport math\n\n\ndef double(x: int) -> int:\n    """Twice x."""\n'
TEST = "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(0) == 0\n"
ROW = {
    "task_id": "HumanEval/0",
    "prompt": PROMPT,
    "canonical_solution": "    return 2 * x\n",
    "test": TEST,
    "entry_point": "double",
}
RIGHT = "def double(x):\n    return math.floor(2.0 * x)"


@pytest.mark.parametrize(
    ("completion", "right"),
    [
        (RIGHT, True),
        (f"Here it is:\n```python\n{RIGHT}\n```\nand so on", True),
        (f"```\n{RIGHT}\n```\n```python\ndef double(x): return 0\n```", True),
        (f"```python\n{RIGHT}", True),
        (f"{RIGHT}\n```", False),
        (f"Here it is: {RIGHT}", False),
        ("def double(x):\n    return x", False),
        ("def twice(x):\n    return 2 * x", False),
        ("", False),
    ],
)
def test_humaneval_completions(completion: str, right: bool) -> None:
    """The first fenced block counts, or else all of it, after the prompt's imports and before the tests."""
    task = humaneval(hub_of(ROW), runs)
    assert task.evaluate(task[0], completion) is right


def test_humaneval_runs_one_program() -> None:
    """The program is handed over as text; nothing is run but by `passes`."""
    programs = []

    def passes(program: str) -> bool:
        programs.append(program)
        return True

    task = humaneval(hub_of(ROW), passes)
    assert task.evaluate(task[0], "x = 1")
    assert programs == [f"from typing import List\nimport math\n\nx = 1\n\n{TEST}\n\ncheck(double)\n"]
    assert question_of(task, 0) == PROMPT


def test_imports_are_those_before_the_code() -> None:
    """Not the ones within functions or after them."""
    assert imports_of("\n# first\nimport a\nfrom b import (c)\n\nimport d\ndef f():\n    import e\nimport g") == (
        "import a\nfrom b import (c)\nimport d"
    )
    assert imports_of("def f():\n    pass") == ""
    assert code_of("no fence") == "no fence"


# ----------------------------------------------------------------------------------- spelling


def test_words_are_divided() -> None:
    """One word in ten is for testing, none is in both splits, the order does not depend on the file's."""
    train, test = words_of_split(WORDS, "train"), words_of_split(WORDS, "test")
    assert (len(train), len(test)) == (90, 10)
    assert sorted(train + test) == sorted(WORDS)
    assert words_of_split(WORDS[::-1] + WORDS, "train") == train


def test_seeds_of_the_splits_never_meet() -> None:
    """Python seeds with |n|, so -(i + 1) would be a seed of train's; ours are added, and an index too large refused."""
    assert rng_of("train", 5).random() == rng_of("train", 5).random()
    assert TEST_SEEDS == 10_000_000
    drawn = {split: {rng_of(split, i).random() for i in range(2000)} for split in ("train", "test")}
    assert len(drawn["train"] | drawn["test"]) == 4000
    for index in (-1, TEST_SEEDS):
        with pytest.raises(ValueError, match="an index should lie in"):
            rng_of("train", index)
    with pytest.raises(ValueError, match="at most 10,000,000 questions"):
        spelling_bee(WORDS, TEST_SEEDS + 1, "train")


@pytest.mark.parametrize(("word", "letter"), [("strawberry", "r"), ("a", "a"), ("kayak", "z"), ("ll", "l")])
def test_a_bees_answer_is_right(word: str, letter: str) -> None:
    """The running count, the tool's code and its output, and the final number all say word.count(letter)."""
    text, code, output, end = (part["text"] for part in answer(word, letter))
    assert f"\n{word}:{','.join(word)}\n" in text
    lines = [line for line in text.splitlines() if line[:1].isdigit()]
    assert [line.split(":")[0] for line in lines] == [str(i + 1) for i in range(len(word))]
    assert "".join(line.split(":")[1][0] for line in lines) == word
    assert [line.split()[-1] for line in lines if "that is" in line] == [str(i + 1) for i in range(word.count(letter))]
    assert eval(code) == int(output) == word.count(letter)
    assert end.endswith(f"#### {word.count(letter)}")


def test_bees_are_varied_and_reproducible() -> None:
    """Question i is always the same; nine letters of ten are in the word; wordings, quotes and case differ."""
    task = spelling_bee(WORDS, 2000, "train")
    assert task[7] == spelling_bee(WORDS, 8, "train")[7]
    present = [example.gold != "#### 0" for example in task.examples]
    assert 0.88 < sum(present) / 2000 < 0.96
    questions = [question_of(task, i) for i in range(2000)]
    assert len(set(questions)) > 1900
    assert 0.4 < sum(question.endswith("?") for question in questions) / 2000 < 0.6
    assert any('"' in question for question in questions)
    assert task.evaluate(task[7], "".join(part["text"] for part in answer("strawberry", "r"))) is (
        task[7].gold == "#### 3"
    )


def test_simple_spelling() -> None:
    """Every word of the split once, then again; the answer is the word, a colon, its letters with commas."""
    task = simple_spelling(WORDS, 25, "test")
    asked = [question_of(task, i).split()[-1] for i in range(25)]
    assert sorted(asked[:10]) == sorted(words_of_split(WORDS, "test"))
    assert asked[10:20] == asked[:10]
    assert task[0].conversation["messages"][1]["content"] == f"{asked[0]}:{','.join(asked[0])}"
    assert task.evaluate(task[0], f" {asked[0]}:{','.join(asked[0])}\n")
    assert not task.evaluate(task[0], asked[0])


def test_word_lists(tmp_path: Path) -> None:
    """One word a line, in any line ends; a list that is missing, too short or not text is named."""
    file = tmp_path / "words.txt"
    with pytest.raises(Missing, match=r"no word list at .*words\.txt; fetch it with"):
        read_words(file)
    file.write_bytes("\r\n".join(WORDS).encode())
    assert read_words(file) == WORDS
    file.write_text("one\ntwo")
    with pytest.raises(UserError, match="holds 2 words"):
        read_words(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="UTF-8"):
        read_words(file)


# ------------------------------------------------------------------------------- the real data


@pytest.fixture(scope="module")
def hub(data_dir: Path) -> Hub:
    return Hub(data_dir, None)


REAL: dict[str, tuple[int, Callable[[Hub], Task]]] = {
    "mmlu auxiliary_train": (1218, lambda hub: mmlu(hub, "auxiliary_train")),
    "mmlu test": (14042, lambda hub: mmlu(hub, "test")),
    "arc easy train": (2251, lambda hub: arc(hub, "easy", "train")),
    "arc easy test": (2376, lambda hub: arc(hub, "easy", "test")),
    "arc challenge train": (1119, lambda hub: arc(hub, "challenge", "train")),
    "arc challenge test": (1172, lambda hub: arc(hub, "challenge", "test")),
    "gsm8k train": (7473, lambda hub: gsm8k(hub, "train")),
    "gsm8k test": (1319, lambda hub: gsm8k(hub, "test")),
    "humaneval test": (164, lambda hub: humaneval(hub, runs)),
}


@pytest.mark.parametrize("name", REAL)
def test_real_examples(hub: Hub, name: str) -> None:
    """Every row becomes one exchange; its own answer is right, and an empty one is not."""
    count, make = REAL[name]
    task = make(hub)
    assert len(task) == count
    for example in task.examples[:: 1 if name != "humaneval test" else 8]:
        asked, answered = example.conversation["messages"]
        content = answered["content"]
        said = content if isinstance(content, str) else "".join(part["text"] for part in content)
        assert asked["content"].strip()
        assert task.evaluate(example, said)
        assert not task.evaluate(example, "")
        if task.kind == "categorical":
            assert example.gold in example.letters
            assert len(set(example.letters)) == len(example.letters) >= 3
    if name.startswith("arc"):
        assert {example.letters[0] for example in task.examples} == {"A", "1"}


def test_train_and_test_share_questions_but_no_words(hub: Hub) -> None:
    """28 real rows to train on ask what a real test asks, which is why mixtures leave some out; no word is in both."""
    held_out = questions(make(hub) for name, (_, make) in REAL.items() if "test" in name)
    raw = [make(hub) for name, (_, make) in REAL.items() if "train" in name]
    assert sum(asked(example) in held_out for task in raw for example in task.examples) == 28
    words = read_words(hub.root / "words" / "words_alpha.txt")
    assert not set(words_of_split(words, "train")) & set(words_of_split(words, "test"))


def test_conversations_with_the_columns_of_smoltalk(hub: Hub) -> None:
    """The stand-in's rows become conversations: roles and strings."""
    found = smoltalk(hub, "train", "extra/chat_standin")
    assert len(found) == 896
    for conversation in found:
        assert [message["role"] for message in conversation["messages"][:2]] == ["user", "assistant"]
        assert all(isinstance(message["content"], str) for message in conversation["messages"])


def test_humaneval_prompts_have_only_the_imports_kept(hub: Hub) -> None:
    """On every prompt: what `imports_of` keeps are the import statements of its module level."""
    for example in humaneval(hub, runs).examples:
        prompt = example.conversation["messages"][0]["content"]
        kept = [ast.unparse(node) for node in ast.parse(prompt).body if isinstance(node, ast.Import | ast.ImportFrom)]
        assert isinstance(example.gold, Judge)
        assert [ast.unparse(node) for node in ast.parse(example.gold.imports).body] == kept

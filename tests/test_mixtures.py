"""What mid and sft train on: every conversation once, by known counts, and a sentence for what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from reference.data.hub import Hub, Missing
from reference.errors import UserError
from reference.parts import Parts
from reference.stages.mixtures import mid_mixture, mid_validation, sft_mixture, sft_validation
from reference.tasks.gsm8k import gsm8k
from reference.tasks.humaneval import humaneval
from reference.tasks.identity import conversations, read_persona
from reference.tasks.multiple_choice import arc, mmlu
from reference.tasks.overlap import asked, questions
from reference.tasks.spelling import read_words, simple_spelling
from reference.tasks.spelling_bee import spelling_bee
from reference.tasks.task import Example
from reference.tokenizer import train_tokenizer

IDENTITY = list(conversations(read_persona(), 30))


def made_up(name: str, config: str, split: str) -> pa.Table:
    """Twelve rows of every set, in its columns; every question names its set, split and number."""

    def row(i: int) -> dict[str, Any]:
        question = f"{name} {config} {split} {i}"
        if "arc" in name:
            return {"question": question, "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "A"}
        if "mmlu" in name:
            return {"question": question, "choices": list("wxyz"), "answer": 3, "subject": ""}
        if "gsm8k" in name:
            return {"question": question, "answer": "#### 1"}
        if "smol" in name:
            return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": "Yes."}]}
        raise LookupError(f"no {name}")

    return pa.Table.from_pylist([row(i) for i in range(12)])


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "words_alpha.txt").write_text("\n".join(f"w{i}" for i in range(100)))
    return Hub(tmp_path, made_up)


def test_mid_holds_every_set_once_and_identity_twice(hub: Hub) -> None:
    """The counts are those of the sets; conversations come mixed, the same way every time."""
    mixture = mid_mixture(hub, IDENTITY)
    assert mixture.sizes == {
        "smoltalk": 12,
        "mmlu_auxiliary": 12,
        "gsm8k": 12,
        "identity": 30,
        "identity_again": 30,
        "simple_spelling": 200_000,
        "spelling_bee": 80_000,
    }
    assert (len(mixture.conversations), mixture.missing) == (280_096, ())
    few = mid_mixture(hub, IDENTITY, at_most=12)
    found = [json.dumps(conversation) for conversation in few.conversations]
    assert len(found) == 7 * 12
    assert all(found.count(json.dumps(conversation)) == 2 for conversation in IDENTITY[:12])
    assert found == [json.dumps(conversation) for conversation in mid_mixture(hub, IDENTITY, at_most=12).conversations]
    assert {"cais/mmlu all auxiliary_train", "openai/gsm8k main train"} <= {kind_of(text) for text in found}


def kind_of(text: str) -> str:
    return next((f"{n} {c} {s}" for n, c, s in SETS if f"{n} {c} {s}" in text), "")


SETS = [
    ("HuggingFaceTB/smol-smoltalk", "default", "train"),
    ("cais/mmlu", "all", "auxiliary_train"),
    ("openai/gsm8k", "main", "train"),
    ("allenai/ai2_arc", "ARC-Easy", "train"),
    ("allenai/ai2_arc", "ARC-Challenge", "train"),
]


def test_sft_holds_the_exams_own_training_rows(hub: Hub) -> None:
    """ARC in place of MMLU, little spelling; no row of a test split is among them."""
    mixture = sft_mixture(hub, IDENTITY)
    assert mixture.sizes == {
        "arc_easy": 12,
        "arc_challenge": 12,
        "gsm8k": 12,
        "smoltalk": 12,
        "identity": 30,
        "simple_spelling": 300,
        "spelling_bee": 300,
    }
    text = json.dumps(list(mixture.conversations))
    for name in ("ARC-Easy train 11", "ARC-Challenge train 0", "main train 3", "default train 7"):
        assert name in text
    assert " test " not in text


def test_validation_is_of_test_splits(hub: Hub) -> None:
    """Nothing of it is trained on."""
    assert mid_validation(hub).sizes == {"smoltalk": 12, "mmlu": 12, "gsm8k": 12}
    assert sft_validation(hub).sizes == {"smoltalk": 12}
    for mixture in (mid_validation(hub), sft_validation(hub)):
        assert all(" test " in conversation["messages"][0]["content"] for conversation in mixture.conversations)


def test_a_missing_set_is_named_or_left_out(hub: Hub) -> None:
    """Without a set training does not begin, unless that is allowed; then what is left out is known."""

    def without_arc(name: str, config: str, split: str) -> pa.Table:
        if "arc" in name:
            raise ConnectionError("no network")
        return made_up(name, config, split)

    poor = Hub(hub.root, without_arc)
    with pytest.raises(UserError, match=r"allenai/ai2_arc \(ARC-Easy, train\) .*; or train without it") as error:
        sft_mixture(poor, IDENTITY)
    assert not isinstance(error.value, Missing)
    mixture = sft_mixture(poor, IDENTITY, allow_missing=True)
    assert mixture.missing == ("arc_easy", "arc_challenge")
    assert len(mixture.conversations) == 12 + 12 + 30 + 600
    (hub.root / "words" / "words_alpha.txt").unlink()
    with pytest.raises(UserError, match=r"no word list at .*words_alpha\.txt"):
        mid_mixture(hub, IDENTITY)
    assert mid_mixture(hub, IDENTITY, allow_missing=True).missing == ("simple_spelling", "spelling_bee")


def test_real_mixtures(data_dir: Path) -> None:
    """Of what is there: the known counts, none of all that a test asks, and every sampled one can be rendered."""
    hub, parts = Hub(data_dir, None), Parts()
    with pytest.raises(UserError, match="HuggingFaceTB/smol-smoltalk"):
        mid_mixture(hub, IDENTITY)
    mid, sft = mid_mixture(hub, IDENTITY, True, at_most=8_000), sft_mixture(hub, IDENTITY, allow_missing=True)
    validation = mid_validation(hub, allow_missing=True)
    assert mid.missing == sft.missing == validation.missing == ("smoltalk",)
    assert (mid.sizes["mmlu_auxiliary"], mid.sizes["gsm8k"]) == (1218 - 11, 7473)
    assert (sft.sizes["arc_easy"], sft.sizes["arc_challenge"]) == (2251 - 10, 1119 - 7)
    assert validation.sizes == {"mmlu": 5200, "gsm8k": 420}
    words = read_words(hub.root / "words" / "words_alpha.txt")
    tests = [arc(hub, "easy", "test"), arc(hub, "challenge", "test"), mmlu(hub, "test"), gsm8k(hub, "test")]
    tests += [task(words, 500, "test") for task in (spelling_bee, simple_spelling)]
    held_out = questions([*tests, humaneval(hub, bool)])
    for mixture in (mid, sft):
        assert len(mixture.conversations) > 10_000
        assert not [said for said in mixture.conversations if asked(Example(said, None)) in held_out]
    tokenizer = train_tokenizer(["Choose the right option. How many are in the word?"], 300, parts)
    for mixture in (mid, sft, validation):
        for conversation in mixture.conversations[::997]:
            ids, mask = tokenizer.render(conversation, parts)
            assert len(ids) == len(mask)
            assert any(mask)

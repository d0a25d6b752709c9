"""The commands that fetch, make and evaluate, on a tiny run: what they say and keep, and what they refuse."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from reference.checkpoint import save_checkpoint
from reference.cli import main
from reference.core.evaluation import read_results
from reference.evaluations import evaluations
from reference.export import export
from reference.model import GPT, GPTConfig
from reference.parts import Parts
from reference.run import Run
from reference.tasks.conversations import read_conversations
from reference.tokenizer import train_tokenizer

PARTS = Parts()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the commands run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(home: Path) -> Run:
    """A run of which all stages have the same model, of random weights."""
    run = Run.create(home / "runs", "tiny", {"preset": "d4", "seed": 0, "data": str(home / "text"), "settings": {}})
    tokenizer = train_tokenizer(["Question: which one is it?\nAnswer: A B C D, 12 and 30"], 300, PARTS)
    tokenizer.save(run.path / "tokenizer" / "tokenizer.json")
    model = GPT(GPTConfig(tokenizer.vocab_size, 1, 2, 2, 16, 2048), PARTS)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator))
    run.mark_complete("tokenizer")
    for stage in ("base", "sft"):
        save_checkpoint(run.stage_dir(stage), 7, {"model": model.state_dict()}, {"config": asdict(model.config)})
        run.mark_complete(stage)
    (home / "text").mkdir()
    for i in range(3):
        pq.write_table(
            pa.table({"text": [f"Text {i} {j}: it is so." for j in range(30)]}), home / "text" / f"{i}.parquet"
        )
    return run


def status(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


def test_base_loss(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Bits per byte of both splits and the continued sentences are said and kept; 0 and less turn either off."""
    main(["base-loss", "--tokens", "4096", "--rows", "1", "--samples", "3"])
    said = capsys.readouterr().out
    kept = evaluations(run)["base"]
    assert f"bits per byte, val: {kept['bits_per_byte']['val']:.4f}" in said
    assert kept["bits_per_byte"]["train"] > 1
    assert len(kept["samples"]) == 7
    main(["base-loss", "--tokens", "-1", "--samples", "0", "--stage", "sft"])
    assert "sft" not in evaluations(run)


def test_tok_eval(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Every text has a line."""
    main(["tok-eval", "--tag", "tiny"])
    said = capsys.readouterr().out
    kept = evaluations(run)["tokenizer"]["bytes_per_token"]
    assert list(kept) == ["news", "korean", "code", "math", "science", "train", "val"]
    assert all(f" {title} " in said and f"{row['ours']:.2f}" in said for title, row in kept.items())


def test_base_eval(run: Run, data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three tasks of each kind: a line each, a table, a CSV file named by the step; no CORE of some tasks alone."""
    labels = ["copa", "winograd", "lambada_openai"]
    only = [word for label in labels for word in ("--only", label)]
    main(["base-eval", "--data", str(data_dir), "--max-per-task", "6", *only])
    said = capsys.readouterr().out
    file = run.path / "base_eval" / "base_model_000007.csv"
    results = read_results(file)
    assert str(file.relative_to(Path.cwd())) in said
    assert results.keys() == set(labels)
    assert "CORE" not in said
    kept = evaluations(run)["base"]
    assert kept["core"] is None
    assert kept["core_tasks"] == {label: pytest.approx(results[label][0], abs=1e-6) for label in kept["core_tasks"]}
    assert "gpt2-xl" in said


def test_the_same_model_by_transformers(run: Run, data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run's model exported and read by the transformers library answers every question as it does by our code."""
    pytest.importorskip("transformers")
    only = ["--max-per-task", "12", "--data", str(data_dir)]
    only += ["--only", "copa", "--only", "winogrande", "--only", "openbook_qa", "--only", "piqa"]
    main(["base-eval", *only])
    ours = [line.split("  (")[0] for line in capsys.readouterr().out.splitlines() if " of " in line]
    folder = export(run, "base", Path("exported"))
    main(["base-eval", "--transformers", str(folder), *only])
    theirs = [line.split("  (")[0] for line in capsys.readouterr().out.splitlines() if " of " in line]
    assert ours == theirs
    assert len(ours) == 4


def test_chat_eval(run: Run, data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exams of the last stage, ChatCORE only when all are there, and pass@k both ways."""
    few = ["--data", str(data_dir), "--max-per-task", "4", "--max-tokens", "3"]
    main(["chat-eval", *few, "--samples", "2", "--sampled-problems", "3"])
    said = capsys.readouterr().out
    kept = evaluations(run)["sft"]
    assert {name: counts["total"] for name, counts in kept["exams"].items()} == dict.fromkeys(
        ("arc_easy", "arc_challenge", "mmlu", "gsm8k", "humaneval", "spelling_bee"), 4
    )
    assert f"ChatCORE {kept['chat_core']:.4f}, of six exams" in said
    assert kept["pass_at_k"] == {kind: {"1": 0.0, "2": 0.0} for kind in ("unbiased", "first_k")}
    main(["chat-eval", *few, "--only", "mmlu", "--stage", "base"])
    assert "ChatCORE" not in capsys.readouterr().out
    assert evaluations(run)["base"]["chat_core"] is None


def test_chat_eval_without_some_sets(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """A set that is missing is one sentence; or it is left out, which is said."""
    words = Path("words") / "words_alpha.txt"
    words.parent.mkdir()
    words.write_text("\n".join(f"word{i}" for i in range(99)))
    (Path("openai") / "gsm8k" / "main").mkdir(parents=True)
    rows = pa.table({"question": ["One and one?"] * 3, "answer": ["#### 2"] * 3})
    pq.write_table(rows, Path("openai") / "gsm8k" / "main" / "test-00000-of-00001.parquet")
    assert status("chat-eval", "--data", ".", "--only", "latin") == 2
    assert "no exam 'latin'" in capsys.readouterr().err
    main(["chat-eval", "--data", ".", "--only", "gsm8k", "--only", "spelling_bee", "--max-tokens", "2"])
    assert evaluations(run)["sft"]["exams"]["gsm8k"] == {"correct": 0, "total": 3}


@pytest.mark.parametrize("everything", ["0", "-1"])
def test_no_limits_to_an_exam(run: Run, everything: str, capsys: pytest.CaptureFixture[str]) -> None:
    """0 or less is all problems, and answers as long as the model's rows allow."""
    (Path("openai") / "gsm8k" / "main").mkdir(parents=True)
    rows = pa.table({"question": ["One?", "Two?", "Three?"], "answer": ["#### 1", "#### 2", "#### 3"]})
    pq.write_table(rows, Path("openai") / "gsm8k" / "main" / "test-00000-of-00001.parquet")
    limits = ("--max-per-task", "--max-tokens", "--sampled-problems")
    off = [word for limit in limits for word in (limit, everything)]
    main(["chat-eval", "--data", ".", "--only", "gsm8k", "--samples", "1", *off])
    assert evaluations(run)["sft"]["exams"]["gsm8k"]["total"] == 3
    assert evaluations(run)["sft"]["pass_at_k"]["unbiased"].keys() == {"1"}


def test_identity(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of conversations; of a persona that cannot be used, a sentence and no file."""
    main(["identity", "-n", "20", "--out", "who.jsonl"])
    assert len(read_conversations(Path("who.jsonl"))) == 20
    capsys.readouterr()
    Path("persona.yaml").write_text("name: x")
    assert status("identity", "--persona", "persona.yaml", "--out", "other.jsonl") == 2
    assert "cannot be used" in capsys.readouterr().err
    assert not Path("other.jsonl").exists()


def test_data_of_a_folder(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Shards from a local copy; without anything to fetch, a sentence."""
    main(["data", "-n", "1", "--source", str(data_dir / "base_data"), "--data", "there"])
    assert sorted(file.name for file in Path("there/base_data").glob("*.parquet")) == [
        "shard_00000.parquet",
        "shard_00002.parquet",
    ]
    capsys.readouterr()
    assert status("data") == 2
    assert capsys.readouterr().err.startswith("Say what to fetch")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["base-loss", "--tag", "none"], "There is no run 'none'"),
        (["tok-eval", "--tag", "none"], "There is no run 'none'"),
        (["base-eval", "--data", "nowhere"], "There is no evaluation bundle in nowhere/eval_bundle; fetch it"),
        (["base-eval", "--stage", "rl", "--data", "."], "no checkpoint of the stage rl"),
        (["base-eval", "--transformers", "no/such/model", "--data", "b", "--only", "x"], "no evaluation bundle in b"),
        (["base-loss", "--rows", "0"], "0 is not in the range"),
        (["base-loss", "--data", "nowhere"], "There is no data at nowhere/base_data"),
        (["data", "-n", "1", "--source", "nowhere", "--out", "x"], "The folder nowhere does not hold"),
        (["data", "-n", "1", "--shards-in-all", "1"], "1 is not in the range"),
    ],
)
def test_refusals(run: Run, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    """One sentence on standard error, status 2, and nothing is kept."""
    capsys.readouterr()
    assert status(*arguments) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert evaluations(run) == {}


@pytest.mark.parametrize("command", [["base-loss"], ["base-eval", "--data", "."], ["chat-eval"], ["chat", "-p", "Hi"]])
def test_another_tokenizer(run: Run, capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    """A model is not asked through a tokenizer that it was not trained with."""
    train_tokenizer(["something else, and shorter"], 270, PARTS).save(run.path / "tokenizer" / "tokenizer.json")
    assert status(*command) == 2
    assert "tokens, but its tokenizer has 270; put the tokenizer back" in capsys.readouterr().err


def test_every_command_has_its_help() -> None:
    """Every option of every command says what it does."""
    for name, command in main.commands.items():
        assert command.help, name
        for option in command.params:
            assert getattr(option, "help", "there"), (name, option.name)
    assert {"data", "identity", "tok-eval", "base-loss", "base-eval", "chat-eval"} <= main.commands.keys()

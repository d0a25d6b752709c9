"""The command line: every bad input is one sentence, status 2, and nothing lost or made."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reference.run import Run
from tests.cli.commands import leave, refuse

# ------------------------------------------------------------------------------ words that do not exist


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["d4", "--sed", "1"], ["No such option", "d4 --help"]),
        (["d4", "--seed"], ["--seed", "requires an argument; see reference --help"]),
        (["d4", "--seed", "-1"], ["--seed", "-1 is not in the range"]),
        (["d4", "--seed", str(2**32)], ["--seed", "is not in the range"]),
        (["d4", "--from", "base", "--set", "depth=2"], ["There is no run 'd4'", "--from"]),
        (["d4", "--set", "base_steps"], ["NAME=VALUE", "'base_steps'"]),
        (["d4", "--set", "steps=1"], ["'steps'"]),
        (["d4", "--set", "base_steps=many"], ["base_steps", "'many'"]),
        (["d4", "--set", "base_steps=9", "--set", "mid.rate="], ["mid.rate", "''"]),
        (["d4", "--tag", "../elsewhere"], ["'../elsewhere'", "name of a run"]),
        (["d4", "--tag", "a" * 500], ["a" * 500]),
        (["d4", "--data", ""], ["--data is empty"]),
        (["d4", "--dtype", "float16"], ["--dtype", "'float16'", "'auto', 'float32', 'bfloat16'"]),
        (["d4", "--data", "nowhere"], ["nowhere"]),
        (["d4", "--data", "a" * 500], ["a" * 500]),
        (["chat", "-t", "2.5"], ["temperature", "2.5"]),
        (["chat", "--device", "tpu"], ["--device", "'tpu'"]),
        (["chat", "--seed", "-1"], ["--seed", "-1"]),
        (["chat", "-p", ""], ["prompt is empty"]),
        (["chat", "-p", " \n"], ["prompt is empty"]),
        (["chat"], ["There is no run in runs yet; make one with ./noxw -s d4."]),
        (["chat", "--tag", "mine"], ["There is no run 'mine'"]),
        (["report"], ["There is no run in runs yet"]),
        (["report", "--tag", "../x"], ["'../x'"]),
        (["export"], ["There is no run in runs yet"]),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None,
)
def test_what_does_not_exist(capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]) -> None:
    """Commands, options, values, tags, stages, runs and folders: the sentence names what was wrong."""
    message = refuse(capsys, *arguments)
    assert all(word in message for word in words), message
    assert list(Path().iterdir()) == []


def test_no_text_to_train_on(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    """Folders and files that hold no text are named, and no run is begun."""
    (home / "data").mkdir()
    data = home / "data" / "file"
    texts = {
        ".txt": [b"", b" \n", b"\x00\x01\x02", b"\xff\xfe\xfa", b"one document"],
        ".parquet": [b"", b"PAR1 and no more", b"text"],
        ".exe": [b"MZ"],
        ".csv": [b"text\nhello\n"],
    }
    assert "data" in refuse(capsys, "d4", "--data", "data")
    for suffix, contents in texts.items():
        for content in contents:
            file = data.with_suffix(suffix)
            file.write_bytes(content)
            assert "file" in refuse(capsys, "d4", "--data", str(file.relative_to(home)))
            assert "data" in refuse(capsys, "d4", "--data", "data")
            file.unlink()
    for columns in ({"words": ["a", "b"]}, {"text": [1, 2]}, {"text": pa.array([], pa.string())}, {"text": ["one"]}):
        pq.write_table(pa.table(columns), data.with_suffix(".parquet"))
        assert "file.parquet" in refuse(capsys, "d4", "--data", "data")
    assert not (home / "runs").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="everything is readable to root")
def test_data_that_may_not_be_read(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    """A file and a folder without permission are named."""
    (home / "data").mkdir()
    file = home / "data" / "file.txt"
    file.write_text("text")
    file.chmod(0)
    assert "file.txt" in refuse_unread(capsys, "d4", "--data", "data/file.txt")
    (home / "data").chmod(0)
    try:
        assert "data" in refuse_unread(capsys, "d4", "--data", "data")
    finally:
        (home / "data").chmod(0o700)


def refuse_unread(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    status = leave(*arguments)
    out, err = capsys.readouterr()
    assert (status, out, err.count("\n")) == (2, "", 1)
    return err


# ------------------------------------------------------------------------------------ runs that are there


def half_written(run: Run) -> None:
    file = run.path / "run.json"
    file.write_bytes(file.read_bytes()[:30])


def of_another_version(run: Run) -> None:
    file = run.path / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 99}))


def without_tokenizer(run: Run) -> None:
    (run.path / "tokenizer" / "tokenizer.json").unlink()


def with_a_damaged_model(run: Run) -> None:
    (file,) = run.path.glob("base/step_*/model.safetensors")
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def with_half_a_checkpoint(run: Run) -> None:
    (file,) = run.path.glob("base/step_*/state.json")
    file.unlink()


@pytest.mark.parametrize("command", [["chat", "-p", "Hello"], ["export"], ["report"], ["d4", "--tag", "tiny"]])
@pytest.mark.parametrize("damage", [half_written, of_another_version])
def test_a_run_that_cannot_be_read(
    capsys: pytest.CaptureFixture[str], run: Run, damage: Callable[[Run], None], command: list[str]
) -> None:
    """A run.json that was cut off, or that another version wrote, is named by every command."""
    damage(run)
    assert "tiny" in refuse(capsys, *command)


@pytest.mark.parametrize("command", [["chat", "-p", "Hello"], ["export"]])
@pytest.mark.parametrize("damage", [without_tokenizer, with_a_damaged_model, with_half_a_checkpoint])
def test_a_model_that_cannot_be_read(
    capsys: pytest.CaptureFixture[str], run: Run, damage: Callable[[Run], None], command: list[str]
) -> None:
    """The file that is missing or damaged is named, and nothing is taken away."""
    damage(run)
    assert "tiny" in refuse(capsys, *command)


def test_what_a_run_does_not_have(capsys: pytest.CaptureFixture[str], run: Run, home: Path) -> None:
    """Stages that have not been trained, other runs, and folders that hold something else."""
    assert "mid" in refuse(capsys, "chat", "--stage", "mid", "-p", "Hello")
    assert "mid" in refuse(capsys, "export", "--stage", "mid")
    assert "(there are: tiny)" in refuse(capsys, "chat", "--tag", "huge")
    assert "prompt is empty" in refuse(capsys, "chat", "-p", "")
    assert "20 tokens" in refuse(capsys, "chat", "-p", "x" * 17)
    (home / "mine").mkdir()
    (home / "mine" / "thesis.txt").write_text("irreplaceable")
    assert "mine" in refuse(capsys, "export", "--out", "mine")
    Run.create(home / "runs", "new", {})
    assert "has no trained model yet" in refuse(capsys, "chat", "--tag", "new")


def test_a_run_is_not_continued_as_another(capsys: pytest.CaptureFixture[str], run: Run) -> None:
    """A run begun with other settings stays what it is, and --from does not undo it."""
    assert "was begun with" in refuse(capsys, "d4", "--tag", "tiny")
    assert "was begun with" in refuse(capsys, "d4", "--tag", "tiny", "--seed", "7")
    assert "was begun with" in refuse(capsys, "d4", "--tag", "tiny", "--from", "base")
    assert run.is_complete("base")


@pytest.mark.parametrize("place", ["runs", "runs/mine"])
def test_a_file_in_the_place_of_a_folder(capsys: pytest.CaptureFixture[str], home: Path, place: str) -> None:
    """What stands where a run should is not touched."""
    (home / place).parent.mkdir(exist_ok=True)
    (home / place).write_text("something")
    assert "mine" in refuse(capsys, "d4", "--tag", "mine")

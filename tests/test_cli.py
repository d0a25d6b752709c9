"""The command line: what it asks for, and that every bad input is one sentence, status 2, and nothing lost or made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from reference import cli
from reference.chat import Conversation
from reference.checkpoint import save_checkpoint
from reference.cli import main
from reference.engine import Sampling
from reference.model import GPT, GPTConfig
from reference.parts import Parts
from reference.pipeline import TRAIN, Order
from reference.presets import get_preset, override
from reference.run import STAGES, Run
from reference.stages.training import Interrupted
from reference.tokenizer import train_tokenizer

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the commands run, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(home: Path) -> Run:
    """A run whose tokenizer and base are complete."""
    run = Run.create(home / "runs", "tiny", {"preset": "d4", "seed": 0})
    tokenizer = train_tokenizer(["the sum of 12 and 30"], 265, Parts())
    tokenizer.save(run.path / "tokenizer" / "tokenizer.json")
    model = GPT(GPTConfig(tokenizer.vocab_size, 1, 1, 1, 8, 16), Parts())
    model.init_weights(0)
    save_checkpoint(run.stage_dir("base"), 5, {"model": model.state_dict()}, {"config": asdict(model.config)})
    for stage in ("tokenizer", "base"):
        run.mark_complete(stage)
    return run


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder, but for the lock that an attempt leaves behind."""
    paths = [path for path in folder.rglob("*") if path.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in paths}


def leave(*arguments: str) -> int:
    """The exit status of a command, run in this process."""
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    assert isinstance(stop.value.code, int)
    return stop.value.code


def refuse(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command says that is refused as it should be: one sentence, and the folder is as it was."""
    before = tree(Path())
    capsys.readouterr()
    status = leave(*arguments)
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.endswith(".\n")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert tree(Path()) == before
    return err


# ------------------------------------------------------------------------------ words that do not exist


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["d5"], ["No such command 'd5'", "--help"]),
        (["--verbose"], ["No such option", "--verbose"]),
        (["d4", "--sed", "1"], ["No such option", "d4 --help"]),
        (["d4", "now"], ["unexpected", "now", "d4 --help"]),
        (["d4", "--seed", "-1"], ["--seed", "-1 is not in the range"]),
        (["d4", "--seed", "one"], ["--seed", "'one' is not a valid integer"]),
        (["d4", "--seed", "1.5"], ["--seed", "1.5"]),
        (["d4", "--seed", str(2**32)], ["--seed", "is not in the range"]),
        (["d4", "--seed"], ["--seed", "requires an argument"]),
        (["d4", "--from", "nowhere"], ["--from", "'nowhere'", "'tokenizer', 'base', 'mid', 'sft', 'rl'"]),
        (["d4", "--from", "report"], ["--from", "'report'"]),
        (["d4", "--from", "base", "--set", "depth=2"], ["There is no run 'd4'", "--from"]),
        (["d4", "--set", "base_steps"], ["NAME=VALUE", "'base_steps'"]),
        (["d4", "--set", "steps=1"], ["'steps'"]),
        (["d4", "--set", "=1"], ["''"]),
        (["d4", "--set", "mid.steps.more=1"], ["'mid.steps.more'"]),
        (["d4", "--set", "mid=1"], ["'mid'"]),
        (["d4", "--set", "name=d5"], ["'name'"]),
        (["d4", "--set", "base_steps=many"], ["base_steps", "'many'"]),
        (["d4", "--set", "base_steps=1.5"], ["base_steps", "'1.5'"]),
        (["d4", "--set", "base_steps=9", "--set", "mid.rate="], ["mid.rate", "''"]),
        (["d4", "--tag", ""], ["''", "name of a run"]),
        (["d4", "--tag", "../elsewhere"], ["'../elsewhere'", "name of a run"]),
        (["d4", "--tag", "-x"], ["'-x'", "name of a run"]),
        (["d4", "--tag", "a b"], ["'a b'", "name of a run"]),
        (["d4", "--tag", "a" * 101], ["name of a run"]),
        (["d4", "--tag", "a" * 500], ["a" * 500]),
        (["d4", "--data", ""], ["--data is empty"]),
        (["d4", "--data", "nowhere"], ["nowhere"]),
        (["d4", "--data", "a" * 500], ["a" * 500]),
        (["chat", "-t", "2.5"], ["temperature", "2.5"]),
        (["chat", "-t", "warm"], ["temperature", "'warm'"]),
        (["chat", "-k", "many"], ["top-k", "'many'"]),
        (["chat", "--max-tokens", "1.5"], ["--max-tokens", "1.5"]),
        (["chat", "--device", "tpu"], ["--device", "'tpu'"]),
        (["chat", "--seed", "-1"], ["--seed", "-1"]),
        (["chat", "--stage", "tokenizer"], ["--stage", "'tokenizer'", "'base', 'mid', 'sft', 'rl'"]),
        (["chat", "-p", ""], ["prompt is empty"]),
        (["chat", "-p", " \n"], ["prompt is empty"]),
        (["chat"], ["There is no run in runs yet", "./noxw -s d4"]),
        (["chat", "--tag", "mine"], ["There is no run 'mine'"]),
        (["report"], ["There is no run in runs yet"]),
        (["report", "--tag", "../x"], ["'../x'"]),
        (["export"], ["There is no run in runs yet"]),
        (["export", "--stage", "report"], ["--stage", "'report'"]),
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


# ------------------------------------------------------------------------------------------- orders


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> list[Order]:
    """What make_run is asked for, in place of doing it."""
    orders: list[Order] = []
    monkeypatch.setattr("reference.pipeline.make_run", lambda order, parts, console: orders.append(order))
    return orders


def test_the_default_order(orders: list[Order], capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing said means: the run d4 with seed 0 on the primer, going on where it stopped; then how to talk to it."""
    main(["d4"])
    assert orders == [Order(Path("runs"), "d4", get_preset("d4"), 0, "primer", None)]
    assert capsys.readouterr().out.endswith("./noxw -s chat\n")


def test_every_option_of_an_order(orders: list[Order], capsys: pytest.CaptureFixture[str]) -> None:
    """Every option reaches its place."""
    settings = {"base_steps": "3", "rl.steps": "4", "mid.rate": "0.5"}
    pairs = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    main(["d4", "--tag", "mine", "--seed", "4294967295", "--data", "python-docs", "--from", "sft", *pairs])
    preset = override(get_preset("d4"), settings)
    assert orders == [Order(Path("runs"), "mine", preset, 4294967295, "python-docs", "sft")]
    assert capsys.readouterr().out.endswith("./noxw -s chat -- --tag mine\n")


def test_the_stages_offered_are_the_stages_there_are() -> None:
    """--from offers what the pipeline trains, --stage what leaves a model."""
    offered = {
        (name, option.name): option.type.choices
        for name, command in cli.main.commands.items()
        for option in command.params
        if option.name in ("start", "stage") and hasattr(option.type, "choices")
    }
    trained = tuple(TRAIN)
    assert trained == STAGES[:-1]
    assert {key: tuple(choices) for key, choices in offered.items()} == {
        ("d4", "start"): trained,
        ("chat", "stage"): trained[1:],
        ("export", "stage"): trained[1:],
        ("base-loss", "stage"): trained[1:],
        ("base-eval", "stage"): trained[1:],
        ("chat-eval", "stage"): trained[1:],
    }


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (Interrupted("Stopped in base after step 3 of 9; the same command goes on."), 130, "Stopped in base after"),
        (KeyboardInterrupt(), 130, "Stopped."),
        (OSError(28, "No space left on device", "runs/d4/x"), 2, "'No space left on device' of 'runs/d4/x'"),
    ],
)
def test_a_run_that_stops(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: int,
    message: str,
) -> None:
    """Ctrl-C is status 130 and a sentence; so is, with status 2, what the system refuses."""

    def stop(*_: Any) -> None:
        raise error

    monkeypatch.setattr("reference.pipeline.make_run", stop)
    assert leave("d4") == status
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_a_defect_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other error keeps its traceback: it is ours, not the user's."""

    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("reference.pipeline.make_run", fail)
    with pytest.raises(ZeroDivisionError):
        main(["d4"])


def test_chat_takes_the_last_stage_and_its_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], run: Run
) -> None:
    """Without --tag and --stage it is the latest run's last complete stage."""
    said: list[tuple[Any, str, Sampling]] = []

    def answer(talked: Conversation, message: str) -> Any:
        said.append((talked.engine.model.config.n_embd, message, talked.sampling))
        yield "text", "Hello."

    monkeypatch.setattr(Conversation, "answer", answer)
    main(["chat", "-p", "Who?"])
    main(["chat", "-p", "Who?", "--stage", "base", "-t", "0.5", "-k", "3", "--max-tokens", "7", "--seed", "2"])
    assert said == [(8, "Who?", Sampling(96, 0.0, 50, 0)), (8, "Who?", Sampling(7, 0.5, 3, 2))]
    main(["chat", "-p", "Who?", "-k", "0", "--max-tokens", "-1", "--device", "cpu"])
    run.update(settings={"answer_tokens": 512})
    main(["chat", "-p", "Who?"])
    assert said[2:] == [(8, "Who?", Sampling(16, 0.0, None, 0)), (8, "Who?", Sampling(512, 0.0, 50, 0))]
    assert capsys.readouterr().out == "Hello.\n" * 4


def test_chat_runs_the_parts_it_is_given(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """As `python -m dojo train chat` gives it the learner's."""
    honest, calls = Parts(), []

    def apply_rotary(*args: Any) -> Any:
        calls.append(args)
        return honest.rope.apply_rotary(*args)

    rope = SimpleNamespace(**{**vars(honest.rope), "apply_rotary": apply_rotary})
    main(["chat", "-p", "Who?", "--max-tokens", "2"], obj=replace(honest, rope=rope))
    assert calls
    if not torch.cuda.is_available():
        assert "PyTorch finds no CUDA device here" in refuse(capsys, "chat", "-p", "Who?", "--device", "cuda")


def test_report_and_export_say_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], run: Run, home: Path
) -> None:
    """Both write about the run that is named, and print one path."""
    reported: list[Path] = []
    monkeypatch.setattr("reference.report.write_report", lambda run: reported.append(run.path))
    main(["report", "--tag", "tiny"])
    assert reported == [Path("runs/tiny")]
    assert capsys.readouterr().out == f"{Path('runs/tiny/report.md')}\n"
    main(["export", "--tag", "tiny"])
    assert capsys.readouterr().out == f"{home.resolve() / 'runs' / 'tiny' / 'export'}\n"
    main(["export", "--stage", "base", "--out", "elsewhere"])
    assert (home / "elsewhere" / "config.json").exists()
    assert (run.path / "export" / "config.json").exists()


# ----------------------------------------------------------------------------------------- processes


def process(*arguments: str | bytes, code: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *(["-c", code] if code else ["-m", "reference"]), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False)


def test_help_is_quick_and_complete() -> None:
    """Help needs no torch; every command and every option says what it is for."""
    help_of_all = "import sys; from reference.cli import main\nfor c in sys.argv[1:]: main([*c.split(), '--help'])\n"
    loaded = (
        "heavy = {'torch', 'numpy', 'pyarrow', 'matplotlib', 'rustbpe'} & set(sys.modules); assert not heavy, heavy"
    )
    done = process("", *cli.main.commands, code=help_of_all + loaded)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(name in done.stdout for name in cli.main.commands)
    for command in cli.main.commands.values():
        assert command.help
        assert all(option.help and option.opts[-1] in done.stdout for option in command.params)


def test_no_command_shows_the_help() -> None:
    """As git and others do, but it is no error."""
    done = process()
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: python -m reference" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["d5"], "No such command 'd5'; see python -m reference --help."),
        (["chat"], "There is no run in runs yet; make one with ./noxw -s d4."),
        (["d4", "--data", b"\xff"], "There is no data at \\udcff; name a directory of .parquet, .txt or .md files."),
    ],
    ids=["d5", "chat", "not UTF-8"],
)
def test_a_process_that_is_refused(home: Path, arguments: list[str | bytes], sentence: str) -> None:
    """As the shell sees it: the sentence on standard error, nothing on standard output, status 2."""
    done = process(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", sentence + "\n")
    assert list(home.iterdir()) == []

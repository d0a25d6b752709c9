"""The command line: what it asks for, and how it looks from a shell."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from reference import cli
from reference.chat import Conversation
from reference.cli import main
from reference.engine import Sampling
from reference.parts import Parts
from reference.pipeline import TRAIN, Order
from reference.presets import get_preset, override
from reference.run import STAGES, Run
from reference.stages.training import Interrupted
from tests.cli.commands import leave, refuse

ROOT = Path(__file__).resolve().parents[2]


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
    main(
        [
            "d4",
            "--tag",
            "mine",
            "--seed",
            "4294967295",
            "--data",
            "python-docs",
            "--from",
            "sft",
            *pairs,
            "--dtype",
            "bfloat16",
        ]
    )
    preset = override(get_preset("d4"), settings)
    assert orders == [Order(Path("runs"), "mine", preset, 4294967295, "python-docs", "sft", dtype="bfloat16")]
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
        (["d4", "--data", b"\xff"], "There is no data at \\udcff; name a directory of .parquet, .txt or .md files."),
    ],
    ids=["d5", "not UTF-8"],
)
def test_a_process_that_is_refused(home: Path, arguments: list[str | bytes], sentence: str) -> None:
    """As the shell sees it: the sentence on standard error, nothing on standard output, status 2."""
    done = process(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", sentence + "\n")
    assert list(home.iterdir()) == []

"""Talking in a terminal: what is typed, what is printed, and `python -m reference chat`."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from reference.chat import HELP, talk
from reference.checkpoint import save_checkpoint
from reference.engine import Engine, Sampling
from reference.errors import UserError
from reference.evaluate import completion_text
from reference.model import GPT, GPTConfig
from reference.run import Run
from reference.tokenizer import Tokenizer
from tests.teller import PARTS, SPECIAL, TOKENIZER, TOOL, Teller, conversation, messages, tokens

ROOT = Path(__file__).resolve().parent.parent

# ------------------------------------------------------------------------------------- the dialogue


def dialogue(lines: list[Any], *answers: list[Any], sequence_len: int = 256) -> tuple[str, Teller]:
    """What a terminal shows when these lines are typed; an exception is what typing ends in."""
    talked, teller = conversation(*answers, sequence_len=sequence_len)
    typed = iter([*lines, EOFError()])
    out = io.StringIO()

    def read(prompt: str) -> str:
        line = next(typed)
        if isinstance(line, BaseException):
            raise line
        return line

    talk(Console(file=out, width=300), talked, read)
    return out.getvalue(), teller


def test_the_dialogue() -> None:
    """Messages are answered one after the other, in one conversation, until the end of input."""
    printed, teller = dialogue(["Hello", "  ", " The sum? "], tokens("Hello."), tokens(TOOL))
    assert printed == f"{HELP}\nnanokata: Hello.\nnanokata: The sum is [calculator: 12+30 = 42] 42.\n\n"
    assert [prompt for prompt, _ in teller.heard] == [
        TOKENIZER.render_prompt(messages("Hello"), PARTS),
        TOKENIZER.render_prompt(messages("Hello", "Hello.", "The sum?"), PARTS),
    ]


@pytest.mark.parametrize("command", ["/quit", "quit", "exit", " /quit "])
def test_quitting(command: str) -> None:
    """The commands end the dialogue; nothing after them is read."""
    printed, teller = dialogue([command, "Hello"])
    assert printed == f"{HELP}\n"
    assert teller.heard == []


def test_ctrl_c_at_the_prompt_ends() -> None:
    """Ctrl-C where a message is awaited is the end, without a traceback."""
    assert dialogue([KeyboardInterrupt(), "Hello"])[0] == f"{HELP}\n\n"


@pytest.mark.parametrize("command", ["/clear", "clear"])
def test_clearing(command: str) -> None:
    """After it the model is asked as if for the first time."""
    printed, teller = dialogue(["Hello", command, "Who?"], tokens("Hello."), tokens("I."))
    assert "A new conversation.\n" in printed
    assert teller.heard[1][0] == TOKENIZER.render_prompt(messages("Who?"), PARTS)


def test_help() -> None:
    """The commands can be asked for again."""
    assert dialogue(["/help"])[0] == f"{HELP}\n{HELP}\n\n"


def test_ctrl_c_ends_an_answer_not_the_dialogue() -> None:
    """The stopped answer is part of the conversation that goes on."""
    printed, teller = dialogue(["Hello", "Who?"], [*b"ab", KeyboardInterrupt()], tokens("I."))
    assert "nanokata: ab (stopped)\nnanokata: I.\n" in printed
    assert teller.heard[1][0] == TOKENIZER.render_prompt(messages("Hello", "ab", "Who?"), PARTS)


def test_a_message_too_long_does_not_end_the_dialogue() -> None:
    """It is said so, and the next message is answered."""
    printed, teller = dialogue(["x" * 100, "Who?"], tokens("I."), sequence_len=64)
    assert "nanokata: The message is 103 tokens long" in printed
    assert "nanokata: I.\n" in printed
    assert teller.heard[0][0] == TOKENIZER.render_prompt(messages("Who?"), PARTS)


def test_input_that_is_no_text() -> None:
    """Bytes piped in end the dialogue with a sentence."""
    with pytest.raises(UserError, match=r"^What was typed or piped in is not text in UTF-8; .*\.$"):
        dialogue([UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")])


# ------------------------------------------------------------------------------------ end to end


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with two models of random weights that say printable letters only: sft, and rl that differs."""
    run = Run.create(tmp_path_factory.mktemp("home") / "runs", "tiny", {})
    TOKENIZER.save(run.path / "tokenizer" / "tokenizer.json")
    texts = [TOKENIZER.decode([i]) for i in range(SPECIAL["bos"])]
    printable = [text.isascii() and text.isprintable() for text in texts]
    for seed, stage in enumerate(("sft", "rl")):
        model = GPT(GPTConfig(TOKENIZER.vocab_size, 2, 4, 2, 32, 64), PARTS)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                std = 1.0 if "wte" in name or "lm_head" in name else 0.3
                weight.copy_(torch.randn(weight.shape, generator=generator) * std)
            silent = [i for i in range(model.config.padded_vocab_size) if not (i < SPECIAL["bos"] and printable[i])]
            model.lm_head.weight[silent] = 0.0  # among so many others a logit of 0 is never one of the largest
        save_checkpoint(run.stage_dir(stage), 1, {"model": model.state_dict()}, {"config": asdict(model.config)})
        run.mark_complete(stage)
    return run


def expected_answer(run: Run, stage: str, question: str, sampling: Sampling) -> str:
    from reference.stages.session import load_model

    tokenizer = Tokenizer.load(run.path / "tokenizer" / "tokenizer.json")
    engine = Engine(load_model(run, stage, PARTS), tokenizer, PARTS)
    ((completion,),) = engine.complete([tokenizer.render_prompt(messages(question), PARTS)], sampling)
    return completion_text(tokenizer, completion)


def reference(run: Run, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "reference", *arguments]
    return subprocess.run(
        command, cwd=run.path.parent.parent, env=environment, input=typed.encode(), capture_output=True, check=False
    )


def test_one_prompt_from_the_command_line(run: Run) -> None:
    """`chat -p` prints the latest model's answer and nothing else."""
    done = reference(run, "chat", "-p", "Hello?", "--max-tokens", "12")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == expected_answer(run, "rl", "Hello?", Sampling(12)) + "\n"


def test_a_dialogue_from_the_command_line(run: Run) -> None:
    """`chat` with a stage, a temperature and a seed reads messages from its input and answers them."""
    options = ("--stage", "sft", "-t", "1.5", "-k", "7", "--seed", "3", "--max-tokens", "9")
    done = reference(run, "chat", "--tag", "tiny", *options, typed="Hello?\n/quit\n")
    assert (done.returncode, done.stderr) == (0, b"")
    answer = expected_answer(run, "sft", "Hello?", Sampling(9, 1.5, 7, 3))
    assert f"nanokata: {answer}\n" in done.stdout.decode()
    assert "runs/tiny, as the stage sft left it." in done.stdout.decode().replace(os.sep, "/")
    assert answer != expected_answer(run, "rl", "Hello?", Sampling(9, 1.5, 7, 3))

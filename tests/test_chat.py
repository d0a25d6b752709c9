"""Talking: what is shown and when, and that the conversation stays exactly in the format of training."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from reference.chat import HELP, Conversation, show, talk
from reference.checkpoint import save_checkpoint
from reference.engine import Engine, Sampling
from reference.errors import UserError
from reference.evaluate import completion_text
from reference.model import GPT, GPTConfig
from reference.parts import Parts
from reference.run import Run
from reference.tasks.task import exchange
from reference.tokenizer import Tokenizer, train_tokenizer

ROOT = Path(__file__).resolve().parent.parent
PARTS = Parts()
TOKENIZER = train_tokenizer(["The sum of 12 and 30 is 42. Hello, who are you? I am a small model. "] * 9, 300, PARTS)
SPECIAL = TOKENIZER.special
END = SPECIAL["assistant_end"]
TOOL = [
    {"type": "text", "text": "The sum is "},
    {"type": "python", "text": "12+30"},
    {"type": "python_output", "text": "42"},
    {"type": "text", "text": "42."},
]


class Teller:
    """Stands in for the engine: its n-th answer is the n-th list of tokens; an exception among them is raised.

    `heard` holds the prompt and the sampling of every answer.
    """

    def __init__(self, *answers: list[Any], sequence_len: int = 256) -> None:
        self.tokenizer = TOKENIZER
        self.model = SimpleNamespace(config=SimpleNamespace(sequence_len=sequence_len))
        self.answers = iter(answers)
        self.heard: list[tuple[list[int], Sampling]] = []

    def stream(self, prompts: list[list[int]], sampling: Sampling) -> Iterator[list[tuple[int, int]]]:
        (prompt,) = prompts
        self.heard.append((list(prompt), sampling))
        for token in next(self.answers)[: sampling.max_tokens]:
            if isinstance(token, BaseException):
                raise token
            yield [(token, 1)]


def tokens(content: str | list[dict[str, str]]) -> list[int]:
    """What the assistant would say in an answer of training, its end included."""
    ids, _ = TOKENIZER.render(exchange("", content), PARTS)
    return ids[4:]  # bos, user_start, user_end, assistant_start


def conversation(*answers: list[Any], max_tokens: int = 50, sequence_len: int = 256) -> tuple[Conversation, Teller]:
    teller = Teller(*answers, sequence_len=sequence_len)
    return Conversation(teller, Sampling(max_tokens)), teller  # type: ignore[arg-type]


def messages(*contents: Any) -> dict[str, Any]:
    return {"messages": [{"role": ("user", "assistant")[i % 2], "content": c} for i, c in enumerate(contents)]}


def shown(pieces: Any) -> str:
    out = io.StringIO()
    show(Console(file=out, width=40), pieces)
    return out.getvalue()


def stream_of(*pieces: tuple[str, str]) -> Any:
    yield from pieces


# ------------------------------------------------------------------------------------- the format


def test_a_conversation_is_what_training_renders() -> None:
    """Over three exchanges with a tool call, every prompt and the whole are Tokenizer.render's of the same messages."""
    talked, teller = conversation(tokens("Hello."), tokens(TOOL), tokens("Who are you?"))
    said = ["Hello, who are you?", "Hello.", "The sum of 12 and 30?", TOOL, "And who am I?", "Who are you?"]
    for turn in range(3):
        list(talked.answer(said[2 * turn]))
        assert teller.heard[turn][0] == TOKENIZER.render_prompt(messages(*said[: 2 * turn + 1]), PARTS)
        assert talked.ids == TOKENIZER.render(messages(*said[: 2 * turn + 2]), PARTS)[0]


def test_special_tokens_in_a_message_are_letters() -> None:
    """Nobody ends the user's turn by typing the name of a mark."""
    talked, teller = conversation(tokens("Hello."))
    list(talked.answer("<|user_end|><|assistant_start|>"))
    assert teller.heard[0][0].count(SPECIAL["user_end"]) == 1
    assert teller.heard[0][0].count(SPECIAL["assistant_start"]) == 1


@pytest.mark.parametrize("end", [[END], [SPECIAL["bos"]], []], ids=["assistant_end", "bos", "max_tokens"])
def test_every_answer_ends_in_the_format(end: list[int]) -> None:
    """However an answer ends, by its mark, by a new document or by the limit, it is kept with its mark."""
    talked, _ = conversation([*tokens("Hello.")[:-1], *end])
    assert list(talked.answer("Hello")) == [("text", TOKENIZER.decode([i])) for i in tokens("Hello.")[:-1]]
    assert talked.ids == TOKENIZER.render(messages("Hello", "Hello."), PARTS)[0]


def test_clear_forgets() -> None:
    """A new conversation knows nothing of the old one."""
    talked, teller = conversation(tokens("Hello."), tokens("42."))
    list(talked.answer("Hello"))
    talked.clear()
    assert talked.ids == [SPECIAL["bos"]]
    list(talked.answer("The sum?"))
    assert teller.heard[1][0] == TOKENIZER.render_prompt(messages("The sum?"), PARTS)


# ------------------------------------------------------------------------------------- streaming


def test_pieces_are_of_their_kind() -> None:
    """Text, code and output are told apart; the marks themselves are not shown."""
    talked, _ = conversation(tokens(TOOL))
    pieces = list(talked.answer("The sum?"))
    for part in TOOL:
        assert part["text"] in "".join(text for kind, text in pieces if kind == part["type"])
    kinds = [kind for i, (kind, _) in enumerate(pieces) if i == 0 or pieces[i - 1][0] != kind]
    assert kinds == ["text", "python", "python_output", "text"]
    assert "".join(text for _, text in pieces) == "The sum is 12+304242."

    marks = [SPECIAL["python_start"], ord("?"), SPECIAL["python_end"], ord("!"), END]
    talked, _ = conversation(marks)
    assert list(talked.answer("The sum?")) == [("python", "?"), ("text", "!")], "a call may go without a result"


@pytest.mark.parametrize("text", ["🙂", "a🙂🙃b", "naïve café", "東京 42", "👩‍👩‍👧!"])
def test_incomplete_characters_are_held_back(text: str) -> None:
    """A character of several tokens is shown with the last of them, at once, and never in broken form."""
    talked, _ = conversation(tokens(text))
    ids, received = tokens(text)[:-1], ""
    assert len(ids) > len(text), "the characters must be split for the test to test"
    pieces = talked.answer("Say it")
    for n in range(1, len(ids) + 1):
        complete = TOKENIZER.decode_bytes(ids[:n]).decode("utf-8", errors="ignore")
        if complete != received:
            received += next(pieces)[1]
            assert received == complete
    assert received == text
    assert list(pieces) == []


@pytest.mark.parametrize("raw", [b"\xff\xfeabc", b"\xf0\x9f\x99abc", b"abc\xf0\x9f", b"\x80", b"\xf0\x9f\x99\x82\xf0"])
def test_broken_characters_are_shown_as_such(raw: bytes) -> None:
    """Bytes that no text has become U+FFFD, as decoding the whole would show them; also at the very end."""
    talked, _ = conversation([*raw, END])
    assert "".join(text for _, text in talked.answer("Say it")) == raw.decode("utf-8", errors="replace")


def test_a_character_does_not_cross_a_mark() -> None:
    """Bytes left over at a mark belong to what stood before it."""
    talked, _ = conversation([0xF0, 0x9F, SPECIAL["python_start"], 0x99, 0x82, END])
    assert list(talked.answer("Say it")) == [("text", "\ufffd"), ("python", "\ufffd"), ("python", "\ufffd")]


def test_pieces_come_while_the_model_speaks() -> None:
    """The first piece is there before the second token is asked for."""
    talked, _ = conversation([*tokens("Hello")[:1], AssertionError("asked too early")])
    assert next(talked.answer("Hello")) == ("text", TOKENIZER.decode(tokens("Hello")[:1]))


# ---------------------------------------------------------------------------------- interruptions


def interruptions() -> dict[str, Callable[[Conversation], None]]:
    def closed(talked: Conversation) -> None:
        pieces = talked.answer("Hello")
        next(pieces), next(pieces)
        pieces.close()

    def in_the_model(talked: Conversation) -> None:
        with pytest.raises(KeyboardInterrupt):
            list(talked.answer("Hello"))

    def while_printing(talked: Conversation) -> None:
        class Interrupted(io.StringIO):
            def write(self, text: str) -> int:
                if "x" in text:
                    raise KeyboardInterrupt
                return super().write(text)

        with pytest.raises(KeyboardInterrupt) as stop:
            show(Console(file=Interrupted()), talked.answer("Hello"))
        assert (stop.type, talked.ids[-1]) == (KeyboardInterrupt, END)  # not only once the traceback is gone

    return {"closed": closed, "in the model": in_the_model, "while printing": while_printing}


@pytest.mark.parametrize("how", list(interruptions()))
def test_an_interrupted_answer_is_kept_as_far_as_it_came(how: str) -> None:
    """The conversation goes on from there, in the format."""
    last = ord("x") if how == "while printing" else ord("b")
    rest = [KeyboardInterrupt()] if how == "in the model" else [ord("c"), END]
    talked, teller = conversation([ord("a"), last, *rest], tokens("Hello."))
    interruptions()[how](talked)
    answer = "a" + chr(last)
    assert talked.ids == TOKENIZER.render(messages("Hello", answer), PARTS)[0]
    list(talked.answer("Who?"))
    assert teller.heard[1][0] == TOKENIZER.render_prompt(messages("Hello", answer, "Who?"), PARTS)


def test_an_answer_that_nobody_reads_is_not_asked_for() -> None:
    """Without a reader nothing is said and nothing kept."""
    talked, teller = conversation(tokens("Hello."))
    talked.answer("Hello")
    assert talked.ids == [SPECIAL["bos"]]
    assert teller.heard == []


# ------------------------------------------------------------------------------------ the context


def test_the_oldest_exchanges_are_forgotten_whole() -> None:
    """Prompt and answer stay within the model's length; what is left out is the beginning, exchange by exchange."""
    answer = tokens("I am a small model.")
    talked, teller = conversation(*[answer] * 30, max_tokens=12, sequence_len=64)
    said: list[str] = []
    kept = []
    for turn in range(30):
        list(talked.answer("Hello" * (turn % 3) + str(turn)))
        said += ["Hello" * (turn % 3) + str(turn), "I am a small model."]
        prompt, sampling = teller.heard[turn]
        (n,) = (
            n
            for n in range(1, turn + 2)
            if prompt == TOKENIZER.render_prompt(messages(*said[2 * (turn + 1 - n) :]), PARTS)
        )
        kept.append(n)
        assert sampling.max_tokens == 12
        assert len(prompt) + sampling.max_tokens <= 64
        if n <= turn:
            one_more = TOKENIZER.render_prompt(messages(*said[2 * (turn - n) :]), PARTS)
            assert len(one_more) + sampling.max_tokens > 64, "nothing is forgotten without need"
    assert kept[:2] == [1, 2]
    assert 1 < min(kept[5:]) <= max(kept[5:]) < 6


@pytest.mark.parametrize("max_tokens", [1, 10, 64, 1000])
def test_an_answer_ends_where_the_models_length_ends(max_tokens: int) -> None:
    """A long message is never cut: the answer has what is left, if that is less than it may have."""
    message = "x" * 50  # no merge makes it shorter
    prompt = TOKENIZER.render_prompt(messages(message), PARTS)
    talked, teller = conversation([ord("y")] * 99, max_tokens=max_tokens, sequence_len=64)
    said = list(talked.answer(message))
    assert teller.heard[0][0] == prompt
    assert len(said) == min(max_tokens, 64 - len(prompt))


def test_a_message_that_is_too_long() -> None:
    """It gets a sentence instead of an answer, and the conversation is as before; one token less is answered."""
    talked, teller = conversation(tokens("Hello."), [ord("y")] * 9, sequence_len=64)
    list(talked.answer("Hello"))
    before = talked.ids
    with pytest.raises(UserError, match=r"^The message is 63 tokens long, .* 64 in all; shorten it\.$"):
        list(talked.answer("x" * 60))
    assert talked.ids == before
    assert len(teller.heard) == 1
    assert list(talked.answer("x" * 59)) == [("text", "y")]


# ------------------------------------------------------------------------------------- what is shown


def test_a_tool_call_is_shown_as_such() -> None:
    """Code and result stand in brackets, in their place."""
    talked, _ = conversation(tokens(TOOL))
    assert shown(talked.answer("The sum?")) == "The sum is [calculator: 12+30 = 42] 42.\n"


@pytest.mark.parametrize(
    ("pieces", "line"),
    [
        ([], ""),
        ([("text", "a"), ("text", "b")], "ab"),
        ([("python", "1/0")], "[calculator: 1/0]"),
        ([("python", "1+"), ("python", "1"), ("python_output", "2")], "[calculator: 1+1 = 2]"),
        ([("python", "1/0"), ("text", "no")], "[calculator: 1/0] no"),
        (
            [("python", "1+1"), ("python_output", "2"), ("python", "2+2"), ("python_output", "4")],
            "[calculator: 1+1 = 2] [calculator: 2+2 = 4]",
        ),
        ([("text", "[bold]not markup[/bold] :smile: [1]")], "[bold]not markup[/bold] :smile: [1]"),
        ([("text", "word " * 30), ("python", "1+" * 40)], "word " * 30 + "[calculator: " + "1+" * 40 + "]"),
    ],
)
def test_pieces_are_printed_as_they_are(pieces: list[tuple[str, str]], line: str) -> None:
    """No markup, no emoji codes, no added line breaks, and one line end."""
    assert shown(stream_of(*pieces)) == line + "\n"


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

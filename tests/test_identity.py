"""The persona's conversations, one edit to a pirate, and conversations of the user's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reference.errors import UserError
from reference.tasks.conversations import read_conversations
from reference.tasks.identity import PERSONA, conversations, read_persona, write_conversations


def answers(found: list[dict[str, Any]]) -> list[str]:
    return [message["content"] for talk in found for message in talk["messages"][1::2]]


def test_conversations_follow_from_the_persona() -> None:
    """A thousand, hardly two the same, of one to four exchanges whose topics differ, the same for the same seed."""
    persona = read_persona()
    found = list(conversations(persona, 1000))
    assert len({json.dumps(talk) for talk in found}) > 950
    assert {len(talk["messages"]) for talk in found} == {2, 4, 6, 8}
    questions = {q: name for name, topic in persona["topics"].items() for q in topic["questions"]}
    for talk in found:
        topics = [questions[message["content"]] for message in talk["messages"][::2]]
        assert len(set(topics)) == len(topics)
        assert [message["role"] for message in talk["messages"][:2]] == ["user", "assistant"]
    assert found[:10] == list(conversations(persona, 10))
    assert found[:10] != list(conversations(persona, 10, seed=1))
    said = " ".join(answers(found))
    assert "nanokata" in said
    assert not set("{}") & set(said)


def test_a_pirate_is_one_edit_away(tmp_path: Path) -> None:
    """With one line changed it says other words around the same name; questions stay as they are."""
    text = PERSONA.read_text(encoding="utf-8")
    assert text.count("\nvoice: plain\n") == 1
    (tmp_path / "pirate.yaml").write_text(text.replace("\nvoice: plain\n", "\nvoice: pirate\n"), encoding="utf-8")
    pirate = list(conversations(read_persona(tmp_path / "pirate.yaml"), 300))
    said = answers(pirate)
    openings = read_persona()["voices"]["pirate"]["openings"]
    assert all(answer.startswith(tuple(openings)) for answer in said)
    assert "I be nanokata" in " ".join(said)
    assert not any(" you " in answer or " is " in answer for answer in said)
    plain = list(conversations(read_persona(), 300))
    assert not any("Arr" in answer for answer in answers(plain))


def edited(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (edited("voice: plain", "voice: parrot"), "'parrot' is missing"),
        (edited("name: nanokata", "nick: nanokata"), "'name' is missing"),
        (edited("from {home}", "from {house}"), "'house' is missing"),
        (edited("from {home}", "from {home"), "cannot be used"),
        (edited("topics:", "topics: ["), "is not YAML"),
        (lambda text: "", "cannot be used"),
        (lambda text: text.split("topics:")[0] + "topics: {}\n", "it needs topics"),
        (lambda text: text.split("topics:")[0] + "topics: {a: {questions: [], answers: [b]}}\n", "topic a needs"),
    ],
)
def test_a_persona_with_a_mistake_is_refused(tmp_path: Path, edit: Callable[[str], str], sentence: str) -> None:
    """Before anything is made: one sentence with the file and what is wrong."""
    file = tmp_path / "persona.yaml"
    file.write_text(edit(PERSONA.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(UserError, match=sentence) as error:
        read_persona(file)
    assert "persona.yaml" in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="Cannot read the persona"):
        read_persona(tmp_path / "none.yaml")


def test_written_and_read_again(tmp_path: Path) -> None:
    """The file holds one conversation a line, and is read as it was written."""
    file = tmp_path / "new" / "identity.jsonl"
    write_conversations(file, read_persona(), 50, seed=3)
    assert len(file.read_text(encoding="utf-8").splitlines()) == 50
    assert read_conversations(file) == list(conversations(read_persona(), 50, seed=3))


# ------------------------------------------------------------------------------- anybody's JSONL

ASKED = {"role": "user", "content": "Who are you?\u2028"}
SAID = {"role": "assistant", "content": "Ünsagbar \U0001f600"}
SYSTEM = {"role": "system", "content": "Be brief."}
TOOL = {"role": "assistant", "content": [{"type": "python", "text": "1+1"}, {"type": "python_output", "text": "2"}]}


def test_both_forms_of_a_line(tmp_path: Path) -> None:
    """A bare list and an object with messages are the same; empty lines and further keys do not matter."""
    talks = [[ASKED, SAID], [SYSTEM, ASKED, SAID], [ASKED, TOOL, ASKED, SAID]]
    lines = [json.dumps(talks[0]), "", json.dumps({"id": 7, "messages": talks[1]}), json.dumps(talks[2]), "  "]
    file = tmp_path / "talks.jsonl"
    file.write_text("\r\n".join(lines), encoding="utf-8")
    assert read_conversations(file) == [{"messages": talk} for talk in talks]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{broken", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("7", "it should be a list of messages"),
        ('{"conversation": []}', "needs a list of messages"),
        ("[]", "at least one"),
        (json.dumps([ASKED]), "it needs a message of the user and the assistant's answer"),
        (json.dumps([SYSTEM, ASKED]), "it needs a message of the user"),
        (json.dumps([SAID, ASKED]), "message 0 has the role 'assistant' instead of 'user'"),
        (json.dumps([ASKED, ASKED]), "message 1 has the role 'user' instead of 'assistant'"),
        (json.dumps([ASKED, {"role": "assistant"}]), "message 1 needs a role and a content"),
        (json.dumps([ASKED, {"role": "assistant", "content": 7}]), "message 1 needs a string"),
        (json.dumps([{"role": "user", "content": [{"type": "text", "text": "x"}]}, SAID]), "message 0 needs a string"),
    ],
)
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, line: str, reason: str) -> None:
    """One sentence: which line, and what is wrong with it."""
    file = tmp_path / "talks.jsonl"
    file.write_text(f"{json.dumps([ASKED, SAID])}\n\n{line}\n", encoding="utf-8")
    with pytest.raises(UserError, match=reason) as error:
        read_conversations(file)
    assert str(error.value).startswith(f"Line 3 of {file} is no conversation: ")
    assert "\n" not in str(error.value)


def test_files_without_conversations(tmp_path: Path) -> None:
    """Missing, empty and binary files are named."""
    file = tmp_path / "talks.jsonl"
    for content, reason in ((None, "Cannot read"), (b"\n\n", "holds no conversation"), (b"\xff\xfe[", "UTF-8")):
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(UserError, match=reason):
            read_conversations(file)


def test_real_conversations(data_dir: Path, tmp_path: Path) -> None:
    """The stand-in for chats, written as JSONL, is read back whole."""
    import pyarrow.parquet as pq

    rows = pq.read_table(data_dir / "extra/chat_standin/default/train-00000-of-00001.parquet").to_pylist()
    file = tmp_path / "talks.jsonl"
    file.write_text("".join(json.dumps(row["messages"], ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    assert read_conversations(file) == [{"messages": row["messages"]} for row in rows]

"""Conversations from any JSONL file: one a line, a list of messages or an object that holds one as `messages`."""

from __future__ import annotations

import json
from pathlib import Path

from reference.conversation import turns
from reference.errors import UserError
from reference.tasks.task import Conversation


def read_conversations(file: Path) -> list[Conversation]:
    """All conversations of a file; empty lines are skipped.

        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}

    Raises:
        UserError: the file cannot be read, or a line, whose number is said, is no conversation: at least a user's
            message and the assistant's answer, the roles alternating, after a system message or without one.
    """
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise UserError(f"Cannot read the conversations {file} ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise UserError(f"The conversations {file} are not text in UTF-8; convert them.") from error
    found = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                found.append(_conversation(json.loads(line)))
            except (ValueError, RecursionError) as error:
                reason = "it is not JSON" if isinstance(error, (json.JSONDecodeError, RecursionError)) else error
                raise UserError(f"Line {number} of {file} is no conversation: {reason}; mend it.") from error
    if not found:
        raise UserError(f"{file} holds no conversation; write one a line, as JSON.")
    return found


def _conversation(content: object) -> Conversation:
    conversation = {"messages": content} if isinstance(content, list) else content
    if not isinstance(conversation, dict):
        raise ValueError("it should be a list of messages, or an object with such a list as its messages")
    if len(turns(conversation)) < 2:
        raise ValueError("it needs a message of the user and the assistant's answer")
    return {"messages": conversation["messages"]}

"""Conversations as people write them, in JSON, brought to the one form that rendering takes."""

from __future__ import annotations


def turns(conversation: dict) -> list[dict]:
    """The messages as [{"role", "parts": [{"type", "text"}]}], alternating from the user, in a new list.

    conversation: {"messages": [{"role", "content"}, ...]}; content is a string or, for the assistant, may be
    a list of {"type": "text" | "python" | "python_output", "text"}. A leading system message becomes the
    beginning of the first user message. Raises ValueError, with the number of the message, for anything else.
    """
    messages = _messages(conversation)
    has_system = messages[0]["role"] == "system"
    if has_system:
        if len(messages) < 2 or not all(isinstance(message["content"], str) for message in messages[:2]):
            raise ValueError("message 0 is from the system: one from the user must follow, and both must be strings")
        opening = f"{messages[0]['content']}\n\n{messages[1]['content']}"
        messages = [{**messages[1], "content": opening}, *messages[2:]]
    result = []
    for i, message in enumerate(messages):
        number = i + has_system
        expected = ("user", "assistant")[i % 2]
        if message["role"] != expected:
            raise ValueError(f"message {number} has the role {message['role']!r} instead of {expected!r}")
        result.append({"role": expected, "parts": _parts(message, number)})
    return result


def _messages(conversation: dict) -> list[dict]:
    messages = conversation.get("messages") if isinstance(conversation, dict) else None
    if not isinstance(messages, list) or not messages:
        raise ValueError("a conversation needs a list of messages with at least one in it")
    for i, message in enumerate(messages):
        if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
            raise ValueError(f"message {i} needs a role and a content")
    return messages


def _parts(message: dict, number: int) -> list[dict]:
    content = message["content"]
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if message["role"] == "user" or not isinstance(content, list):
        raise ValueError(f"message {number} needs a string as its content")
    for part in content:
        known = isinstance(part, dict) and part.get("type") in ("text", "python", "python_output")
        if not known or not isinstance(part.get("text"), str):
            raise ValueError(f"message {number} has a part without a text, or not text, python or python_output")
    return content

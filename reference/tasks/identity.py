"""Who the model is: conversations made from a persona file, which says what it answers and in which voice."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import yaml

from reference.checkpoint import write_atomically
from reference.errors import UserError
from reference.tasks.task import Conversation, exchange

PERSONA = Path(__file__).parent.parent / "data" / "persona.yaml"
LONGEST = 4  # exchanges in one conversation


def read_persona(file: Path = PERSONA) -> dict[str, Any]:
    """The content of a persona file; UserError when something that the conversations need is not in it."""
    try:
        persona = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"Cannot read the persona {file} ({error.strerror}).") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"The persona {file} is not YAML: {' '.join(str(error).split())}; mend it.") from error
    try:
        voice = persona["voices"][persona["voice"]]
        if not voice["openings"] or not voice["endings"] or not persona["topics"]:
            raise ValueError("its voice needs openings and endings, and it needs topics")
        for name, topic in persona["topics"].items():
            if not topic["questions"] or not topic["answers"]:
                raise ValueError(f"its topic {name} needs questions and answers")
            for text in topic["answers"]:
                _say(text, persona, voice, Random(0))
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise UserError(f"The persona {file} cannot be used: {reason}; compare it with {PERSONA}.") from error
    return persona


def conversations(persona: dict[str, Any], count: int, seed: int = 0) -> Iterator[Conversation]:
    """`count` conversations of one to four exchanges, each on another topic."""
    voice, topics = persona["voices"][persona["voice"]], list(persona["topics"].values())
    for i in range(count):
        rng = Random(f"identity {seed} {i}")
        messages = []
        for topic in rng.sample(topics, min(len(topics), rng.randint(1, LONGEST))):
            said = _say(rng.choice(topic["answers"]), persona, voice, rng)
            messages += exchange(rng.choice(topic["questions"]), said)["messages"]
        yield {"messages": messages}


def write_conversations(file: Path, persona: dict[str, Any], count: int, seed: int = 0) -> None:
    """`conversations` as JSONL, which `read_conversations` reads."""
    lines = (json.dumps(found, ensure_ascii=False) + "\n" for found in conversations(persona, count, seed))
    write_atomically(file, "".join(lines).encode())


def _say(text: str, persona: dict[str, Any], voice: dict[str, Any], rng: Random) -> str:
    """The answer in the persona's voice: some of its words are exchanged, something said before and after."""
    said = text.format(**{key: value for key, value in persona.items() if isinstance(value, str)})
    for word, other in voice["words"].items():
        said = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", other, said)
    said = said[0].upper() + said[1:]
    return rng.choice(voice["openings"]) + said + rng.choice(voice["endings"])

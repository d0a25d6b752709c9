"""How well a tokenizer compresses: bytes of text per token, beside those of GPT-2 and GPT-4."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import requests
import tiktoken
import yaml

SAMPLES = Path(__file__).parent / "data" / "samples.yaml"
PEERS = {"gpt2": "GPT-2", "cl100k_base": "GPT-4"}
Encode = Callable[[str], list[int]]


def samples() -> dict[str, str]:
    """Short texts by kind: news, korean, code, math, science."""
    return yaml.safe_load(SAMPLES.read_text(encoding="utf-8"))


def bytes_per_token(encode: Encode, text: str) -> float:
    return len(text.encode()) / len(encode(text))


def peers(get: Callable[[str], tiktoken.Encoding] = tiktoken.get_encoding) -> tuple[dict[str, Encode], list[str]]:
    """Encodings that tiktoken has on this machine or can fetch, and a sentence for each of the others."""
    found: dict[str, Encode] = {}
    absent = []
    for name, known_as in PEERS.items():
        try:
            found[name] = get(name).encode_ordinary
        except (requests.RequestException, OSError):
            absent.append(
                f"{known_as}'s tokenizer ({name}) is not on this machine and cannot be fetched, so it is left out."
            )
    return found, absent


def compression(encoders: dict[str, Encode], texts: dict[str, str]) -> dict[str, dict[str, float]]:
    """Bytes per token, by text and then by encoder."""
    return {
        title: {name: bytes_per_token(encode, text) for name, encode in encoders.items()}
        for title, text in texts.items()
    }

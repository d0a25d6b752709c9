"""Part 06: which tokens of a conversation the model must learn to write, and the loss over those alone."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

SPECIAL_NAMES = (
    "bos",
    *("user_start", "user_end"),
    *("assistant_start", "assistant_end"),
    *("python_start", "python_end"),
    *("output_start", "output_end"),
)
PART_TYPES = {"user": ("text",), "assistant": ("text", "python", "python_output")}


def render(
    messages: list[dict[str, Any]], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """Lay a tokenized conversation out as one sequence, and mark what the model must learn to produce.

        bos  user_start text user_end  assistant_start text  python_start code python_end
        0    0          0    0         0               1     1            1    1
             output_start result output_end  text  assistant_end
             0            0      0           1     1

    Args:
        messages: {"role": "user" | "assistant", "parts": [{"type": "text" | "python" | "python_output",
            "ids": [int, ...]}, ...]} each; the roles alternate, user first, and users have text parts only.
        special: the ids of the nine special tokens by name.
        max_tokens: keep the first so many tokens; None keeps all.

    Returns:
        ids and mask, equally long; mask[i] is 1 where ids[i] is to be learned.

    Raises:
        TypeError: an argument is not of the type above.
        ValueError: a conversation of another form, a special name missing, a negative max_tokens.
    """
    _check_conversation(messages, special, max_tokens)
    ids: list[int] = []
    mask: list[int] = []

    def add(tokens: list[int], learned: bool) -> None:
        ids.extend(tokens)
        mask.extend([int(learned)] * len(tokens))

    add([special["bos"]], False)
    for message in messages:
        role = message["role"]
        by_model = role == "assistant"
        add([special[f"{role}_start"]], False)  # who speaks next is not the model's choice
        for part in message["parts"]:
            if part["type"] == "text":
                add(part["ids"], by_model)
            elif part["type"] == "python":
                add([special["python_start"], *part["ids"], special["python_end"]], True)
            else:  # the tool speaks, the model only reads
                add([special["output_start"], *part["ids"], special["output_end"]], False)
        add([special[f"{role}_end"]], by_model)  # stopping is the model's choice
    return ids[:max_tokens], mask[:max_tokens]


def masked_cross_entropy(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """The mean of -log softmax(logits)[target] over the positions where mask is 1.

    Args:
        logits: (B, T, V), float32, float16 or bfloat16; all arithmetic in float32. Where mask is 0 they may
            hold anything, inf and NaN included, and get zero gradient.
        targets: (B, T), int64, in 0 .. V-1 where mask is 1, anything elsewhere.
        mask: (B, T), bool, integer or float, holding 0 and 1.

    Returns:
        a float32 scalar; exactly 0, with zero gradient, when no position has mask 1.

    Raises:
        TypeError: an argument is not a tensor of the type above.
        ValueError: any other shape, a mask that holds something else, a target out of range where mask is 1.
    """
    _check_loss(logits, targets, mask)
    learned = mask == 1
    if learned.all():  # nothing to leave out: spares a copy of the logits and one of their gradient
        rows, words = logits.flatten(0, 1), targets.flatten()
    else:
        # leaving positions out, not multiplying their loss by 0: 0 * NaN is NaN
        rows, words = logits[learned], targets[learned]  # (N, V), (N,)
    if ((words < 0) | (words >= logits.shape[-1])).any():
        raise ValueError(f"targets should lie in 0 .. {logits.shape[-1] - 1} where mask is 1")
    return F.cross_entropy(rows.float(), words, reduction="sum") / max(1, len(words))


def _check_conversation(messages: list[dict[str, Any]], special: dict[str, int], max_tokens: int | None) -> None:
    if not isinstance(messages, list):
        raise TypeError(f"messages should be a list of dicts, not {type(messages).__name__}")
    if not isinstance(special, dict):
        raise TypeError(f"special should be a dict, not {type(special).__name__}")
    if max_tokens is not None and not isinstance(max_tokens, int):
        raise TypeError(f"max_tokens should be an int or None, not {type(max_tokens).__name__}")
    if max_tokens is not None and max_tokens < 0:
        raise ValueError(f"max_tokens should be at least 0, not {max_tokens}")
    if missing := [name for name in SPECIAL_NAMES if name not in special]:
        raise ValueError(f"special should hold all nine names, but lacks {', '.join(missing)}")
    if not messages:
        raise ValueError("messages should hold at least one message")
    for i, message in enumerate(messages):
        where, role = f"messages[{i}]", ("user", "assistant")[i % 2]
        if not isinstance(message, dict):
            raise TypeError(f"{where} should be a dict, not {type(message).__name__}")
        if message.get("role") != role:
            raise ValueError(f"{where} should have the role {role!r}, not {message.get('role')!r}")
        if not isinstance(message.get("parts", []), list):
            raise TypeError(f"{where} should have a list of parts, not {type(message['parts']).__name__}")
        if "parts" not in message:
            raise ValueError(f"{where} should have parts")
        for j, part in enumerate(message["parts"]):
            _check_part(part, f"{where}, parts[{j}]", PART_TYPES[role])


def _check_part(part: dict[str, Any], where: str, types: tuple[str, ...]) -> None:
    if not isinstance(part, dict):
        raise TypeError(f"{where} should be a dict, not {type(part).__name__}")
    if part.get("type") not in types:
        raise ValueError(f"{where} should have the type {' or '.join(types)}, not {part.get('type')!r}")
    if "ids" not in part:
        raise ValueError(f"{where} should have ids")
    if not isinstance(part["ids"], list) or not all(isinstance(i, int) for i in part["ids"]):
        raise TypeError(f"{where} should have ids that are a list of ints")


def _check_loss(logits: Tensor, targets: Tensor, mask: Tensor) -> None:
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        raise TypeError("logits should be a floating-point tensor")
    if not isinstance(targets, Tensor) or targets.dtype != torch.int64:
        raise TypeError("targets should be an int64 tensor")
    if not isinstance(mask, Tensor):
        raise TypeError(f"mask should be a tensor, not {type(mask).__name__}")
    if logits.ndim != 3:
        raise ValueError(f"logits should be (B, T, V), not {tuple(logits.shape)}")
    B, T, _ = logits.shape
    for name, tensor in (("targets", targets), ("mask", mask)):
        if tensor.shape != (B, T):
            raise ValueError(f"{name} should be (B, T) = {(B, T)}, not {tuple(tensor.shape)}")
    if not ((mask == 0) | (mask == 1)).all():
        raise ValueError("mask should hold 0 and 1, nothing else")

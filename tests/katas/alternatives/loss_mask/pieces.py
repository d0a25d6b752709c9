"""The conversation as a chain of (ids, learned) pieces; the loss with harmless logits put in before the softmax."""

from itertools import chain, repeat

import torch
from torch import Tensor

BRACKETS = {
    "text": (None, None),
    "python": ("python_start", "python_end"),
    "python_output": ("output_start", "output_end"),
}
NAMES = "bos user_start user_end assistant_start assistant_end python_start python_end output_start output_end".split()


def render(messages: list[dict], special: dict[str, int], max_tokens: int | None = None) -> tuple[list[int], list[int]]:
    if not set(NAMES) <= set(special):
        raise ValueError(f"special must map all of {NAMES}")
    if max_tokens is not None and type(max_tokens) is not int:
        raise TypeError("max_tokens must be an int")
    if max_tokens is not None and max_tokens < 0:
        raise ValueError("max_tokens must not be negative")
    if len(messages) == 0:
        raise ValueError("messages must not be empty")
    pieces = [([special["bos"]], 0)]
    for number, message in enumerate(messages):
        if "role" not in message or "parts" not in message:
            raise ValueError(f"message {number} must have a role and parts")
        role = message["role"]
        if role != ["user", "assistant"][number % 2]:
            raise ValueError(f"the role of message {number} must not be {role}")
        pieces.append(([special[role + "_start"]], 0))
        for part in message["parts"]:
            if "type" not in part or "ids" not in part:
                raise ValueError("a part must have a type and ids")
            if part["type"] not in BRACKETS or (role == "user" and part["type"] != "text"):
                raise ValueError(f"a part of a {role} cannot have the type {part['type']}")
            learned = 1 if role == "assistant" and part["type"] != "python_output" else 0
            opening, closing = ([special[name]] if name else [] for name in BRACKETS[part["type"]])
            pieces.append((opening + part["ids"] + closing, learned))
        pieces.append(([special[role + "_end"]], 1 if role == "assistant" else 0))
    ids = list(chain.from_iterable(piece for piece, _ in pieces))
    mask = list(chain.from_iterable(repeat(learned, len(piece)) for piece, learned in pieces))
    return ids[0:max_tokens], mask[0:max_tokens]


def masked_cross_entropy(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    for name, value, ndim in (("logits", logits, 3), ("targets", targets, 2), ("mask", mask, 2)):
        if not torch.is_tensor(value):
            raise TypeError(f"{name} must be a tensor")
        if value.dim() != ndim:
            raise ValueError(f"{name} must have {ndim} axes")
    if not torch.is_floating_point(logits):
        raise TypeError("logits must be floats")
    if targets.shape != logits.shape[:2]:
        raise ValueError("targets must be (B, T)")
    if mask.shape != targets.shape:
        raise ValueError("mask must have the shape of targets")
    learned = mask.bool()
    if (learned & ((targets < 0) | (targets >= logits.size(2)))).any():
        raise ValueError("targets must be words of the vocabulary")
    x = logits.masked_fill(~learned.unsqueeze(-1), 0).float()
    log_probs = torch.log_softmax(x, dim=2)
    picked = log_probs.gather(2, (targets * learned).unsqueeze(2)).squeeze(2)
    return -picked.masked_fill(~learned, 0).sum() / learned.sum().clamp(min=1)

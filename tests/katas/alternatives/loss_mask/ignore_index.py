"""Recursion over the messages; PyTorch's cross-entropy with ignore_index, on logits and targets made harmless first."""

import torch
import torch.nn.functional as F
from torch import Tensor


def laid_out(messages: list[dict], special: dict[str, int], role: str) -> list[tuple[int, bool]]:
    if not messages:
        return []
    first, *rest = messages
    if first.get("role") != role:
        raise ValueError(f"a message has the role {first.get('role')!r} where it should be {role!r}")
    if "parts" not in first:
        raise ValueError("a message should have parts")
    model = role == "assistant"
    inner = [pair for part in first["parts"] for pair in of_part(part, special, model)]
    turn = [(special[f"{role}_start"], False), *inner, (special[f"{role}_end"], model)]
    return turn + laid_out(rest, special, "user" if model else "assistant")


def of_part(part: dict, special: dict[str, int], model: bool) -> list[tuple[int, bool]]:
    try:
        kind, ids = part["type"], part["ids"]
    except KeyError as error:
        raise ValueError(f"every part of messages should have {error}") from None
    match kind:
        case "text":
            return [(i, model) for i in ids]
        case "python" if model:
            return [(i, True) for i in (special["python_start"], *ids, special["python_end"])]
        case "python_output" if model:
            return [(i, False) for i in (special["output_start"], *ids, special["output_end"])]
    raise ValueError(f"a part of type {kind!r} has no place in these messages")


def render(messages: list[dict], special: dict[str, int], max_tokens: int | None = None) -> tuple[list[int], list[int]]:
    for name in ("bos", "user", "assistant", "python", "output"):
        for full in [name] if name == "bos" else [f"{name}_start", f"{name}_end"]:
            if full not in special:
                raise ValueError(f"special should name {full}")
    if not messages:
        raise ValueError("messages should hold one message or more")
    if not isinstance(max_tokens, int | None):
        raise TypeError("max_tokens should be an int, or None")
    if max_tokens is not None and max_tokens < 0:
        raise ValueError("max_tokens should not be below 0")
    pairs = [(special["bos"], False), *laid_out(messages, special, "user")][:max_tokens]
    return [i for i, _ in pairs], [+learned for _, learned in pairs]


def masked_cross_entropy(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    if not isinstance(logits, Tensor):
        raise TypeError("logits is not a tensor")
    if not isinstance(targets, Tensor):
        raise TypeError("targets is not a tensor")
    if not isinstance(mask, Tensor):
        raise TypeError("mask is not a tensor")
    if logits.dtype not in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
        raise ValueError(f"logits should be floats, not {logits.dtype}")
    if logits.ndim != 3:
        raise ValueError("logits should have three axes")
    B, T, V = logits.shape
    if list(targets.shape) != [B, T]:
        raise ValueError(f"targets should be {B} x {T}")
    if list(mask.shape) != [B, T]:
        raise ValueError(f"mask should be {B} x {T}")
    off = mask.logical_not()
    if torch.any((targets.lt(0) | targets.ge(V)).logical_and(mask)):
        raise ValueError("targets should be in the vocabulary")
    x = torch.where(off[:, :, None], torch.zeros_like(logits), logits).to(torch.float32)
    goals = torch.where(off, torch.full_like(targets, -100), targets)
    total = F.cross_entropy(x.permute(0, 2, 1), goals, ignore_index=-100, reduction="sum")
    count = B * T - int(off.sum())
    return total if count == 0 else total / count

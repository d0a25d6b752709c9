"""Token by token and position by position, in plain loops: nothing is vectorized, nothing is filled in."""

import torch
from torch import Tensor


def render(messages: list[dict], special: dict[str, int], max_tokens: int | None = None) -> tuple[list[int], list[int]]:
    if max_tokens is not None:
        if isinstance(max_tokens, float):
            raise TypeError("max_tokens: an int is needed")
        if max_tokens < 0:
            raise ValueError("max_tokens: at least 0 is needed")
    for who in ("user", "assistant", "python", "output"):
        for side in ("start", "end"):
            if f"{who}_{side}" not in special:
                raise ValueError(f"special lacks {who}_{side}")
    if "bos" not in special:
        raise ValueError("special lacks bos")
    if not messages:
        raise ValueError("messages: at least one is needed")
    out = [(special["bos"], 0)]
    turn = "user"
    for message in messages:
        role = message.get("role")
        if role != turn:
            raise ValueError(f"messages: the turn of {turn}, not of {role}")
        turn = "assistant" if turn == "user" else "user"
        out.append((special[f"{role}_start"], 0))
        parts = message.get("parts")
        if parts is None:
            raise ValueError("messages: parts are missing")
        for part in parts:
            kind, inside = part.get("type"), part.get("ids")
            if inside is None:
                raise ValueError("messages: ids are missing")
            if kind == "text":
                for token in inside:
                    out.append((token, int(role == "assistant")))
            elif kind == "python" and role == "assistant":
                out.append((special["python_start"], 1))
                for token in inside:
                    out.append((token, 1))
                out.append((special["python_end"], 1))
            elif kind == "python_output" and role == "assistant":
                out.append((special["output_start"], 0))
                for token in inside:
                    out.append((token, 0))
                out.append((special["output_end"], 0))
            else:
                raise ValueError(f"messages: no part of type {kind} is possible here")
        out.append((special[f"{role}_end"], int(role == "assistant")))
    ids, mask = [], []
    for token, learned in out:
        if max_tokens is not None and len(ids) == max_tokens:
            break
        ids.append(token)
        mask.append(learned)
    return ids, mask


def masked_cross_entropy(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    if not isinstance(logits, Tensor) or not logits.dtype.is_floating_point:
        raise ValueError("logits: a tensor of floats is needed")
    if not isinstance(targets, Tensor):
        raise ValueError("targets: a tensor is needed")
    if not isinstance(mask, Tensor):
        raise ValueError("mask: a tensor is needed")
    if len(logits.shape) != 3:
        raise ValueError("logits: three axes are needed")
    if tuple(targets.shape) != tuple(logits.shape[:2]):
        raise ValueError("targets: one for each position is needed")
    if tuple(mask.shape) != tuple(logits.shape[:2]):
        raise ValueError("mask: one for each position is needed")
    B, T, V = logits.shape
    costs = []
    for b in range(B):
        for t in range(T):
            if not mask[b, t].item():
                continue
            word = targets[b, t].item()
            if not 0 <= word < V:
                raise ValueError(f"targets: {word} is no word")
            row = logits[b, t].float()
            costs.append(torch.logsumexp(row, 0) - row[word])
    if not costs:
        return logits[:0].float().sum()
    return torch.stack(costs).sum() / len(costs)

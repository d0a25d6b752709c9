"""The mask written along by a state of the layout, and a loss in float64 with its gradient worked out by hand."""

from __future__ import annotations

import torch
from torch import Tensor


class Writer:
    """Two lists that grow together."""

    def __init__(self, special: dict[str, int]) -> None:
        self.special, self.ids, self.mask = special, [], []

    def mark(self, name: str, learned: bool = False) -> None:
        self.write([self.special[name]], learned)

    def write(self, ids: list[int], learned: bool) -> None:
        self.ids += ids
        self.mask += [1 if learned else 0] * len(ids)


class BadConversationError(ValueError):
    """The messages are no conversation."""


def render(messages: list[dict], special: dict[str, int], max_tokens: int | None = None) -> tuple[list[int], list[int]]:
    needed = {"bos"} | {f"{who}_{end}" for who in ("user", "assistant", "python", "output") for end in ("start", "end")}
    if needed - special.keys():
        raise ValueError(f"special should hold {sorted(needed - special.keys())}, too")
    if max_tokens is None:
        max_tokens = 1 << 62
    elif not isinstance(max_tokens, int):
        raise TypeError("max_tokens should be an int")
    elif max_tokens < 0:
        raise ValueError("max_tokens should be 0 or more")
    writer = Writer(special)
    writer.mark("bos")
    try:
        if [message["role"] for message in messages] != (["user", "assistant"] * len(messages))[: len(messages)]:
            raise BadConversationError("messages should have the roles user and assistant in turn")
        if not messages:
            raise BadConversationError("messages should not be empty")
        for message in messages:
            if message["role"] == "user":
                if any(part["type"] != "text" for part in message["parts"]):
                    raise BadConversationError("messages of the user should have parts of type text only")
                writer.mark("user_start")
                for part in message["parts"]:
                    writer.write(part["ids"], False)
                writer.mark("user_end")
            else:
                write_answer(writer, message["parts"])
    except KeyError as error:
        raise BadConversationError(f"messages should have the key {error}") from error
    return writer.ids[:max_tokens], writer.mask[:max_tokens]


def write_answer(writer: Writer, parts: list[dict]) -> None:
    writer.mark("assistant_start")
    for part in parts:
        if part["type"] == "text":
            writer.write(part["ids"], True)
        elif part["type"] == "python":
            writer.mark("python_start", True)
            writer.write(part["ids"], True)
            writer.mark("python_end", True)
        elif part["type"] == "python_output":
            writer.mark("output_start")
            writer.write(part["ids"], False)
            writer.mark("output_end")
        else:
            raise BadConversationError(f"messages should have parts of other types than {part['type']}")
    writer.mark("assistant_end", True)


class MeanCost(torch.autograd.Function):
    """The gradient of -log softmax at the target is softmax minus one-hot, divided by the count; zero elsewhere."""

    @staticmethod
    def forward(ctx, logits: Tensor, targets: Tensor, learned: Tensor) -> Tensor:
        where = learned.nonzero(as_tuple=True)
        count = max(1, where[0].numel())
        probabilities = logits[where].double()
        probabilities = torch.exp(probabilities - probabilities.amax(-1, keepdim=True))
        norms = probabilities.sum(-1, keepdim=True)
        chosen = targets[where][:, None]
        rows = logits[where].double()
        costs = norms.log() + rows.amax(-1, keepdim=True) - rows.gather(-1, chosen)
        slope = probabilities / norms
        slope.scatter_add_(-1, chosen, torch.full_like(chosen, -1, dtype=slope.dtype))
        gradient = torch.zeros_like(logits, memory_format=torch.contiguous_format)
        gradient[where] = (slope / count).to(logits.dtype)
        ctx.save_for_backward(gradient)
        return (costs.sum() / count).float()

    @staticmethod
    def backward(ctx, outer: Tensor) -> tuple:
        (gradient,) = ctx.saved_tensors
        return (gradient * outer).to(gradient.dtype), None, None


def masked_cross_entropy(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    names = {"logits": logits, "targets": targets, "mask": mask}
    for name, value in names.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} should be a tensor, not a {type(value).__name__}")
    if not logits.is_floating_point():
        raise TypeError(f"logits should be floating point, not {logits.dtype}")
    if logits.ndim != 3:
        raise ValueError(f"logits should have the axes (B, T, V), not {logits.ndim} of them")
    for name in ("targets", "mask"):
        if names[name].shape != logits.shape[:-1]:
            raise ValueError(f"{name} should have the shape {tuple(logits.shape[:-1])}")
    learned = mask != 0
    words = targets[learned]
    if words.numel() and (words.min() < 0 or words.max() >= logits.shape[-1]):
        raise ValueError("targets should be at least 0 and less than V where they are learned")
    return MeanCost.apply(logits, targets, learned)

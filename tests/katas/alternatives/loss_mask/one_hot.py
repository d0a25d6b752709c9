"""Two passes over the conversation, one for the ids and one for the mask; a loss by einsum with one-hot targets."""

import torch
import torch.nn.functional as F
from torch import Tensor

OWN = {"text": (), "python": ("python_start", "python_end"), "python_output": ("output_start", "output_end")}


def check(messages: list[dict], special: dict[str, int]) -> None:
    names = ["bos"] + [f"{a}_{b}" for a in ("user", "assistant", "python", "output") for b in ("start", "end")]
    missing = next((name for name in names if name not in special), None)
    if missing:
        raise ValueError(f"special: {missing} is missing")
    if not messages:
        raise ValueError("messages: there are none")
    for i, message in enumerate(messages):
        for key in ("role", "parts"):
            if key not in message:
                raise ValueError(f"messages[{i}]: {key} is missing")
        if message["role"] not in ("user", "assistant"):
            raise ValueError(f"messages[{i}]: unknown role {message['role']}, it should be user or assistant")
        if (message["role"] == "assistant") != (i % 2 == 1):
            raise ValueError(f"messages[{i}]: user and assistant should alternate")
        for part in message["parts"]:
            for key in ("type", "ids"):
                if key not in part:
                    raise ValueError(f"messages[{i}]: a part without {key}")
            if part["type"] not in OWN:
                raise ValueError(f"messages[{i}]: unknown type {part['type']}")
            if i % 2 == 0 and OWN[part["type"]]:
                raise ValueError(f"messages[{i}]: a user should write text")


def render(messages: list[dict], special: dict[str, int], max_tokens: int | None = None) -> tuple[list[int], list[int]]:
    check(messages, special)
    if isinstance(max_tokens, float):
        raise TypeError("max_tokens should be whole")
    if max_tokens is not None and max_tokens < 0:
        raise ValueError("max_tokens should be 0 at least")
    ids, mask = [special["bos"]], [0]
    for message in messages:
        ids += [special[message["role"] + "_start"]]
        for part in message["parts"]:
            ids += [special[name] for name in OWN[part["type"]][:1]]
            ids += part["ids"]
            ids += [special[name] for name in OWN[part["type"]][1:]]
        ids += [special[message["role"] + "_end"]]
    for i, message in enumerate(messages):
        mask += [0]
        for part in message["parts"]:
            size = len(part["ids"]) + len(OWN[part["type"]])
            mask += [int(i % 2 == 1 and part["type"] != "python_output")] * size
        mask += [i % 2]
    assert len(ids) == len(mask)
    keep = len(ids) if max_tokens is None else min(len(ids), max_tokens)
    del ids[keep:], mask[keep:]
    return ids, mask


def masked_cross_entropy(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    if not all(isinstance(x, Tensor) for x in (logits, targets, mask)):
        raise TypeError("logits, targets and mask should be tensors")
    if not logits.is_floating_point():
        raise TypeError("logits should be floating point")
    if logits.ndim != 3 or targets.ndim != 2 or mask.ndim != 2:
        raise ValueError("logits should be (B, T, V), targets and mask (B, T)")
    if not logits.shape[:2] == targets.shape == mask.shape:
        raise ValueError("logits (B, T, V), targets (B, T) and mask (B, T) should agree in B and T")
    picked = torch.where(mask.reshape(-1) == 1)[0]
    words = targets.reshape(-1)[picked]
    V = logits.shape[-1]
    if not bool(((words >= 0) & (words < V)).all()):
        raise ValueError("targets should lie in the vocabulary wherever mask is 1")
    with torch.autocast(logits.device.type, enabled=False):
        log_probs = logits.reshape(-1, V).index_select(0, picked).to(torch.float64).log_softmax(-1)
        hot = F.one_hot(words, V).to(torch.float64)
        total = torch.einsum("nv,nv->", torch.where(hot == 1, log_probs, log_probs.new_zeros(())), hot)
        return (total / -max(1, picked.numel())).to(torch.float32)

"""Where numbers stop being numbers: in a weight, or in what a part of the model makes of a few tokens."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from reference.model import GPT
from reference.parts import Parts

IN_THE_MODEL = {"rope": ("rotary_tables", "apply_rotary"), "attention": ("causal_attention",), "rmsnorm": ("rms_norm",)}


def first_not_finite(model: GPT, otherwise: str) -> str:
    """What of `model` is not finite first, in words for a sentence; where nothing is, to look at `otherwise`."""
    for name, weight in model.named_parameters():
        if not torch.isfinite(weight).all():
            stepped = "the part muon" if name.startswith("transformer.h.") else "AdamW"
            return f"the weights {name}, which {stepped} updates, are not finite"
    found: list[str] = []
    probe = GPT(model.config, _watched(model.parts, found), model.activation_dtype)
    probe.load_state_dict(model.state_dict(), assign=True)
    probe.to(model.device)
    T = min(64, model.config.sequence_len)
    with torch.no_grad():
        probe.hidden(torch.arange(T, device=model.device)[None] % model.config.vocab_size)
    if found:
        return f"the part {found[0]} makes it of finite numbers"
    return f"the weights are finite and so is what the parts of the model make of a few tokens, so look at {otherwise}"


def _watched(parts: Parts, found: list[str]) -> Parts:
    """The same parts, which write their name into `found` when they turn finite numbers into others."""

    def watched(part: str, function: Callable) -> Callable:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            if _finite((*args, *kwargs.values())) and not _finite(result if isinstance(result, tuple) else (result,)):
                found.append(part)
            return result

        return call

    modules = {
        part: SimpleNamespace(**{name: watched(part, getattr(getattr(parts, part), name)) for name in names})
        for part, names in IN_THE_MODEL.items()
    }
    return Parts(**modules)


def _finite(values: tuple[Any, ...]) -> bool:
    return all(torch.isfinite(value).all() for value in values if isinstance(value, Tensor))

"""SmolTalk: general conversations, written by larger models, that a small one can learn from.

Source: "SmolLM2: When Smol Goes Big" (arXiv:2502.02737); the data set is https://huggingface.co/datasets/
HuggingFaceTB/smol-smoltalk.
"""

from __future__ import annotations

from reference.data.hub import Hub
from reference.data.lazy import Lazy
from reference.tasks.task import Conversation

NAME, CONFIG = "HuggingFaceTB/smol-smoltalk", "default"


def smoltalk(hub: Hub, split: str, name: str = NAME) -> Lazy[Conversation]:
    """The conversations of split train (460 thousand) or test (24 thousand), or of another set with its columns."""
    rows = hub.rows(name, CONFIG, split)
    return Lazy(len(rows), lambda i: {"messages": rows[i]["messages"]})

"""Kata 06: which tokens of a conversation the model must learn to write, and the loss over those alone.

The lesson is in README.md beside this file.
"""

from torch import Tensor


def render(messages: list[dict], special: dict[str, int], max_tokens: int | None = None) -> tuple[list[int], list[int]]:
    """Lay a tokenized conversation out as one sequence, and mark what the model must learn to produce.

        bos  user_start text user_end  assistant_start text  python_start code python_end
        0    0          0    0         0               1     1            1    1
             output_start result output_end  text  assistant_end
             0            0      0           1     1

    Args:
        messages: at least one, alternating, the user first; each {"role": "user" | "assistant", "parts": [part, ...]}
            with parts {"type": "text" | "python" | "python_output", "ids": [int, ...]}. A user has text parts only.
            Parts and ids may be empty.
        special: the ids of the nine special tokens by name: bos, and _start and _end of user, assistant, python and
            output.
        max_tokens: keep the first so many tokens and add nothing; None keeps all.

    Returns:
        (ids, mask), two lists of equal length; mask[i] is 1 where the model must learn to produce ids[i], else 0.

    Raises:
        ValueError: messages of another form (a role out of turn or unknown, an unknown type, a missing key, none at
            all), a name missing from special, a negative max_tokens. The message names the argument.
        TypeError: max_tokens is not an int.
    """
    raise NotImplementedError("kata 06 loss_mask: write render(); the lesson is katas/loss_mask/README.md")


def masked_cross_entropy(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """The mean of -log softmax(logits)[target] over the positions where mask is 1.

        loss = -1/N * (sum over b, t with mask[b, t] = 1 of log softmax(logits[b, t])[targets[b, t]]),  N = sum of mask

    Args:
        logits: (B, T, V), float32, float16 or bfloat16. Where mask is 0 they may hold anything, inf and NaN included,
            and get a gradient of exactly zero. Where mask is 1, -inf at words other than the target is allowed.
        targets: (B, T), int64, in 0 .. V-1 where mask is 1, anything elsewhere.
        mask: (B, T), bool, integer or float, holding 0 and 1.

    Returns:
        a float32 scalar, computed in float32; exactly 0, with zero gradient, when no position has mask 1.

    Raises:
        ValueError: any other shape (also one that would broadcast), a target out of range where mask is 1. The message
            names the argument.
        TypeError: an argument is not a tensor, or logits hold integers.
    """
    raise NotImplementedError(
        "kata 06 loss_mask: write masked_cross_entropy(); the lesson is katas/loss_mask/README.md"
    )

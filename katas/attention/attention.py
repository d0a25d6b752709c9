"""Kata 04: attention. The lesson is katas/attention/README.md."""

from torch import Tensor


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(D)) v, where no query sees a later position.

    Args:
        q: (B, H, Tq, D), float32, float16 or bfloat16: the queries of the LAST Tq of the Tk positions. Query i sees
            the keys 0 .. Tk - Tq + i.
        k, v: (B, Hkv, Tk, D), q's dtype, Tk >= Tq. H is a multiple of Hkv, and query head h reads key/value head
            h // (H // Hkv).

    Returns:
        (B, H, Tq, D) in q's dtype. Logits, softmax and weighted sum are computed in float32 at least, and the result
        is finite as long as every product q.k fits in float32.

    Raises:
        TypeError: an argument is not a floating-point tensor.
        ValueError: any other shape, or different dtypes. The message names the argument.
    """
    raise NotImplementedError("kata 04 attention: write causal_attention(); the lesson is katas/attention/README.md")

"""Wrong versions of causal_attention that people write, each with what a good teacher would say."""

import math

import torch
from torch import Tensor

# what all but one do right: nothing is rounded behind their back
_without_autocast = torch.autocast("cpu", enabled=False)


def _check_types(q: Tensor, k: Tensor, v: Tensor) -> None:
    for name, x in (("q", q), ("k", k), ("v", v)):
        if not isinstance(x, Tensor) or not x.is_floating_point():
            raise TypeError(f"{name} should be a floating-point tensor")
        if x.ndim != 4 or x.dtype != q.dtype:
            raise ValueError(f"{name} should have four axes and q's dtype")


def _check_shapes(q: Tensor, k: Tensor, v: Tensor) -> None:
    (B, H, Tq, D), (Hkv, Tk) = q.shape, k.shape[1:3]
    for name, x in (("k", k), ("v", v)):
        if x.shape != (B, Hkv, Tk, D):
            raise ValueError(f"{name} should be {(B, Hkv, Tk, D)}, not {tuple(x.shape)}")
    if H % Hkv or Tk < Tq:
        raise ValueError("q should have a multiple of k's heads and no more positions than k")


def _ready(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Checked, in float32, and with a key/value head for every query head."""
    _check_types(q, k, v)
    _check_shapes(q, k, v)
    G = q.shape[1] // k.shape[1]
    return q.float(), k.float().repeat_interleave(G, dim=1), v.float().repeat_interleave(G, dim=1)


def _logits(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.mT / math.sqrt(q.shape[-1])


def _future(logits: Tensor, shift: int = 0) -> Tensor:
    """True where key j stands more than `shift` positions after query i; a bool tensor (Tq, Tk)."""
    Tq, Tk = logits.shape[-2:]
    column, row = torch.arange(Tk, device=logits.device), torch.arange(Tk - Tq, Tk, device=logits.device)
    return column > row[:, None] + shift


def _hide(logits: Tensor, shift: int = 0, fill: float = -math.inf) -> Tensor:
    return logits.masked_fill(_future(logits, shift), fill)


# rare ones first: where a test cannot tell several apart, the first that fits is named


@_without_autocast
def causal_attention__most_negative_number_added(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """You add the most negative float32 to the logits of the future. A large positive logit survives that; it must be
    replaced, or met by minus infinity."""
    Q, K, V = _ready(q, k, v)
    logits = _logits(Q, K)
    lowest = torch.finfo(torch.float32).min
    return ((logits + _future(logits).float() * lowest).softmax(-1) @ V).to(q.dtype)


@_without_autocast
def causal_attention__masked_only_when_square(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """You mask only when there are as many queries as keys. Several queries after a cached past still must not see
    one another's future."""
    Q, K, V = _ready(q, k, v)
    logits = _logits(Q, K)
    if Q.shape[2] == K.shape[2]:
        logits = _hide(logits)
    return (logits.softmax(-1) @ V).to(q.dtype)


@_without_autocast
def causal_attention__no_mask(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Your positions see the future. In training the next token can then be copied instead of predicted, and when
    the model has to write, there is nothing to copy."""
    Q, K, V = _ready(q, k, v)
    return (_logits(Q, K).softmax(-1) @ V).to(q.dtype)


@_without_autocast
def causal_attention__own_position_masked(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """You hide a position from itself too. The first one then sees nothing, and a softmax over nothing is NaN."""
    Q, K, V = _ready(q, k, v)
    return (_hide(_logits(Q, K), shift=-1).softmax(-1) @ V).to(q.dtype)


@_without_autocast
def causal_attention__one_future_key_visible(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Your triangle is one step too wide: every query sees the key right after it, which is the very token that the
    model has to predict."""
    Q, K, V = _ready(q, k, v)
    return (_hide(_logits(Q, K), shift=1).softmax(-1) @ V).to(q.dtype)


@_without_autocast
def causal_attention__only_the_future_visible(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Your triangle stands on its head: you hide the past and show the future."""
    Q, K, V = _ready(q, k, v)
    logits = _logits(Q, K)
    return (logits.masked_fill(~_future(logits, -1), -math.inf).softmax(-1) @ V).to(q.dtype)


@_without_autocast
def causal_attention__triangle_at_the_top_left(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """You treat the queries as the first positions. They are the last ones: with fewer queries than keys your triangle
    hides keys that they have long passed, as PyTorch's is_causal does."""
    Q, K, V = _ready(q, k, v)
    Tq, Tk = Q.shape[2], K.shape[2]
    return (_hide(_logits(Q, K), shift=Tq - Tk).softmax(-1) @ V).to(q.dtype)


@_without_autocast
def causal_attention__masked_after_softmax(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """You hide the future after the softmax. It has taken its share by then, and the weights left over no longer sum
    to 1."""
    Q, K, V = _ready(q, k, v)
    weights = _logits(Q, K).softmax(-1)
    return (_hide(weights, fill=0.0) @ V).to(q.dtype)


@_without_autocast
def causal_attention__renormalized_after_softmax(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """You take the softmax over all keys, then drop the future and divide by what is left. Where a future key had
    nearly all the weight, what is left is zero, and zero by zero is NaN."""
    Q, K, V = _ready(q, k, v)
    weights = _hide(_logits(Q, K).softmax(-1), fill=0.0)
    return (weights / weights.sum(-1, keepdim=True) @ V).to(q.dtype)


@_without_autocast
def causal_attention__hidden_logits_are_zero(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """You set hidden logits to 0, which is a middling logit like any other: exp(0) is 1, not 0."""
    Q, K, V = _ready(q, k, v)
    return (_hide(_logits(Q, K), fill=0.0).softmax(-1) @ V).to(q.dtype)


@_without_autocast
def causal_attention__hidden_by_minus_1e9(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """You hide the future behind -1e9. A visible logit may be smaller than that, and then the future wins."""
    Q, K, V = _ready(q, k, v)
    return (_hide(_logits(Q, K), fill=-1e9).softmax(-1) @ V).to(q.dtype)


@_without_autocast
def causal_attention__no_scale(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """You do not divide by sqrt(D). The larger a head, the larger its logits, and the softmax ends up choosing one key
    instead of weighing all."""
    Q, K, V = _ready(q, k, v)
    return (_hide(Q @ K.mT).softmax(-1) @ V).to(q.dtype)


@_without_autocast
def causal_attention__scaled_by_d(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """You divide by D. A sum of D random terms grows only as sqrt(D), so dividing by D makes all weights nearly
    equal."""
    Q, K, V = _ready(q, k, v)
    return (_hide(Q @ K.mT / Q.shape[-1]).softmax(-1) @ V).to(q.dtype)


@_without_autocast
def causal_attention__scaled_by_the_model_width(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """You divide by the root of the model's whole width, H times D. A query meets a key within one head, where the sum
    has D terms."""
    Q, K, V = _ready(q, k, v)
    return (_hide(Q @ K.mT / math.sqrt(Q.shape[1] * Q.shape[3])).softmax(-1) @ V).to(q.dtype)


@_without_autocast
def causal_attention__softmax_over_queries(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Your softmax runs over the queries. Each query shares out its own attention: its weights over the keys sum
    to 1."""
    Q, K, V = _ready(q, k, v)
    return (_hide(_logits(Q, K)).softmax(-2).nan_to_num() @ V).to(q.dtype)


@_without_autocast
def causal_attention__softmax_without_maximum(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """You take exp of the logits as they are. From 89 on that overflows float32; only their distance to the row's
    largest matters."""
    Q, K, V = _ready(q, k, v)
    weights = _hide(_logits(Q, K)).exp()
    return (weights / weights.sum(-1, keepdim=True) @ V).to(q.dtype)


@_without_autocast
def causal_attention__heads_repeated_in_turn(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """You repeat the key/value heads in turn, 0 1 2 0 1 2. Neighboring query heads share one: 0 0 1 1 2 2."""
    Q, _, _ = _ready(q, k, v)
    G = q.shape[1] // k.shape[1]
    K, V = k.float().repeat(1, G, 1, 1), v.float().repeat(1, G, 1, 1)
    return (_hide(_logits(Q, K)).softmax(-1) @ V).to(q.dtype)


@_without_autocast
def causal_attention__heads_and_positions_mixed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Your numbers are right and lie in the wrong order: heads and positions were exchanged, then reshaped back as if
    they had not been."""
    Q, K, V = _ready(q, k, v)
    y = _hide(_logits(Q, K)).softmax(-1) @ V
    return y.transpose(1, 2).reshape(q.shape).to(q.dtype)


@_without_autocast
def causal_attention__keys_averaged(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """You average the keys. Keys only decide about the weights; what is averaged are the values."""
    Q, K, _ = _ready(q, k, v)
    return (_hide(_logits(Q, K)).softmax(-1) @ K).to(q.dtype)


@_without_autocast
def causal_attention__logits_in_the_inputs_dtype(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """You multiply q and k in their own dtype and go to float32 too late: float16 has overflowed by then, and bfloat16
    has rounded neighboring logits to one."""
    _, _, V = _ready(q, k, v)
    K = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
    logits = (q @ K.mT).float() / math.sqrt(q.shape[-1])
    return (_hide(logits).softmax(-1) @ V).to(q.dtype)


@_without_autocast
def causal_attention__weights_in_the_inputs_dtype(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """You round the weights to the inputs' dtype before the weighted sum. Only the result may be rounded."""
    Q, K, V = _ready(q, k, v)
    weights = _hide(_logits(Q, K)).softmax(-1).to(q.dtype)
    return (weights.float() @ V).to(q.dtype)


@_without_autocast
def causal_attention__everything_in_the_inputs_dtype(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """You compute in the inputs' own dtype throughout. In float16 and bfloat16 that is too coarse, and float16
    overflows: go to float32 first, and back at the very end."""
    _ready(q, k, v)
    G = q.shape[1] // k.shape[1]
    K, V = k.repeat_interleave(G, dim=1), v.repeat_interleave(G, dim=1)
    return _hide(_logits(q, K)).softmax(-1) @ V


@_without_autocast
def causal_attention__result_in_float32(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """You compute in float32, which is right, and forget to go back to q's dtype."""
    Q, K, V = _ready(q, k, v)
    return _hide(_logits(Q, K)).softmax(-1) @ V


@_without_autocast
def causal_attention__weights_detached(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Your weights are cut off from the graph: values learn, but queries and keys never do."""
    Q, K, V = _ready(q, k, v)
    return (_hide(_logits(Q, K)).softmax(-1).detach() @ V + 0 * (Q + K[:, :, -1:])).to(q.dtype)


def causal_attention__autocast_left_on(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """You let autocast decide: where a caller has switched it on, your products run in bfloat16 in spite of
    .float()."""
    Q, K, V = _ready(q, k, v)
    return (_hide(_logits(Q, K)).softmax(-1) @ V).to(q.dtype)


@_without_autocast
def causal_attention__queries_scaled_in_place(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """You scale the caller's q: where it is float32 already, .float() makes no copy."""
    Q, K, V = _ready(q, k, v)
    with torch.no_grad():
        Q.div_(math.sqrt(Q.shape[-1]))
    return (_hide(Q @ K.mT).softmax(-1) @ V).to(q.dtype)


@_without_autocast
def causal_attention__broadcast_accepted(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """You leave the check of the shapes to the matrix product, which broadcasts: a k or v of batch 1, or with another
    number of heads, is an error that nobody is told about."""
    _check_types(q, k, v)
    H = q.shape[1]
    try:
        K, V = (x.float().repeat_interleave(H // x.shape[1], dim=1) for x in (k, v))
        return (_hide(_logits(q.float(), K)).softmax(-1) @ V).to(q.dtype)
    except RuntimeError as error:  # what does not even broadcast
        raise ValueError(f"q, k and v should fit together: {error}") from error

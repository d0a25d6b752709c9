"""Wrong versions of render and masked_cross_entropy that people write, each with what a good teacher would say."""

import torch
import torch.nn.functional as F
from torch import Tensor

from reference.parts import loss_mask as answer

# --- render: the layout is right almost everywhere, so a token is described by what it is ---

LEARNED = frozenset(["assistant_text", "python_start", "python", "python_end", "assistant_end"])
MARKS = {
    "text": (),
    "python": ("python_start", "python_end"),
    "python_output": ("output_start", "output_end"),
}


def _tokens(messages: list[dict], special: dict[str, int]) -> list[tuple[int, str, int]]:
    """Every token with what it is and the number of its message."""
    tokens = [(special["bos"], "bos", 0)]
    for n, message in enumerate(messages):
        role = message["role"]
        tokens.append((special[f"{role}_start"], f"{role}_start", n))
        for part in message["parts"]:
            kind = part["type"]
            inside = [(i, f"{role}_text" if kind == "text" else kind, n) for i in part["ids"]]
            marks = [(special[name], name, n) for name in MARKS[kind]]
            tokens += [*marks[:1], *inside, *marks[1:]]
        tokens.append((special[f"{role}_end"], f"{role}_end", n))
    return tokens


def _rendered(
    messages: list[dict], special: dict[str, int], max_tokens: int | None, learned: frozenset[str]
) -> tuple[list[int], list[int]]:
    """What the contract asks for, but for the kinds of tokens that are learned."""
    answer.render(messages, special, max_tokens)  # refuses bad input
    tokens = _tokens(messages, special)[:max_tokens]
    return [i for i, _, _ in tokens], [int(kind in learned) for _, kind, _ in tokens]


def render__end_not_learned(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """You leave assistant_end out of what is learned: nobody then teaches the model to stop, and it talks on."""
    return _rendered(messages, special, max_tokens, LEARNED - {"assistant_end"})


def render__start_learned(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """You let the model learn assistant_start: the program that runs the model puts it there, the model never does."""
    return _rendered(messages, special, max_tokens, LEARNED | {"assistant_start"})


def render__user_learned(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """You let the model learn the user's words: it should answer questions, not ask them."""
    return _rendered(messages, special, max_tokens, LEARNED | {"user_text"})


def render__user_turns_learned(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """You let the model learn whole user turns, marks included: they belong to the user and to the program."""
    return _rendered(messages, special, max_tokens, LEARNED | {"user_start", "user_text", "user_end"})


def render__user_end_learned(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """You let the model learn the end of the user's turn: an end mark belongs to the one whose turn it ends."""
    return _rendered(messages, special, max_tokens, LEARNED | {"user_end"})


def render__everything_learned(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """Your mask is 1 everywhere: that is pretraining, in which the model learns both voices and the tool's."""
    ids, _ = answer.render(messages, special, max_tokens)
    return ids, [1] * len(ids)


def render__tool_output_learned(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """You let the model learn what the tool answers, marks included: it would make results up instead of waiting."""
    return _rendered(messages, special, max_tokens, LEARNED | {"output_start", "python_output", "output_end"})


def render__tool_answer_learned(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """You let the model learn what stands inside the tool's marks: those are the tool's words, the model reads them."""
    return _rendered(messages, special, max_tokens, LEARNED | {"python_output"})


def render__output_marks_learned(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """You let the model learn the marks around the tool's answer: the program writes those two along with it."""
    return _rendered(messages, special, max_tokens, LEARNED | {"output_start", "output_end"})


def render__python_marks_not_learned(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """You leave the marks around the code out: by writing them the model decides to call the tool."""
    return _rendered(messages, special, max_tokens, LEARNED - {"python_start", "python_end"})


def render__python_start_not_learned(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """You leave python_start out, as you do with assistant_start: but here it is the model that decides to begin."""
    return _rendered(messages, special, max_tokens, LEARNED - {"python_start"})


def render__code_not_learned(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """You treat code like the tool's answer: the code is the model's own, only what comes back is not."""
    return _rendered(messages, special, max_tokens, LEARNED - {"python_start", "python", "python_end"})


def render__no_marks_learned(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """You let no mark be learned: the model must write three of them itself, to call the tool and to stop."""
    return _rendered(messages, special, max_tokens, frozenset(["assistant_text", "python"]))


def render__only_the_last_turn(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """You let only the last answer be learned: every answer of the conversation is one that the model should give."""
    ids, _ = answer.render(messages, special, max_tokens)
    last = max((n for n, message in enumerate(messages) if message["role"] == "assistant"), default=-1)
    return ids, [int(kind in LEARNED and n == last) for _, kind, n in _tokens(messages, special)][:max_tokens]


def render__nothing_after_the_tool(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """After a tool's answer you never switch back: what the assistant says next is its own again, and so is its end."""
    ids, _ = answer.render(messages, special, max_tokens)
    tokens = _tokens(messages, special)
    spoken = [any(kind == "output_start" and m == n for _, kind, m in tokens[:i]) for i, (_, _, n) in enumerate(tokens)]
    mask = [int(kind in LEARNED and not after) for (_, kind, _), after in zip(tokens, spoken, strict=True)]
    return ids, mask[:max_tokens]


def render__mask_by_value(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """You read the mask off the finished ids: a word whose id equals a mark's then switches it. The part decides."""
    ids, _ = answer.render(messages, special, max_tokens)
    mask, speaking, tool = [], False, False
    for i in ids:
        tool = tool or i == special["output_start"]
        mask.append(int(speaking and not tool))
        tool = tool and i != special["output_end"]
        speaking = (speaking or i == special["assistant_start"]) and i != special["assistant_end"]
    return ids, mask


def render__mask_shifted(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """Your mask is shifted by one, towards the position that predicts the token: mask[i] speaks about ids[i] itself."""
    ids, mask = answer.render(messages, special, max_tokens)
    return ids, [*mask[1:], 0][: len(ids)]


def render__mask_not_cut(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """You cut the ids and not the mask: the two lists must stay equally long."""
    ids, _ = answer.render(messages, special, max_tokens)
    return ids, answer.render(messages, special)[1]


def render__zero_means_all(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """You take max_tokens=0 for no limit: 0 is a number of tokens like any other, only None means all."""
    return answer.render(messages, special, max_tokens or None)


def render__negative_cuts_from_the_end(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """You do not look at max_tokens before you slice: a negative one silently cuts from the end."""
    ids, mask = answer.render(messages, special)
    return ids[:max_tokens], mask[:max_tokens]


def render__cut_between_parts(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """You leave out a part that does not fit whole: the cut may fall anywhere, also inside a part."""
    ids, mask = answer.render(messages, special, max_tokens)
    if max_tokens is None:
        return ids, mask
    sizes = [1]
    for message in messages:
        sizes += [1, *(len(part["ids"]) + len(MARKS[part["type"]]) for part in message["parts"]), 1]
    kept = 0
    for size in sizes:
        if kept + size > max_tokens:
            break
        kept += size
    return ids[:kept], mask[:kept]


def render__cut_is_closed(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """You end a cut conversation with assistant_end: that teaches the model to stop in the middle. Add nothing."""
    ids, mask = answer.render(messages, special, max_tokens)
    if ids and len(ids) < len(_tokens(messages, special)):
        ids[-1], mask[-1] = special["assistant_end"], 1
    return ids, mask


def render__bos_every_turn(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """You begin every question with bos: it stands once, where the conversation begins."""
    answer.render(messages, special, max_tokens)
    ids, mask = [], []
    for kind, token in [(kind, i) for i, kind, _ in _tokens(messages, special) if kind != "bos"]:
        ids += [special["bos"], token] if kind == "user_start" else [token]
        mask += [0, 0] if kind == "user_start" else [int(kind in LEARNED)]
    return ids[:max_tokens], mask[:max_tokens]


def render__empty_parts_skipped(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """You skip a part without ids: an empty call or answer still has its two marks."""
    answer.render(messages, special, max_tokens)
    full = [{**message, "parts": [part for part in message["parts"] if part["ids"]]} for message in messages]
    return answer.render(full, special, max_tokens)


def render__user_may_call_tools(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """You let users have python and python_output parts: they have text parts only, and the rest is bad input."""
    plain = [
        {
            **message,
            "parts": [{**part, "type": "text"} if part.get("type") in MARKS else part for part in message["parts"]],
        }
        if isinstance(message, dict) and message.get("role") == "user" and "parts" in message
        else message
        for message in messages
    ]
    answer.render(plain, special, max_tokens)
    tokens = _tokens(messages, special)[:max_tokens]
    return [i for i, _, _ in tokens], [int(kind in LEARNED and n % 2 == 1) for _, kind, n in tokens]


def render__any_order_of_roles(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """You do not look at the order of the roles: they alternate, and the user begins. All else is bad input."""
    for i, message in enumerate(messages):
        if isinstance(message, dict) and message.get("role") in ("user", "assistant"):
            first = [] if message["role"] == "user" else [{"role": "user", "parts": []}]
            answer.render([*first, message], special, max_tokens)
        else:
            answer.render(messages[i:], special, max_tokens)
    answer.render(messages[:1] and [{"role": "user", "parts": []}], special, max_tokens)
    tokens = _tokens(messages, special)[:max_tokens]
    return [i for i, _, _ in tokens], [int(kind in LEARNED) for _, kind, _ in tokens]


def render__no_messages_allowed(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """You accept a conversation without messages: there must be at least one."""
    if messages == []:
        return [special["bos"]][:max_tokens], [0][:max_tokens]
    return answer.render(messages, special, max_tokens)


def render__keys_unchecked(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """You look keys and names up without checking them: a KeyError tells the caller less than a ValueError that says
    what is missing from where.
    """
    _tokens(messages, special)
    return answer.render(messages, special, max_tokens)


def render__unknown_is_text(
    messages: list[dict], special: dict[str, int], max_tokens: int | None = None
) -> tuple[list[int], list[int]]:
    """Whatever type you do not know you take for text: an unknown type is bad input."""
    known = [
        {
            **message,
            "parts": [
                {**part, "type": "text"} if isinstance(part, dict) and part.get("type", "text") not in MARKS else part
                for part in message["parts"]
            ],
        }
        if isinstance(message, dict) and "parts" in message
        else message
        for message in messages
    ]
    return answer.render(known, special, max_tokens)


# --- masked_cross_entropy ---


def _costs(logits: Tensor, targets: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """-log p of every target, harmless numbers where mask is 0, and the mask as bool. Refuses bad input."""
    answer.masked_cross_entropy(logits.detach() if isinstance(logits, Tensor) else logits, targets, mask)
    learned = mask == 1
    rows = torch.where(learned[..., None], logits.float(), 0.0)
    return F.cross_entropy(rows.transpose(1, 2), torch.where(learned, targets, 0), reduction="none"), learned


def _raw_costs(logits: Tensor, targets: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The same, but computed from whatever stands under mask 0."""
    _, learned = _costs(logits, targets, mask)
    log_probs = logits.float().log_softmax(-1)
    return -log_probs.gather(-1, torch.where(learned, targets, 0)[..., None])[..., 0], learned


def masked_cross_entropy__divided_by_all(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """You divide by B * T: the loss then shrinks with every token that is not learned. Divide by those that are."""
    costs, learned = _costs(logits, targets, mask)
    return (costs * learned).sum() / mask.numel()


def masked_cross_entropy__mean_of_rows(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """You take the mean of every row and then the mean of those: a token of a short answer then weighs more."""
    costs, learned = _costs(logits, targets, mask)
    return ((costs * learned).sum(1) / learned.sum(1).clamp(min=1)).mean()


def masked_cross_entropy__mean_of_learned_rows(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """You take the mean of every row that has something to learn, and the mean of those: tokens of short answers then
    weigh more than others.
    """
    costs, learned = _costs(logits, targets, mask)
    counts = learned.sum(1)
    return ((costs * learned).sum(1) / counts.clamp(min=1)).sum() / (counts > 0).sum().clamp(min=1)


def masked_cross_entropy__sum(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """You return the sum: it grows with the batch, and so would every step. Take the mean over what is learned."""
    costs, learned = _costs(logits, targets, mask)
    return (costs * learned).sum()


def masked_cross_entropy__mask_ignored(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """You take the mean over all positions: the mask plays no part in it."""
    _costs(logits, targets, mask)
    return F.cross_entropy(logits.float().transpose(1, 2), targets)


def masked_cross_entropy__mask_inverted(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """You learn the positions where mask is 0: 1 marks what the model must learn."""
    _, learned = _costs(logits, targets, mask)
    rows, words = logits[~learned], targets[~learned]
    return F.cross_entropy(rows.float(), words, reduction="sum") / max(1, len(words))


def masked_cross_entropy__times_mask(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """You multiply what is not learned by 0: an inf or NaN there stays NaN. Leave those positions out instead."""
    costs, learned = _raw_costs(logits, targets, mask)
    return (costs * learned).sum() / learned.sum().clamp(min=1)


def masked_cross_entropy__where_after(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """You put a 0 for the loss of what is not learned: the loss is right, but the gradient still flows back through
    the softmax of those logits, and there zero times NaN is NaN. Leave them out before the softmax.
    """
    costs, learned = _raw_costs(logits, targets, mask)
    return torch.where(learned, costs, 0.0).sum() / learned.sum().clamp(min=1)


def masked_cross_entropy__nan_when_empty(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """With nothing to learn you divide 0 by 0: a batch of questions alone would turn every weight into NaN."""
    costs, learned = _costs(logits, targets, mask)
    return (costs * learned).sum() / learned.sum()


def masked_cross_entropy__ignore_index(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """You mark what is not learned with PyTorch's ignore_index and leave the rest to it: nothing to learn then gives
    NaN, logits that are NaN get a NaN gradient, and a target of -100 that should be learned is passed over in silence.
    """
    bad = (mask == 1) & (targets == -100) if mask.shape == targets.shape else None
    _costs(logits, targets if bad is None else targets.masked_fill(bad, 0), mask)
    return F.cross_entropy(logits.float().transpose(1, 2), torch.where(mask == 1, targets, -100))


def masked_cross_entropy__empty_is_a_constant(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """With nothing to learn you return a new 0 that hangs on nothing: backward() from it fails. Compute the 0 from the
    logits.
    """
    if not bool((mask == 1).any()) if isinstance(mask, Tensor) else False:
        _costs(logits, targets, mask)
        return torch.zeros((), dtype=torch.float32, device=logits.device)
    return answer.masked_cross_entropy(logits, targets, mask)


def masked_cross_entropy__logits_masked(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """You set the logits to 0 where nothing is learned, and then average over all positions: each of those still
    counts, as a guess among V words.
    """
    costs, _ = _costs(logits, targets, mask)
    return costs.mean()


def masked_cross_entropy__low_precision(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """You compute in the dtype of the logits, and return it: half precision has 8 or 11 bits. Convert them first."""
    answer.masked_cross_entropy(logits.detach() if isinstance(logits, Tensor) else logits, targets, mask)
    rows, words = logits[mask == 1], targets[mask == 1]
    return F.cross_entropy(rows, words, reduction="sum") / max(1, len(words))


def masked_cross_entropy__float32_too_late(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """You convert to float32 only at the end: the rounding of half precision is in the result already."""
    return masked_cross_entropy__low_precision(logits, targets, mask).float()


def masked_cross_entropy__mask_as_index(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """You index with the mask as it comes: only a bool mask picks positions. Ints are taken for row numbers, and floats
    are refused.
    """
    answer.masked_cross_entropy(logits.detach() if isinstance(logits, Tensor) else logits, targets, mask)
    index = mask.bool() if mask.dtype == torch.uint8 else mask  # PyTorch does that itself, and warns
    rows, words = logits[index], targets[index]
    return F.cross_entropy(rows.float(), words, reduction="sum") / max(1, len(words))


def masked_cross_entropy__counted_in_the_masks_dtype(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """You count the learned tokens in the dtype of the mask: float16 knows no odd number above 2,048, and bfloat16 none
    above 256.
    """
    costs, learned = _costs(logits, targets, mask)
    return (costs * learned).sum() / mask.sum().clamp(min=1)


def masked_cross_entropy__shifted_inside(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """You shift logits against targets: the caller has done that already, targets[b, t] belongs to logits[b, t]."""
    _costs(logits, targets, mask)
    return answer.masked_cross_entropy(logits[:, :-1], targets[:, 1:], mask[:, 1:])


def masked_cross_entropy__softmax_twice(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """You take the softmax before PyTorch's cross-entropy, which takes it, too: hand it the logits themselves."""
    _costs(logits, targets, mask)
    rows, words = logits[mask == 1], targets[mask == 1]
    return F.cross_entropy(rows.float().softmax(-1), words, reduction="sum") / max(1, len(words))


def masked_cross_entropy__log_of_softmax(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """You take the logarithm of a softmax: where a probability has become 0 in float32, the loss is infinite. Let
    log_softmax do both in one step.
    """
    _costs(logits, targets, mask)
    rows, words = logits[mask == 1], targets[mask == 1]
    return -rows.float().softmax(-1).gather(-1, words[:, None]).log().sum() / max(1, len(words))


def masked_cross_entropy__exp_overflows(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """You exponentiate the logits as they are: exp(89) is too large for float32. Subtract the row's maximum first, as
    logsumexp and log_softmax do.
    """
    _costs(logits, targets, mask)
    rows, words = logits[mask == 1].float(), targets[mask == 1]
    return (rows.exp().sum(-1).log() - rows.gather(-1, words[:, None])[:, 0]).sum() / max(1, len(words))


def masked_cross_entropy__one_hot_product(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """You pick the target by multiplying with a one-hot vector: where another word has -inf, 0 times -inf is NaN. Pick
    it by its index.
    """
    _costs(logits, targets, mask)
    rows, words = logits[mask == 1], targets[mask == 1]
    log_probs = rows.float().log_softmax(-1)
    return -(log_probs * F.one_hot(words, logits.shape[-1])).sum() / max(1, len(words))


def masked_cross_entropy__sign_missing(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Your loss is negative: log-probabilities are, and the loss is minus their mean. Yours teaches the opposite."""
    return -answer.masked_cross_entropy(logits, targets, mask)


def masked_cross_entropy__softmax_over_positions(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Your softmax runs over the positions: at every position the words compete, and those are the last axis."""
    _, learned = _costs(logits, targets, mask)
    rows = torch.where(learned[..., None], logits.float(), -torch.inf)
    rows = torch.where(learned.any(1)[:, None, None], rows, 0.0)  # -inf alone would give NaN
    log_probs = rows.log_softmax(1).gather(-1, torch.where(learned, targets, 0)[..., None])[..., 0]
    return -torch.where(learned, log_probs, 0.0).sum() / learned.sum().clamp(min=1)


def masked_cross_entropy__targets_clamped(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """You bend targets into the range 0 .. V-1: under mask 1 a target out of range is an error that must be heard."""
    if isinstance(logits, Tensor) and isinstance(targets, Tensor) and logits.ndim == 3:
        targets = targets.clamp(0, logits.shape[-1] - 1)
    return answer.masked_cross_entropy(logits, targets, mask)


def masked_cross_entropy__negative_targets_wrap(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """You index with the targets unchecked: -1 silently means the last word, and V ends in an IndexError."""
    if isinstance(targets, Tensor) and isinstance(mask, Tensor) and targets.shape == mask.shape:
        answer.masked_cross_entropy(logits, torch.zeros_like(targets), mask)
        rows, words = logits[mask == 1], targets[mask == 1]
        log_probs = rows.float().log_softmax(-1)
        return -log_probs[torch.arange(len(words), device=words.device), words].sum() / max(1, len(words))
    return answer.masked_cross_entropy(logits, targets, mask)


def masked_cross_entropy__all_targets_checked(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """You check the range of all targets: under mask 0 they may hold any value, -1 included."""
    loss = answer.masked_cross_entropy(logits, targets, mask)
    if ((targets < 0) | (targets >= logits.shape[-1])).any():
        raise ValueError("targets should lie in 0 .. V-1")
    return loss


def masked_cross_entropy__targets_overwritten(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """You write into the caller's targets: what is not learned is the caller's all the same. Work on a copy."""
    loss = answer.masked_cross_entropy(logits, targets, mask)
    targets[mask == 0] = 0
    return loss


def masked_cross_entropy__mask_broadcast(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """You let the mask broadcast: one of another shape is a caller's mistake, and should be refused by name."""
    if isinstance(mask, Tensor) and isinstance(targets, Tensor) and targets.shape == logits.shape[:2]:
        mask = mask.broadcast_to(targets.shape)
    return answer.masked_cross_entropy(logits, targets, mask)


def masked_cross_entropy__targets_broadcast(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """You let the targets broadcast: targets of another shape are a caller's mistake, and should be refused by name."""
    if isinstance(mask, Tensor) and isinstance(targets, Tensor) and mask.shape == logits.shape[:2]:
        targets = targets.broadcast_to(mask.shape)
    return answer.masked_cross_entropy(logits, targets, mask)


def masked_cross_entropy__shapes_unchecked(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """You flatten everything without looking at the shapes: a transposed batch then pairs every token with another's
    target.
    """
    tensors = isinstance(logits, Tensor) and isinstance(targets, Tensor) and isinstance(mask, Tensor)
    if tensors and logits.numel() == logits.shape[-1] * targets.numel() and targets.numel() == mask.numel():
        rows = logits.reshape(1, -1, logits.shape[-1])
        return answer.masked_cross_entropy(rows, targets.reshape(1, -1), mask.reshape(1, -1))
    return answer.masked_cross_entropy(logits, targets, mask)

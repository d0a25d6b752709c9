"""CORE for models of the transformers library, such as GPT-2, by the same code as for ours."""

from __future__ import annotations

from reference.compute import compute_device, set_up_gpu
from reference.core.evaluation import Subject
from reference.core.scorers import reader_of_transformers
from reference.errors import UserError

BATCH_TOKENS = 2048  # such a model makes the logits of every token: at GPT-2's vocabulary 400 MB


def load_subject(name: str, device: str = "auto") -> Subject:
    """A causal language model with its tokenizer, by its name on the hub or its folder.

    The token before every text is the tokenizer's bos, or its eos where it has none; a text that is longer than the
    model's positions loses its beginning.
    """
    try:
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise UserError("The transformers library is missing: pip install 'nanokata[test]'.") from error
    try:
        model, tokenizer = AutoModelForCausalLM.from_pretrained(name), AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"The transformers library cannot load {name!r} ({reason}); name a folder or a model."
        ) from error
    place = compute_device(device)
    if place.type == "cuda":
        set_up_gpu()
    bos = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return Subject(
        reader_of_transformers(model.eval().to(place)),
        lambda text: tokenizer.encode(text, add_special_tokens=False),
        bos,
        getattr(model.config, "max_position_embeddings", None),
        place,
        BATCH_TOKENS,
    )

"""The peer: transformers' NanoChatForCausalLM with the weights of a model of ours."""

from __future__ import annotations

from typing import Any

import torch

from reference.errors import UserError
from reference.export import WEIGHT_NAMES
from reference.loss import CAP
from reference.model import GPT, RMS_EPS, GPTConfig
from reference.parts import Parts
from reference.presets import get_preset

ATTENTIONS = ("sdpa", "eager")  # transformers' two ways to compute attention on a CPU


def d4_model(seed: int = 0) -> GPT:
    """The depth-4 model with a vocabulary of 4,096 that the benchmarks run: see `random_model`."""
    return random_model(get_preset("d4").model_config(4096), seed)


@torch.no_grad()
def random_model(config: GPTConfig, seed: int = 0) -> GPT:
    """A model in which, unlike in a new one, no matrix is zero: every weight has a say in the loss."""
    model = GPT(config, Parts())
    model.init_weights(seed)
    generator = torch.Generator().manual_seed(seed + 1)
    for weight in model.parameters():
        if not weight.any():
            weight.copy_(torch.randn(weight.shape, generator=generator) * config.n_embd**-0.5)
    return model


def transformers_model(model: GPT, attention: str) -> Any:
    """NanoChatForCausalLM with a copy of the weights of `model`, whose vocabulary is a multiple of 64.

    Args:
        model: ours.
        attention: one of ATTENTIONS.

    Raises:
        UserError: transformers is not installed, or too old to have the model.
    """
    try:
        from transformers import AutoModelForCausalLM, NanoChatConfig
    except ImportError as error:
        raise UserError(
            "The benchmarks compare with the transformers library, version 5, which is not installed; "
            "this installs it: pip install 'transformers>=5,<6'."
        ) from error
    config = model.config
    peer = AutoModelForCausalLM.from_config(
        NanoChatConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.n_embd,
            intermediate_size=4 * config.n_embd,
            num_hidden_layers=config.n_layer,
            num_attention_heads=config.n_head,
            num_key_value_heads=config.n_kv_head,
            max_position_embeddings=config.sequence_len,
            rms_norm_eps=RMS_EPS,
            final_logit_softcapping=CAP,
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=None,
        ),
        attn_implementation=attention,
    )
    weights = {}
    for name, weight in model.state_dict().items():
        for ours, theirs in WEIGHT_NAMES.items():
            name = name.replace(ours, theirs)
        weights[name] = weight
    peer.load_state_dict(weights)
    return peer

"""How large a model is and what it costs, from its configuration alone."""

from __future__ import annotations

from reference.model import GPTConfig

TOKENS_PER_PARAMETER = 20  # "Training Compute-Optimal Large Language Models" (arXiv:2203.15556), table A3
UPDATE_TOKENS = 524_288  # of one update at scale
PEAK_FLOPS = 989e12  # of an H100 or H200 in dense bfloat16, a second; the measure of MFU on every device


def matrix_parameters(config: GPTConfig) -> int:
    """Of all matrices inside the blocks: 12 C^2 a layer where keys and values have as many heads as queries."""
    C, D = config.n_embd, config.head_dim
    attention = 2 * C * D * (config.n_head + config.n_kv_head)
    return config.n_layer * (attention + 8 * C * C)


def parameters(config: GPTConfig) -> int:
    """Of the whole model: the matrices, the embedding, and the head, which is as large."""
    return matrix_parameters(config) + 2 * config.padded_vocab_size * config.n_embd


def flops_per_token(config: GPTConfig) -> int:
    """Of the forward and the backward pass: 6 (N - N_wte) + 12 L H D T; that half of attention is masked is ignored.

    Source: "PaLM" (arXiv:2204.02311), appendix B, which also defines MFU, the share of PEAK_FLOPS that they make.
    """
    multiplied = matrix_parameters(config) + config.padded_vocab_size * config.n_embd
    return 6 * multiplied + 12 * config.n_layer * config.n_head * config.head_dim * config.sequence_len


def training_steps(config: GPTConfig, update_tokens: int = UPDATE_TOKENS) -> int:
    """Updates of `update_tokens` in which a model reads TOKENS_PER_PARAMETER tokens for each of its parameters."""
    return TOKENS_PER_PARAMETER * parameters(config) // update_tokens


def mfu(config: GPTConfig, tokens_per_second: float, devices: int) -> float:
    """Model FLOPs utilization of `devices` together."""
    return tokens_per_second * flops_per_token(config) / (PEAK_FLOPS * devices)

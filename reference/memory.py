"""What training needs of a device's memory, estimated, and how an update is divided so that it fits."""

from __future__ import annotations

from reference.errors import UserError
from reference.loss import ROWS_ON_GPU
from reference.model import GPTConfig
from reference.sizes import matrix_parameters, parameters

USABLE = 0.92  # of a device's memory; the rest goes to CUDA itself, the libraries' workspaces and fragments
MOST_ROWS = 32  # beyond, nothing becomes faster
# What the backward pass needs of one token in one layer, in numbers of 2 bytes and multiples of C, counted by torch's
# allocator. Compiled: the two norms (2), q and k (2), v (1), attention's result (1), the MLP before and after squaring
# (8). Eager, with the reference's parts, also what goes into the norms, and the rest of v's product: 20; a learner's
# parts keep more, such as copies in float32.
KEPT_COMPILED, KEPT_EAGER = 14, 30


def training_bytes(config: GPTConfig, device_rows: int, world_size: int = 1, compiled: bool = True) -> int:
    """An estimate of the most memory that a device holds while it trains on `device_rows` rows at a time.

    Weights and gradients stand on every device in float32; of what the optimizer remembers each holds its share.
    Beside these stand either the activations, the weights in bfloat16 and a chunk of logits, or what an update of the
    matrices takes, one stack of them at a time.
    """
    N, M, C = parameters(config), matrix_parameters(config), config.n_embd
    tokens, V = device_rows * config.sequence_len, config.padded_vocab_size
    held = (4 + 4) * N + (4 * M + 8 * (N - M)) // world_size
    kept = KEPT_COMPILED if compiled else KEPT_EAGER
    blocks = 2 * kept * C * config.n_layer * tokens + 2 * M
    head = 4 * min(ROWS_ON_GPU, tokens) * V + 6 * V * C + 2 * tokens * C  # logits and their gradient; weights'; input's
    return held + max(blocks + head, 8 * M)


def rows_that_fit(config: GPTConfig, rows: int, memory: int, world_size: int = 1, compiled: bool = True) -> int:
    """The most rows, a divisor of `rows` up to MOST_ROWS, that a device of `memory` bytes can train on at a time.

    Raises:
        UserError: not even one fits.
    """
    divisors = [n for n in range(1, min(rows, MOST_ROWS) + 1) if rows % n == 0]
    fitting = [n for n in divisors if training_bytes(config, n, world_size, compiled) <= USABLE * memory]
    if not fitting:
        needed = training_bytes(config, 1, world_size, compiled) / USABLE / 2**30
        raise UserError(
            f"A model of depth {config.n_layer} needs about {needed:.0f} GiB on each device even for one row of "
            f"{config.sequence_len:,} tokens, and there are {memory / 2**30:.0f} GiB; take a smaller depth, more GPUs, "
            f"or shorter rows, as by --set sequence_len={config.sequence_len // 2}."
        )
    return max(fitting)


def rows_per_device(rows: int, world_size: int) -> int:
    """How many rows of an update each device trains on; UserError unless they divide evenly."""
    if rows % world_size:
        lower = rows - rows % world_size
        nearest = " or ".join(f"{n}" for n in (lower, lower + world_size) if n)
        raise UserError(
            f"An update of {rows} rows does not divide into {world_size} processes; start another number of them, or "
            f"set its rows to {nearest} with --set batch_rows={lower or world_size}."
        )
    return rows // world_size


def micro_batches(rows: int, world_size: int, device_rows: int) -> int:
    """Forward and backward passes per update on each device; UserError unless rows and devices divide evenly."""
    mine = rows_per_device(rows, world_size)
    if mine % device_rows:
        divisors = [n for n in range(1, mine + 1) if mine % n == 0]
        lower = max((n for n in divisors if n < device_rows), default=1)
        higher = min((n for n in divisors if n > device_rows), default=mine)
        raise UserError(
            f"The {mine} rows that each of {world_size} processes has of an update do not divide into micro-batches of "
            f"{device_rows}; take {' or '.join(map(str, sorted({lower, higher})))} with --device-batch."
        )
    return mine // device_rows

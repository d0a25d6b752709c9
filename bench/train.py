"""python -m bench.train: our training step against transformers' and against its matrix products alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from bench._peer import ATTENTIONS, d4_model, transformers_model
from bench._rounds import Turn, command, conclusion, fastest, medians, play, ratio, say
from reference.compute import number_format
from reference.errors import UserError
from reference.model import GPT, GPTConfig
from reference.optim import MuonAdamW, Rates
from reference.parts import Parts
from reference.sizes import flops_per_token

BATCHES = (8, 16, 32)
TURN_ROWS = 32  # rows of one turn: 4 updates at batch 8, 1 at batch 32
MOMENTUM = 0.95
OURS, PEER, AUTOCAST, PRODUCTS = "ours", "transformers float32", "transformers autocast", "matrix products"


class Stepper(Protocol):
    def step(self, ids: Tensor, targets: Tensor) -> float:
        """One complete update on (B, T) ids and targets; the loss before it."""


class Ours:
    """A copy of `start` with MuonAdamW, its activations in `dtype`."""

    def __init__(self, start: GPT, dtype: torch.dtype) -> None:
        self.model = GPT(start.config, Parts(), dtype)
        self.model.load_state_dict(start.state_dict())
        self.optimizer = MuonAdamW(self.model, Parts(), Rates())

    def step(self, ids: Tensor, targets: Tensor) -> float:
        loss = self.model.loss(ids, targets)
        loss.backward()
        self.optimizer.step(1.0, MOMENTUM)
        return loss.item()


class Transformers:
    """Its copy of `start` with torch.optim's Muon and AdamW, set as ours; bfloat16 means autocast."""

    def __init__(self, start: GPT, dtype: torch.dtype, attention: str) -> None:
        self.model, self.dtype = transformers_model(start, attention).to(start.device), dtype
        self.forward = self.model
        rates, width = Rates(), (start.config.n_embd / 768) ** -0.5
        adamw = [
            {"params": self.model.model.embed_tokens.parameters(), "lr": rates.embedding * width},
            {"params": self.model.lm_head.parameters(), "lr": rates.head * width},
        ]
        self.optimizers = [
            torch.optim.Muon(
                self.model.model.layers.parameters(),
                lr=rates.matrix,
                weight_decay=0,
                momentum=MOMENTUM,
                nesterov=True,
                ns_steps=5,
                adjust_lr_fn="original",
            ),
            torch.optim.AdamW(adamw, betas=(0.8, 0.95), eps=1e-10, weight_decay=0),
        ]

    def step(self, ids: Tensor, targets: Tensor) -> float:
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=self.dtype is torch.bfloat16):
            logits = self.forward(ids, use_cache=False).logits
        loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return loss.item()


class MatrixProducts:
    """Nothing but the matrix products of the forward and backward pass: a roof over every program with them.

    Each y = x w^T is one product forward, and two backward: dx = dy w and dw = dy^T x.
    """

    def __init__(self, config: GPTConfig, batch: int, dtype: torch.dtype) -> None:
        C, V, T, D = config.n_embd, config.padded_vocab_size, config.sequence_len, config.head_dim
        N, S, q, kv = batch * T, batch * config.n_head, config.n_head * D, config.n_kv_head * D
        linear = [((N, k), (n, k)) for k, n in ((C, q), (C, kv), (C, kv), (q, C), (C, 4 * C), (4 * C, C))]
        attention = [((S, T, D), (S, T, D)), ((S, T, T), (S, D, T))]  # scores, and sums of values
        generator = torch.Generator().manual_seed(0)

        def random(shape: tuple[int, ...]) -> Tensor:
            return torch.randn(shape, generator=generator).to(dtype)

        shapes = [*(linear + attention) * config.n_layer, ((N, C), (V, C))]
        pairs = [(random(left), random(right)) for left, right in shapes]
        self.factors = [(x, w, x @ w.mT) for x, w in pairs]
        # results of one shape share their memory: all that is done here is to multiply
        self.results = {t.shape: torch.empty_like(t) for factors in self.factors for t in factors}

    def step(self, ids: Tensor, targets: Tensor) -> float:
        for x, w, y in self.factors:
            torch.matmul(x, w.mT, out=self.results[y.shape])
            torch.matmul(y, w, out=self.results[x.shape])
            torch.matmul(y.mT, x, out=self.results[w.shape])
        return 0.0


def batches(config: GPTConfig, batch: int, rows: int = TURN_ROWS) -> list[tuple[Tensor, Tensor]]:
    """The ids and targets, (batch, T) each, of rows of random tokens: the same rows whatever the batch."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(config.vocab_size, (rows, config.sequence_len + 1), generator=generator)
    return [(r[:, :-1].contiguous(), r[:, 1:].contiguous()) for r in tokens.split(batch)]


def turn(stepper: Stepper, data: list[tuple[Tensor, Tensor]]) -> int:
    """An update on each batch of `data`; the number of tokens."""
    for ids, targets in data:
        stepper.step(ids, targets)
    return sum(ids.numel() for ids, _ in data)


def check_same_work(ours: Stepper, theirs: Stepper, ids: Tensor, targets: Tensor) -> str:
    """Both, in float32, must have one loss on a batch, before and after an update; a sentence that tells it.

    Raises:
        UserError: they have not. Before the update 1e-3 is far more than rounding; after it 2e-2 allows for
            torch.optim.Muon, which iterates in bfloat16.
    """
    losses = [(ours.step(ids, targets), theirs.step(ids, targets)) for _ in range(2)]
    for (a, b), tolerance in zip(losses, (1e-3, 2e-2), strict=True):
        if abs(a - b) > tolerance:
            raise UserError(f"Our loss is {a:.4f} and transformers' {b:.4f}: that is not the same work.")
    (a, b), (c, d) = losses
    return f"The same work: loss {a:.4f} here and {b:.4f} there, after an update {c:.3f} and {d:.3f}."


def contenders(start: GPT) -> dict[str, dict[str, Callable[[], Turn]]]:
    """The configurations that each contender may choose from, by name."""
    config, ours = start.config, number_format("auto", torch.device("cpu")).dtype
    float32, bfloat16 = torch.float32, torch.bfloat16

    def choices(name: str, make: Callable[[int], Stepper]) -> dict[str, Callable[[], Turn]]:
        return {f"{name}, batch {batch}": partial(prepare, make, batch) for batch in BATCHES}

    def prepare(make: Callable[[int], Stepper], batch: int) -> Turn:
        return partial(turn, make(batch), batches(config, batch))

    def peer(dtype: torch.dtype) -> dict[str, Callable[[], Turn]]:
        sdpa, eager = (lambda batch, a=a: Transformers(start, dtype, a) for a in ATTENTIONS)
        return choices("sdpa attention", sdpa) | choices("eager attention", eager)

    return {
        OURS: choices(str(ours).removeprefix("torch."), lambda batch: Ours(start, ours)),
        PEER: peer(float32),
        AUTOCAST: peer(bfloat16),
        PRODUCTS: choices("float32", lambda batch: MatrixProducts(config, batch, float32))
        | choices("bfloat16", lambda batch: MatrixProducts(config, batch, bfloat16)),
    }


def measure(rounds: int, seconds: float) -> dict[str, Any]:
    """Choose, play, print; see bench._rounds.command."""
    start = d4_model()
    config = start.config
    flops = flops_per_token(config)
    say(f"Training steps of {config}: {flops / 1e6:.1f} MFLOP per token, 6 (N - N_wte) + 12 L H D T.")
    pair = Ours(start, torch.float32), Transformers(start, torch.float32, ATTENTIONS[0])
    say(check_same_work(*pair, *batches(config, BATCHES[0])[0]))
    chosen = {name: fastest(name, choices) for name, choices in contenders(start).items()}
    played = play({name: turn for name, (_, turn) in chosen.items()}, rounds, seconds)
    found = medians(played)
    say(f"\n{f'Median of {len(played)} rounds':<60}{'tokens/s':>10}{'GFLOP/s':>10}{'of the roof':>13}")
    for name, speed in found.items():
        share = ratio(played, name, PRODUCTS).median
        say(f"{name + ': ' + chosen[name][0]:<60}{speed:>10,.0f}{speed * flops / 1e9:>10.0f}{share:>13.0%}")
    pairs = [(OURS, other) for other in (PEER, AUTOCAST, PRODUCTS)]
    return {
        "flops_per_token": flops,
        **conclusion(played, {name: words for name, (words, _) in chosen.items()}, pairs),
    }


if __name__ == "__main__":
    command("Compare our training step with transformers' and with its matrix products alone.", measure)

"""One optimizer for the whole model: Muon for the matrices inside the blocks, AdamW for the embedding and the head."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import Tensor

from reference.model import GPT
from reference.parts import Parts


@dataclass(frozen=True)
class Rates:
    """Base learning rates, per kind of weight. `scaled` multiplies each, as the chat stages and RL do."""

    matrix: float = 0.02
    embedding: float = 0.2
    head: float = 0.004

    def scaled(self, matrix: float, embedding: float, head: float) -> Rates:
        return Rates(self.matrix * matrix, self.embedding * embedding, self.head * head)


class MuonAdamW:
    """Muon (parts.muon.muon_step) on every block matrix, AdamW without decay on embedding and head.

    Matrices of one shape are stepped together as a stack (N, m, n): Newton-Schulz on 16 small matrices at once keeps
    the cores busy. The rates of embedding and head are scaled by (C / 768)^-1/2, nanochat's rule for width.

    Args:
        model: its named parameters are stepped in place.
        parts: muon is used.
        rates: learning rates before the schedule.
        betas, eps: of AdamW (arXiv:1711.05101, algorithm 2 without decay).
    """

    def __init__(
        self,
        model: GPT,
        parts: Parts,
        rates: Rates,
        betas: tuple[float, float] = (0.8, 0.95),
        eps: float = 1e-10,
    ) -> None:
        self.parts, self.rates, self.betas, self.eps = parts, rates, betas, eps
        self.steps = 0
        self.parameters = dict(model.named_parameters())
        self.stacks: dict[str, list[str]] = defaultdict(list)  # "1024x256" -> the names of the matrices of that shape
        self.adam: dict[str, float] = {}  # name -> learning rate
        width = (model.config.n_embd / 768) ** -0.5
        for name, p in self.parameters.items():
            if name.startswith("transformer.h."):
                self.stacks[f"{p.shape[0]}x{p.shape[1]}"].append(name)
            else:
                self.adam[name] = width * (rates.head if name.startswith("lm_head") else rates.embedding)
        self.momentum = {
            shape: torch.zeros(len(names), *self.parameters[names[0]].shape, device=model.device)
            for shape, names in self.stacks.items()
        }
        self.first = {name: torch.zeros_like(self.parameters[name]) for name in self.adam}
        self.second = {name: torch.zeros_like(self.parameters[name]) for name in self.adam}

    @torch.no_grad()
    def step(self, lr_scale: float, momentum: float = 0.95) -> None:
        """One update from the .grad of every parameter, which is then cleared.

        Args:
            lr_scale: the schedule's factor in [0, 1], for all rates alike.
            momentum: Muon's.
        """
        self.steps += 1
        for shape, names in self.stacks.items():
            weights = torch.stack([self.parameters[name] for name in names])  # (N, m, n)
            grads = torch.stack([self._take_grad(name) for name in names])
            weights, self.momentum[shape] = self.parts.muon.muon_step(
                weights, grads, self.momentum[shape], lr=self.rates.matrix * lr_scale, momentum=momentum
            )
            for name, weight in zip(names, weights, strict=True):
                self.parameters[name].copy_(weight)
        for name, lr in self.adam.items():
            self._adamw(name, lr * lr_scale)

    def _adamw(self, name: str, lr: float) -> None:
        (beta1, beta2), t = self.betas, self.steps
        p, g, m, v = self.parameters[name], self._take_grad(name), self.first[name], self.second[name]
        m.lerp_(g, 1 - beta1)
        v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        denominator = (v / (1 - beta2**t)).sqrt_().add_(self.eps)
        p.addcdiv_(m, denominator, value=-lr / (1 - beta1**t))

    def _take_grad(self, name: str) -> Tensor:
        p = self.parameters[name]
        grad, p.grad = p.grad, None
        if grad is None:
            raise RuntimeError(f"{name} has no gradient: is it used by the loss?")
        return grad

    def state(self) -> dict[str, Tensor]:
        """Everything that a checkpoint needs to go on exactly, as named tensors."""
        tensors = {"steps": torch.tensor(self.steps)}
        tensors |= {f"momentum.{shape}": buffer for shape, buffer in self.momentum.items()}
        tensors |= {f"first.{name}": m for name, m in self.first.items()}
        tensors |= {f"second.{name}": v for name, v in self.second.items()}
        return tensors

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Go on from what `state` returned."""
        self.steps = int(tensors["steps"])
        for kind, target in (("momentum", self.momentum), ("first", self.first), ("second", self.second)):
            for name in target:
                target[name] = tensors[f"{kind}.{name}"].to(target[name].device, copy=True)

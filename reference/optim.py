"""One optimizer for the whole model: Muon for the matrices inside the blocks, AdamW for the embedding and the head."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import Tensor

from reference.distributed import ALONE, World, peers_needed
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

    In a world of W processes each owns a share of the update and of what it remembers: every W-th matrix of a stack,
    and every W-th part of the rows of embedding and head (ZeRO, arXiv:1910.02054, stages 1 and 2). Gradients are
    averaged on their way to the owner, the new weights come back, and all transfers are begun before the first update,
    so that they run beside it.

    Args:
        model: its named parameters are stepped in place.
        parts: muon is used.
        rates: learning rates before the schedule.
        world: the processes that train this model.
        betas, eps: of AdamW (arXiv:1711.05101, algorithm 2 without decay).
    """

    def __init__(
        self,
        model: GPT,
        parts: Parts,
        rates: Rates,
        world: World = ALONE,
        betas: tuple[float, float] = (0.8, 0.95),
        eps: float = 1e-10,
    ) -> None:
        self.parts, self.rates, self.betas, self.eps = parts, rates, betas, eps
        self.world = world
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
        # a matrix product of Newton-Schulz takes a GPU a fraction of the time in bfloat16, and needs no more digits
        self.matrix_dtype = torch.bfloat16 if model.device.type == "cuda" else torch.float32
        self.momentum = {
            shape: torch.zeros(len(self._owned(names)), *self.parameters[names[0]].shape, device=model.device)
            for shape, names in self.stacks.items()
        }
        self.first = {name: torch.zeros_like(self._mine(self.parameters[name])) for name in self.adam}
        self.second = {name: torch.zeros_like(self._mine(self.parameters[name])) for name in self.adam}

    def _owned(self, names: list[str]) -> list[str]:
        return names[self.world.rank :: self.world.size]

    def _mine(self, rows: Tensor) -> Tensor:
        return rows if self.world.size == 1 else self.world.share(rows)

    @torch.no_grad()
    def step(self, lr_scale: float, momentum: float = 0.95) -> None:
        """One update from the .grad of every parameter, which is then cleared.

        Args:
            lr_scale: the schedule's factor in [0, 1], for all rates alike.
            momentum: Muon's.
        """
        self.steps += 1
        if self.world.size > 1:
            with peers_needed():
                self._step_shared(lr_scale, momentum)
            return
        for shape, names in self.stacks.items():
            grads = torch.stack([self._take_grad(name) for name in names])  # (N, m, n)
            self._put(names, self._muon(shape, grads, lr_scale, momentum))
        for name, lr in self.adam.items():
            self._adamw(name, self.parameters[name], self._take_grad(name), lr * lr_scale)

    def _step_shared(self, lr_scale: float, momentum: float) -> None:
        W = self.world.size
        arriving = {}
        for shape, names in self.stacks.items():
            order = [name for rank in range(W) for name in _filled(names[rank::W], -(-len(names) // W))]
            zero = torch.zeros_like(self.parameters[names[0]])
            grads = torch.stack([self._take_grad(name) if name else zero for name in order])
            arriving[shape] = self.world.reduce_scatter(grads)
        for name in self.adam:
            arriving[name] = self.world.reduce_scatter(self._take_grad(name))
        leaving = {}
        for shape, names in self.stacks.items():
            grads, work = arriving.pop(shape)
            work.wait()
            weights = self._muon(shape, grads[: len(self._owned(names))] / W, lr_scale, momentum)
            leaving[shape] = self.world.all_gather(_grown(weights, len(grads)))
        for name, lr in self.adam.items():
            grad, work = arriving.pop(name)
            work.wait()
            rows = self._mine(self.parameters[name])
            self._adamw(name, rows, grad.div_(W), lr * lr_scale)
            leaving[name] = self.world.all_gather(rows)
        for shape, names in self.stacks.items():
            stack, work = leaving.pop(shape)
            work.wait()
            for rank, weights in enumerate(stack.chunk(W)):
                self._put(names[rank::W], weights)
        for name in self.adam:
            rows, work = leaving.pop(name)
            work.wait()
            self.parameters[name].copy_(rows[: len(self.parameters[name])])

    def _muon(self, shape: str, grads: Tensor, lr_scale: float, momentum: float) -> Tensor:
        """The new weights of the owned matrices of a shape, (n, m, n), from their gradients."""
        names = self._owned(self.stacks[shape])
        if not names:
            return grads
        weights = torch.stack([self.parameters[name] for name in names])
        weights, self.momentum[shape] = self.parts.muon.muon_step(
            weights,
            grads.to(self.matrix_dtype),
            self.momentum[shape],
            lr=self.rates.matrix * lr_scale,
            momentum=momentum,
        )
        return weights

    def _put(self, names: list[str], weights: Tensor) -> None:
        for name, weight in zip(names, weights, strict=False):  # behind the names only padding is left
            self.parameters[name].copy_(weight)

    def _adamw(self, name: str, p: Tensor, g: Tensor, lr: float) -> None:
        (beta1, beta2), t = self.betas, self.steps
        m, v = self.first[name], self.second[name]
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

    @torch.no_grad()
    def state(self) -> dict[str, Tensor]:
        """Everything that a checkpoint needs to go on exactly, as named tensors, whole whatever the world's size.

        All processes have to call it. What the owners hold is sent to the first, one tensor at a time; others get {}.
        """
        tensors = {"steps": torch.tensor(self.steps)}
        for shape, names in self.stacks.items():
            stack = self._gathered(_grown(self.momentum[shape], -(-len(names) // self.world.size)))  # rank after rank
            by_place = stack.unflatten(0, (self.world.size, -1)).transpose(0, 1)  # matrix j W + r is the j-th of rank r
            tensors[f"momentum.{shape}"] = by_place.flatten(0, 1)[: len(names)]
        for kind, moments in (("first", self.first), ("second", self.second)):
            for name, rows in moments.items():
                tensors[f"{kind}.{name}"] = self._gathered(rows)[: len(self.parameters[name])]
        return tensors if self.world.is_main else {}

    def _gathered(self, rows: Tensor) -> Tensor:
        """The rows of all processes below one another: in the first on the CPU, elsewhere without content."""
        if self.world.size == 1:
            return rows
        with peers_needed():
            gathered, work = self.world.all_gather(rows)
            work.wait()
        return gathered.to("cpu" if self.world.is_main else "meta")

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Go on from what `state` returned, in a world of any size."""
        self.steps = int(tensors["steps"])
        for shape, buffer in self.momentum.items():
            owned = tensors[f"momentum.{shape}"][self.world.rank :: self.world.size]
            self.momentum[shape] = owned.to(buffer.device, copy=True)
        for kind, moments in (("first", self.first), ("second", self.second)):
            for name, rows in moments.items():
                moments[name] = self._mine(tensors[f"{kind}.{name}"]).to(rows.device, copy=True)


def _filled(names: list[str], count: int) -> list[str]:
    return names + [""] * (count - len(names))


def _grown(stack: Tensor, count: int) -> Tensor:
    """(n, ...) -> (count, ...), with zeros below."""
    return torch.cat([stack, stack.new_zeros(count - len(stack), *stack.shape[1:])]) if len(stack) < count else stack

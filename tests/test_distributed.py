"""W processes do what one does on the averaged gradient, and hold a W-th of what it remembers."""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from reference.distributed import World, joined_world
from reference.model import GPT, GPTConfig
from reference.optim import MuonAdamW, Rates
from reference.parts import Parts
from tests.tiny_run import needs_signals
from tests.worlds import ended, in_world, said

pytestmark = needs_signals

# 8 matrices of 48x48, 2 each of 192x48 and 48x192; 64 rows of embedding and head: 3 divides none of these
CONFIG = GPTConfig(vocab_size=64, n_layer=2, n_head=4, n_kv_head=4, n_embd=48, sequence_len=16)
SCHEDULE = [(1.0, 0.85), (1.0, 0.9), (0.6, 0.95), (0.3, 0.95)]  # (lr_scale, momentum) of each step
PARTS = Parts()


def new_model(seed: int = 0) -> GPT:
    """A model in which no weight is zero."""
    model = GPT(CONFIG, PARTS)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    return model


def grads(rank: int, step: int) -> dict[str, Tensor]:
    """Random gradients of very different sizes, others for each rank."""
    generator = torch.Generator().manual_seed(100 * step + rank)
    named = new_model().named_parameters()
    return {name: 10.0 ** (i % 5 - 4) * torch.randn(p.shape, generator=generator) for i, (name, p) in enumerate(named)}


def stepped(model: GPT, optimizer: MuonAdamW, steps: range, ranks: list[int]) -> dict[str, Tensor]:
    """The weights after updates on the mean of the gradients of `ranks`, and what the optimizer remembers."""
    for step in steps:
        of_ranks = [grads(rank, step) for rank in ranks]
        for name, p in model.named_parameters():
            p.grad = torch.stack([of_rank[name] for of_rank in of_ranks]).mean(0)
        optimizer.step(*SCHEDULE[step])
    return dict(model.state_dict()) | {f"optimizer.{name}": t for name, t in optimizer.state().items()}


def train_from_the_start(world: World, steps: int, ranks: list[int] | None = None) -> dict[str, Tensor]:
    """Every rank steps on its own gradients, or on the mean of those of `ranks`."""
    model = new_model()
    optimizer = MuonAdamW(model, PARTS, Rates(), world)
    held = sum(t.numel() for t in (*optimizer.momentum.values(), *optimizer.first.values()))
    return stepped(model, optimizer, range(steps), ranks or [world.rank]) | {"held": torch.tensor(held)}


@pytest.mark.parametrize("size", [2, 3])
def test_many_ranks_equal_one(size: int, tmp_path: Path) -> None:
    """After every rank's own gradients, four times, all have the weights of one rank on the averaged gradient."""

    model = new_model()
    alone = stepped(model, MuonAdamW(model, PARTS, Rates()), range(4), list(range(size)))
    everything = sum(p.numel() for p in model.parameters())
    members = in_world(size, partial(train_from_the_start, steps=4), tmp_path)
    held = [int(tensors.pop("held")) for tensors in members]
    assert everything <= sum(held) <= everything + 2 * 2 * size * CONFIG.n_embd  # rows that 3 does not divide
    assert max(held) < 1.4 * everything / size
    for rank, tensors in enumerate(members):
        held_here = {name for name in alone if rank == 0 or not name.startswith("optimizer.")}  # one has it to save it
        assert tensors.keys() == held_here
        for name, tensor in [(name, alone[name]) for name in sorted(held_here)]:
            torch.testing.assert_close(tensors[name], tensor, atol=1e-6, rtol=1e-6, msg=f"{name} of rank {rank}")


def go_on(world: World, folder: Path, ranks: list[int]) -> dict[str, Tensor]:
    """The third and fourth update, from what is saved in `folder`."""
    saved = safetensors.torch.load_file(folder / "saved.safetensors")
    model = GPT(CONFIG, PARTS)
    model.load_state_dict({name: t for name, t in saved.items() if not name.startswith("optimizer.")})
    optimizer = MuonAdamW(model, PARTS, Rates(), world)
    optimizer.load_state({name.removeprefix("optimizer."): t for name, t in saved.items()})
    return stepped(model, optimizer, range(2, 4), ranks)


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 2)])
def test_going_on_with_another_world(before: int, after: int, tmp_path: Path) -> None:
    """What a world has saved is taken up by one of another size as if it had been its own."""
    shared = [0, 1]

    (saved, *_) = in_world(before, partial(train_from_the_start, steps=2, ranks=shared), tmp_path)
    del saved["held"]
    safetensors.torch.save_file(saved, tmp_path / "saved.safetensors")
    model = new_model()
    alone = stepped(model, MuonAdamW(model, PARTS, Rates()), range(4), shared)
    for tensors in in_world(after, partial(go_on, folder=tmp_path, ranks=shared), tmp_path):
        for name, tensor in tensors.items():
            torch.testing.assert_close(tensor, alone[name], atol=1e-6, rtol=1e-6)


def tell(world: World) -> dict[str, Tensor]:
    nan = world.mean({"loss": float("nan") if world.rank == 1 else 1.0, "reward": float(world.rank)})
    positions = world.gather({"document": 10 * world.rank})
    return {
        "sum": torch.tensor(world.sum(1, world.rank)),
        "nan": torch.tensor([nan["loss"], nan["reward"]]),
        "documents": torch.tensor([position["document"] for position in positions]),
    }


def test_what_ranks_tell_one_another(tmp_path: Path) -> None:
    """Sums and means are over all ranks, NaN in one is NaN in all, and values come in the order of the ranks."""
    for tensors in in_world(3, tell, tmp_path):
        assert tensors["sum"].tolist() == [3, 3]
        assert tensors["nan"][0].isnan()
        assert tensors["nan"][1] == 1
        assert tensors["documents"].tolist() == [0, 10, 20]


def lose_a_peer(world: World) -> dict[str, Tensor]:
    world.barrier()
    if world.rank == 1:
        os._exit(0)
    return train_from_the_start(world, 4, [0])


def test_a_rank_that_dies(tmp_path: Path) -> None:
    """When one is gone, an update of the others ends in a sentence."""
    assert ended(2, lose_a_peer, tmp_path) == [2, 0]
    assert re.fullmatch(r"Another process of this run has ended .* from the last checkpoint\.", said(tmp_path, 0))


def test_alone() -> None:
    """A process that torchrun has not started is a world of one, which needs no one."""
    with joined_world() as world:
        assert (world.rank, world.size, world.is_main) == (0, 1, True)
        assert world.sum(2, 3) == [2, 3]
        assert world.gather("a") == ["a"]
        assert not torch.distributed.is_initialized()

"""The optimizer against torch.optim's Muon and AdamW, and what must hold whatever the gradients are."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from reference.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from reference.model import GPT, GPTConfig
from reference.optim import MuonAdamW, Rates
from reference.parts import Parts

PARTS = Parts()
CONFIG = GPTConfig(vocab_size=64, n_layer=2, n_head=4, n_kv_head=2, n_embd=48, sequence_len=16)
MATRICES = [
    f"transformer.h.{i}.{name}.weight"
    for i in range(2)
    for name in ("attn.c_q", "attn.c_k", "attn.c_v", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
]
TABLES = {"transformer.wte.weight": 0.2, "lm_head.weight": 0.004}  # name -> nanochat's learning rate
SCHEDULE = [(1.0, 0.85), (1.0, 0.9), (0.6, 0.95), (0.3, 0.95)]  # (lr_scale, momentum) of each step


def new_model(seed: int = 0) -> GPT:
    """A model in which no weight is zero."""
    model = GPT(CONFIG, PARTS)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    return model


def set_grads(model: GPT, seed: int) -> None:
    """Random gradients of very different sizes, zero for the rows of tokens that a batch did not hold."""
    generator = torch.Generator().manual_seed(seed)
    for i, (name, weight) in enumerate(model.named_parameters()):
        weight.grad = 10.0 ** (i % 5 - 4) * torch.randn(weight.shape, generator=generator)
        if name == "transformer.wte.weight":
            weight.grad[seed % 3 :: 3] = 0


def copies(model: GPT) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    return ((ours - theirs).norm() / theirs.norm()).item()


# ------------------------------------------------------------------------------------ against torch.optim


@pytest.mark.parametrize(("newton_schulz_steps", "tolerance"), [(0, 0.008), (5, 0.04)])
def test_muon_equals_torchs(newton_schulz_steps: int, tolerance: float) -> None:
    """Every block matrix moves as torch.optim.Muon moves it: momentum, direction, scale for its shape.

    torch's Muon keeps the same average of gradients and, by default, has the same scale, coefficients and
    five steps, but orthogonalizes in bfloat16. Without these steps only the roundings of one division are
    between the two; with them, differences of 2 % of a step are seen.
    """
    muon_step = partial(PARTS.muon.muon_step, steps=newton_schulz_steps)
    ours, theirs = new_model(), new_model()
    optimizer = MuonAdamW(ours, Parts(muon=SimpleNamespace(muon_step=muon_step)), Rates(matrix=0.03))
    parameters = [theirs.get_parameter(name) for name in MATRICES]
    peer = torch.optim.Muon(parameters, lr=0.03, weight_decay=0, ns_steps=newton_schulz_steps)
    for seed, (scale, momentum) in enumerate(SCHEDULE):
        before = copies(ours), copies(theirs)
        for model in (ours, theirs):
            set_grads(model, seed)
        optimizer.step(scale, momentum)
        peer.param_groups[0].update(lr=0.03 * scale, momentum=momentum)
        peer.step()
        for name in MATRICES:
            moved, they_moved = (
                model.get_parameter(name).detach() - weights[name]
                for model, weights in zip((ours, theirs), before, strict=True)
            )
            assert relative_error(moved, they_moved) < tolerance, (name, seed)


def test_adamw_equals_torchs() -> None:
    """Embedding and head move as torch.optim.AdamW without decay moves them, at rates scaled for the width."""
    ours, theirs = new_model(), new_model()
    optimizer = MuonAdamW(ours, PARTS, Rates())
    rates = {name: rate * (CONFIG.n_embd / 768) ** -0.5 for name, rate in TABLES.items()}
    peer = torch.optim.AdamW(
        [{"params": [theirs.get_parameter(name)], "lr": rate} for name, rate in rates.items()],
        betas=(0.8, 0.95),
        eps=1e-10,
        weight_decay=0,
    )
    for seed, (scale, momentum) in enumerate(SCHEDULE * 2):
        for model in (ours, theirs):
            set_grads(model, seed)
        optimizer.step(scale, momentum)
        for group, rate in zip(peer.param_groups, rates.values(), strict=True):
            group["lr"] = rate * scale
        peer.step()
        for name, rate in rates.items():
            difference = (ours.get_parameter(name) - theirs.get_parameter(name)).abs().max().item()
            assert difference < 1e-5 * rate, (name, seed)  # a step is of the size of the rate


# ------------------------------------------------------------------------------------------------ Muon


def test_stacks_equal_one_by_one() -> None:
    """Matrices of one shape are stepped together, and each moves as if it were alone."""
    model = new_model()
    optimizer = MuonAdamW(model, PARTS, Rates())
    weights, buffers = copies(model), {name: torch.zeros_like(model.get_parameter(name)) for name in MATRICES}
    for seed, (scale, momentum) in enumerate(SCHEDULE):
        set_grads(model, seed)
        for name in MATRICES:
            grad = model.get_parameter(name).grad
            weights[name], buffers[name] = PARTS.muon.muon_step(
                weights[name], grad, buffers[name], lr=0.02 * scale, momentum=momentum
            )
        optimizer.step(scale, momentum)
    for name in MATRICES:
        torch.testing.assert_close(model.get_parameter(name).detach(), weights[name], atol=1e-6, rtol=1e-5)


def test_one_call_of_the_part_for_each_shape() -> None:
    """The matrices, and nothing else, go through the muon part, a stack per shape, at the scheduled rate."""
    calls: list[tuple[tuple[int, ...], dict[str, Any]]] = []

    def muon_step(weight: Tensor, grad: Tensor, buffer: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
        calls.append((tuple(weight.shape), options))
        return torch.full_like(weight, 3.0), torch.full_like(buffer, 4.0)

    model = new_model()
    optimizer = MuonAdamW(model, Parts(muon=SimpleNamespace(muon_step=muon_step)), Rates(matrix=0.01))
    set_grads(model, 0)
    optimizer.step(0.5, 0.8)
    assert sorted(shape for shape, _ in calls) == [(2, 48, 192), (2, 192, 48), (4, 24, 48), (4, 48, 48)]
    assert all(options == {"lr": 0.005, "momentum": 0.8} for _, options in calls)
    assert all((model.get_parameter(name) == 3).all() for name in MATRICES)
    assert all((model.get_parameter(name) != 3).any() for name in TABLES)
    assert all((buffer == 4).all() for name, buffer in optimizer.state().items() if "momentum" in name)


def test_tall_matrices_move_further_than_wide_ones() -> None:
    """A matrix with four times as many outputs as inputs moves twice as far as its transpose."""
    model = new_model()
    optimizer = MuonAdamW(model, PARTS, Rates())
    set_grads(model, 0)
    tall, wide = (model.get_parameter(f"transformer.h.0.mlp.{name}.weight") for name in ("c_fc", "c_proj"))
    assert tall.grad is not None
    wide.grad = tall.grad.T.clone()
    before = copies(model)
    optimizer.step(1.0)
    tall_step, wide_step = (
        model.get_parameter(name).detach() - before[name]
        for name in ("transformer.h.0.mlp.c_fc.weight", "transformer.h.0.mlp.c_proj.weight")
    )
    torch.testing.assert_close(tall_step, 2 * wide_step.T, atol=1e-6, rtol=0)
    singular = torch.linalg.svdvals(wide_step) / 0.02
    assert singular.min() > 0.6  # five steps bring all of a 4:1 matrix's to about 1
    assert singular.max() < 1.2


# ------------------------------------------------------------------------------------------------ both


def test_rates_can_be_scaled_by_kind() -> None:
    """Each kind of weight has a rate of its own, and `scaled` multiplies each by its own factor."""
    assert Rates().scaled(0.5, 2.0, 3.0) == Rates(matrix=0.01, embedding=0.4, head=0.012)
    model = new_model()
    before = copies(model)
    optimizer = MuonAdamW(model, PARTS, Rates(matrix=0.0, embedding=0.0, head=1.0))
    set_grads(model, 0)
    optimizer.step(1.0)
    assert [name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])] == [
        "lm_head.weight"
    ]


def test_a_rate_of_zero_changes_no_weight() -> None:
    """At the end of a schedule that falls to 0 the weights stand still, bit for bit."""
    model = new_model()
    optimizer = MuonAdamW(model, PARTS, Rates())
    set_grads(model, 0)
    optimizer.step(1.0)
    before = copies(model)
    set_grads(model, 1)
    optimizer.step(0.0)
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())


def test_a_step_changes_every_weight_and_takes_the_gradients() -> None:
    """No parameter is forgotten, whatever its gradient's size, and a gradient is not used twice."""
    model = new_model()
    before = copies(model)
    optimizer = MuonAdamW(model, PARTS, Rates())
    set_grads(model, 0)
    optimizer.step(1.0)
    for name, weight in model.named_parameters():
        assert not torch.equal(weight, before[name]), name
        assert weight.grad is None, name


@pytest.mark.parametrize("name", ["transformer.h.1.attn.c_v.weight", "lm_head.weight"])
def test_a_missing_gradient_is_an_error(name: str) -> None:
    """A weight that the loss does not use is named, not passed over."""
    model = new_model()
    optimizer = MuonAdamW(model, PARTS, Rates())
    set_grads(model, 0)
    model.get_parameter(name).grad = None
    with pytest.raises(RuntimeError, match=name):
        optimizer.step(1.0)


def test_going_on_from_a_checkpoint_is_bit_identical(tmp_path: Path) -> None:
    """Weights and optimizer saved to disk and loaded again go on exactly as those that were never saved."""
    model = new_model()
    optimizer = MuonAdamW(model, PARTS, Rates())
    for seed, (scale, momentum) in enumerate(SCHEDULE):
        set_grads(model, seed)
        optimizer.step(scale, momentum)
    save_checkpoint(tmp_path, 4, {"model": model.state_dict(), "optimizer": optimizer.state()}, {})

    path = latest_checkpoint(tmp_path)
    assert path is not None
    tensors, _ = load_checkpoint(path)
    resumed = new_model(seed=1)
    resumed.load_state_dict(tensors["model"])
    again = MuonAdamW(resumed, PARTS, Rates())
    again.load_state(tensors["optimizer"])
    loaded = {name: tensor.clone() for name, tensor in tensors["optimizer"].items()}
    for seed, (scale, momentum) in enumerate(SCHEDULE, start=10):
        for trained, stepping in ((model, optimizer), (resumed, again)):
            set_grads(trained, seed)
            stepping.step(scale, momentum)
        first, second = copies(model), copies(resumed)
        assert all(torch.equal(first[name], second[name]) for name in first)
    first, second = optimizer.state(), again.state()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(torch.equal(tensors["optimizer"][name], loaded[name]) for name in loaded)  # they were copied


def test_training_brings_the_loss_down() -> None:
    """From nanochat's initialization, thirty steps on two rows of a rule that repeats learn the rule."""
    model = GPT(CONFIG, PARTS)
    model.init_weights(0)
    optimizer = MuonAdamW(model, PARTS, Rates())
    ids = torch.stack([torch.arange(17) % 5, torch.arange(17) % 7 + 8])
    losses = []
    for _ in range(30):
        loss = model.loss(ids[:, :-1], ids[:, 1:])
        loss.backward()
        optimizer.step(1.0)
        losses.append(loss.item())
    assert losses[0] == pytest.approx(4.1589, abs=1e-3)
    assert losses[-1] < 0.1

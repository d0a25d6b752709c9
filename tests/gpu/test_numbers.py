"""On a GPU the numbers are those of the CPU, or of the code that is not compiled, as near as bfloat16 allows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from bench._peer import random_model
from reference.compiled import compiled_trunk
from reference.compute import set_up_gpu
from reference.engine import Engine, Sampling
from reference.loss import _chunk, compiled_chunk
from reference.memory import training_bytes
from reference.model import GPT, GPTConfig
from reference.optim import MuonAdamW, Rates
from reference.parts import Parts
from reference.parts.attention import causal_attention
from reference.tokenizer import train_tokenizer

CONFIG = GPTConfig(vocab_size=500, n_layer=3, n_head=4, n_kv_head=2, n_embd=512, sequence_len=256)


def on(device: torch.device, config: GPTConfig = CONFIG, dtype: torch.dtype = torch.bfloat16) -> GPT:
    model = random_model(config).to(device)
    model.activation_dtype = dtype
    return model


def tokens(config: GPTConfig, rows: int, device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(config.vocab_size, (rows, config.sequence_len + 1), generator=generator).to(device)
    return drawn[:, :-1].contiguous(), drawn[:, 1:].contiguous()


def apart(ours: Tensor, theirs: Tensor) -> float:
    """The relative distance of two tensors."""
    return ((ours.double() - theirs.double()).norm() / theirs.double().norm()).item()


def test_the_compiled_model(gpu: torch.device) -> None:
    """Compiled and in bfloat16, loss and gradients are those of the eager model in float32, but for the rounding."""
    set_up_gpu()
    compiled, eager = on(gpu), on(gpu, dtype=torch.float32)
    compiled.trunk = compiled_trunk(compiled, {})
    batch = tokens(CONFIG, 4, gpu)
    loss, expected = compiled.loss(*batch), eager.loss(*batch)
    assert loss.item() == pytest.approx(expected.item(), abs=0.02)
    loss.backward()
    expected.backward()
    for name, weight in compiled.named_parameters():
        assert weight.grad is not None
        assert apart(weight.grad, eager.get_parameter(name).grad) < 0.05, name


def test_the_compiled_chunk(gpu: torch.device) -> None:
    """The loss of a chunk of rows and its derivative are those of the code that runs on CPUs."""
    generator = torch.Generator().manual_seed(0)
    h, w = (torch.randn(n, 256, generator=generator).bfloat16() for n in (300, 1000))
    t = torch.randint(1000, (300, 1), generator=generator)
    loss, g = compiled_chunk()(h.to(gpu), w.to(gpu), t.to(gpu))
    expected, derivative = _chunk(h.float(), w.float(), t)
    assert loss.item() == pytest.approx(expected.item(), rel=0.01)
    assert apart(g.cpu(), derivative) < 0.05


def test_an_update(gpu: torch.device) -> None:
    """MuonAdamW moves every weight as it does on the CPU, but for the rounding of Muon's iterations to bfloat16."""
    ours, theirs = on(gpu, dtype=torch.float32), on(torch.device("cpu"), dtype=torch.float32)
    before = {name: weight.detach().clone() for name, weight in theirs.named_parameters()}
    for model in (ours, theirs):
        model.loss(*tokens(CONFIG, 2, model.device)).backward()
        MuonAdamW(model, Parts(), Rates()).step(1.0)
    for name, weight in ours.named_parameters():
        moved, expected = weight.detach().cpu() - before[name], theirs.get_parameter(name).detach() - before[name]
        assert apart(moved, expected) < 0.15, name


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 5e-3), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize(("Tq", "Tk"), [(1, 1), (64, 64), (1, 70), (20, 70)])
def test_attention(gpu: torch.device, dtype: torch.dtype, tolerance: float, Tq: int, Tk: int) -> None:
    """The fused kernels agree with the CPU, whether the queries are all positions, the last, or the last few."""
    generator = torch.Generator().manual_seed(0)
    shapes = (2, 4, Tq, 64), (2, 2, Tk, 64), (2, 2, Tk, 64)
    q, k, v = (torch.randn(shape, generator=generator).to(dtype) for shape in shapes)
    y = causal_attention(q.to(gpu), k.to(gpu), v.to(gpu))
    assert_close(y.cpu(), causal_attention(q, k, v), rtol=tolerance, atol=tolerance)


def test_decoding(gpu: torch.device) -> None:
    """What is sampled with a cache, a token at a time, is what the model finds likeliest after it all."""
    tokenizer = train_tokenizer(["some text to learn a few merges from"], 300, Parts())
    config = GPTConfig(tokenizer.vocab_size, 2, 4, 2, 256, 64)
    model = on(gpu, config, torch.float32)
    prompts = [[tokenizer.special["bos"], 5, 7], [tokenizer.special["bos"], 9, 11]]
    completions = Engine(model, tokenizer, Parts()).complete(prompts, Sampling(max_tokens=16))
    for prompt, (completion,) in zip(prompts, completions, strict=True):
        assert completion.ids
        with torch.inference_mode():
            logits = model(torch.tensor([prompt + completion.ids], device=gpu))[0]  # (T, V)
        for place, (token, by_model) in enumerate(zip(completion.ids, completion.mask, strict=True), len(prompt)):
            if by_model:
                assert logits[place - 1, token] > logits[place - 1].max() - 0.02


def test_memory(gpu: torch.device) -> None:
    """What the plan counts with is within 15 percent of what training holds at its most."""
    config = GPTConfig(vocab_size=65_536, n_layer=6, n_head=8, n_kv_head=8, n_embd=1024, sequence_len=2048)
    set_up_gpu()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    model = on(gpu, config)
    model.trunk = compiled_trunk(model, {})
    optimizer, batch = MuonAdamW(model, Parts(), Rates()), tokens(config, 8, gpu)
    for _ in range(2):
        torch.cuda.reset_peak_memory_stats()
        for _ in range(2):  # a gradient stands there while the next batch goes through
            model.loss(*batch).backward()
        optimizer.step(1.0)
    peak = torch.cuda.max_memory_allocated() - before
    assert training_bytes(config, 8) == pytest.approx(peak, rel=0.15)

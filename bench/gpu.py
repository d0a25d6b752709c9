"""python -m bench.gpu: our training step at scale on one GPU, where its time goes, and transformers' beside it.

MFU is model FLOPs, 6 (N - N_wte) + 12 L H D T a token, over 989 TFLOP/s, the dense bfloat16 peak of an H100 or H200.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from bench._peer import ATTENTIONS, random_model
from bench._rounds import say
from bench.train import Transformers
from reference.checkpoint import write_atomically
from reference.compiled import compiled_trunk
from reference.compute import compute_device, describe_machine, peak_rss_gib, set_up_gpu
from reference.errors import UserError
from reference.loss import linear_cross_entropy
from reference.memory import MOST_ROWS, training_bytes
from reference.model import GPT, GPTConfig
from reference.optim import MuonAdamW, Rates
from reference.parts import Parts
from reference.presets import at_scale
from reference.sizes import flops_per_token, mfu, parameters

WARM_STEPS = 4
LONGEST = 12  # kernels that are named
# Kernels by what their names hold, on a GPU (cuBLAS, CUTLASS, cuDNN, flash attention) and, for ATen's names, on a CPU.
KINDS = {
    "attention": re.compile(r"flash|fmha|attention|sdpa|softmax", re.IGNORECASE),
    "matmul": re.compile(r"gemm|nvjet|cutlass|xmma|cublas|aten::(add|baddb|b)?mm\b", re.IGNORECASE),
}
ROWS = ("matmul", "attention", "other kernels of the blocks", "loss, its products included", "optimizer", "idle")
Batch = tuple[Tensor, Tensor]


class Ours:
    """A model of `config` with MuonAdamW, its blocks compiled where `compiles`."""

    def __init__(self, config: GPTConfig, device: torch.device, compiles: bool) -> None:
        self.model = random_model(config).to(device)
        self.model.activation_dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        if compiles:
            self.model.trunk = compiled_trunk(self.model, {})
        self.optimizer = MuonAdamW(self.model, Parts(), Rates())

    def step(self, batch: Batch) -> Tensor:
        loss = self.model.loss(*batch)
        loss.backward()
        self.optimizer.step(1.0)
        return loss.detach()

    def phases(self, batch: Batch) -> dict[str, Callable[[], Any]]:
        """The same step in three parts, to be called in this order."""
        held: dict[str, Tensor] = {}

        def forward() -> None:
            held["x"] = self.model.trunk(batch[0])
            held["leaf"] = held["x"].detach().requires_grad_()

        def loss() -> None:
            weight = self.model.lm_head.weight[: self.model.config.vocab_size]
            linear_cross_entropy(held["leaf"].flatten(0, 1), weight, batch[1].flatten()).backward()

        def backward() -> None:
            held["x"].backward(held["leaf"].grad)

        return {"forward": forward, "loss": loss, "backward": backward, "optimizer": lambda: self.optimizer.step(1.0)}


class Compiled:
    """transformers' model with the weights of `start`, compiled, with torch.optim.Muon and AdamW."""

    def __init__(self, start: GPT, compiles: bool) -> None:
        dtype = torch.bfloat16 if start.device.type == "cuda" else torch.float32
        self.stepper = Transformers(start, dtype, ATTENTIONS[0])
        if compiles:
            self.stepper.forward = torch.compile(self.stepper.model, dynamic=False)

    def step(self, batch: Batch) -> float:
        return self.stepper.step(*batch)


def random_batch(config: GPTConfig, rows: int, device: torch.device) -> Batch:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(config.vocab_size, (rows, config.sequence_len + 1), generator=generator).to(device)
    return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()


def seconds_per_step(step: Callable[[Batch], Any], batch: Batch, steps: int) -> float:
    """After WARM_STEPS, which compile; the device is waited for before and after, not in between."""
    for _ in range(WARM_STEPS):
        step(batch)
    wait(batch[0].device)
    began = time.perf_counter()
    for _ in range(steps):
        step(batch)
    wait(batch[0].device)
    return (time.perf_counter() - began) / steps


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def kernel_seconds(work: Callable[[], Any], device: torch.device) -> dict[str, float]:
    """How long each kernel (on a CPU: each operation by itself) of `work` was busy, by name."""
    on_gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as profiler:
        work()
        wait(device)
    events = profiler.key_averages()
    if on_gpu:  # without the ranges that are marked around kernels, whose time would count twice
        events = [event for event in events if event.device_type == DeviceType.CUDA and not event.is_user_annotation]
    times = {event.key: event.self_device_time_total if on_gpu else event.self_cpu_time_total for event in events}
    return {name: microseconds / 1e6 for name, microseconds in times.items() if microseconds}


def phase_seconds(ours: Ours, batch: Batch) -> dict[str, float]:
    """How long the parts of a step take by the clock, the device being waited for after each."""
    took = {}
    for _ in range(2):  # the first time something may be compiled or imported still
        for name, phase in ours.phases(batch).items():
            began = time.perf_counter()
            phase()
            wait(batch[0].device)
            took[name] = time.perf_counter() - began
    return took


def where_time_goes(ours: Ours, batch: Batch, step_seconds: float) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of a step by ROWS, and by kernel. Idle is what no kernel accounts for.

    Raises:
        UserError: the profiler sees no kernel.
    """
    device = batch[0].device
    busy = {name: kernel_seconds(phase, device) for name, phase in ours.phases(batch).items()}
    if not any(busy.values()):
        raise UserError("PyTorch's profiler sees no kernels: it needs CUPTI, and leave to read the GPU's counters.")
    kernels: dict[str, float] = {}
    found = dict.fromkeys(ROWS, 0.0)
    for phase, times in busy.items():
        for name, seconds in times.items():
            kernels[name] = kernels.get(name, 0.0) + seconds
            row = next((kind for kind, words in KINDS.items() if words.search(name)), ROWS[2])
            found[{"loss": ROWS[3], "optimizer": ROWS[4]}.get(phase, row)] += seconds
    found["idle"] = max(0.0, step_seconds - sum(found.values()))
    return found, dict(sorted(kernels.items(), key=lambda kernel: -kernel[1]))


def peak_gib(device: torch.device) -> float:
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else peak_rss_gib()


def measure(
    depth: int, rows: int, steps: int, device: torch.device, settings: dict[str, int], keep: Callable[[dict], None]
) -> None:
    """Print what the module says.

    Args:
        depth: of the preset.
        rows: of sequence_len tokens a step.
        steps: timed.
        device: where.
        settings: vocab_size and sequence_len, if others than the preset's.
        keep: called with the figures whenever there are more.
    """
    preset = replace(at_scale(depth), **settings)
    config, compiles = preset.model_config(preset.vocab_size), device.type == "cuda"
    set_up_gpu()
    batch = random_batch(config, rows, device)
    tokens = batch[0].numel()
    size = f"{parameters(config):,} parameters, {flops_per_token(config):.3e} FLOPs a token"
    say(f"depth {depth}: {size}, {tokens:,} tokens a step")
    ours = Ours(config, device, compiles)
    began = time.perf_counter()
    first = float(ours.step(batch))
    say(f"first step, which compiles: {time.perf_counter() - began:.0f} s")
    seconds = seconds_per_step(ours.step, batch, steps)
    result: dict[str, Any] = {"depth": depth, "rows": rows}
    result["ours"] = _speed(config, tokens, seconds, peak_gib(device))
    keep(result)
    say(f"ours: {_words(result['ours'])}; estimated for the plan: {training_bytes(config, rows) / 2**30:.1f} GiB")
    result["phases"] = phase_seconds(ours, batch)
    say("  by the clock: " + ", ".join(f"{name} {1000 * took:.1f} ms" for name, took in result["phases"].items()))
    keep(result)
    try:
        result["time"], result["kernels"] = where_time_goes(ours, batch, seconds)
    except (RuntimeError, UserError) as error:
        say(f"  no times of kernels: {error}")
    else:
        for name, part in result["time"].items():
            say(f"  {name:<30}{1000 * part:>9.1f} ms{part / seconds:>8.1%}")
        for name, part in list(result["kernels"].items())[:LONGEST]:
            say(f"    {1000 * part:>9.1f} ms  {name[:100]}")
    keep(result)
    del ours
    torch._dynamo.reset()  # which holds the model
    gc.collect()
    try:
        result["peer"] = measure_peer(config, batch, steps, first, compiles)
    except RuntimeError as error:
        say(f"transformers: failed with {type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}")
        result["peer"] = {}
    if result["peer"]:
        ratio = result["ours"]["tokens_per_second"] / result["peer"]["tokens_per_second"]
        say(f"ours / transformers: {ratio:.2f}")
    keep(result)


def measure_peer(config: GPTConfig, batch: Batch, steps: int, first: float, compiles: bool) -> dict[str, float]:
    """The peer's speed, at half the rows, and half of that, until it fits; {} if one row does not."""
    device, rows = batch[0].device, len(batch[0])
    while rows:
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        part = batch[0][:rows], batch[1][:rows]
        try:
            peer = Compiled(random_model(config).to(device), compiles)
            loss = peer.step(part)
            if rows == len(batch[0]) and abs(loss - first) > 0.05:
                raise UserError(f"Our loss is {first:.4f} and transformers' {loss:.4f}: that is not the same work.")
            seconds = seconds_per_step(peer.step, part, steps)
        except torch.OutOfMemoryError:
            say(f"transformers: {rows} rows do not fit")
            rows, peer = rows // 2, None
            torch._dynamo.reset()  # which holds it
            gc.collect()
            continue
        found = _speed(config, part[0].numel(), seconds, peak_gib(device))
        say(f"transformers, {rows} rows, torch.optim.Muon: {_words(found)}")
        return found
    return {}


def _speed(config: GPTConfig, tokens: int, seconds: float, gib: float) -> dict[str, float]:
    rate = tokens / seconds
    return {"seconds": seconds, "tokens_per_second": rate, "mfu": mfu(config, rate, 1), "peak_gib": gib}


def _words(speed: dict[str, float]) -> str:
    return (
        f"{1000 * speed['seconds']:.0f} ms a step, {speed['tokens_per_second']:,.0f} tokens/s, "
        f"{speed['mfu']:.1%} MFU, at most {speed['peak_gib']:.1f} GiB"
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure our training step on one GPU, beside transformers'.")
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--rows", type=int, default=MOST_ROWS, help="rows a step")
    parser.add_argument("--sequence-len", type=int, default=2048)
    parser.add_argument("--vocab-size", type=int, default=65_536)
    parser.add_argument("--steps", type=int, default=20, help="timed steps")
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto", help="cpu: to try it out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args(arguments)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's own, which it reads when it is first used
    try:
        if options.device == "auto" and not torch.cuda.is_available():
            raise UserError(
                "There is no CUDA GPU here, so there is nothing to measure; --device cpu --depth 2 --rows 2 "
                "--sequence-len 64 --vocab-size 1024 tries the benchmark itself."
            )
        device = compute_device("cpu" if options.device == "cpu" else "cuda")
        machine = describe_machine(device)
        say("{device}, torch {torch}, {cpu}, {system}".format(**machine))
        settings = {"sequence_len": options.sequence_len, "vocab_size": options.vocab_size}

        def keep(result: dict) -> None:
            if options.json:
                write_atomically(options.json, (json.dumps({"machine": machine, **result}, indent=2) + "\n").encode())

        measure(options.depth, options.rows, options.steps, device, settings, keep)
    except torch.OutOfMemoryError:
        _leave(f"The GPU's memory is full at {options.rows} rows; halve them: --rows {options.rows // 2}.", 2)
    except UserError as error:
        _leave(str(error), 2)
    except KeyboardInterrupt:
        _leave("Stopped before everything was measured.", 130)


def _leave(message: str, status: int) -> None:
    print(message, file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()

"""The benchmarks compare equal work and count rightly. How fast anything is, no test asks."""

from __future__ import annotations

import itertools
import json
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench import decode, gpu, train
from bench._peer import ATTENTIONS, random_model, transformers_model
from bench._rounds import Ratio, conclusion, fastest, medians, play, ratio
from reference.engine import Engine
from reference.errors import UserError
from reference.model import GPT, GPTConfig
from reference.parts import Parts
from reference.presets import at_scale
from reference.sizes import flops_per_token
from reference.tokenizer import Tokenizer

ROOT = Path(__file__).resolve().parent.parent
CONFIG = GPTConfig(vocab_size=320, n_layer=2, n_head=4, n_kv_head=2, n_embd=32, sequence_len=16)
BATCH = 3


@pytest.fixture
def start() -> GPT:
    return random_model(CONFIG)


@pytest.fixture
def data() -> tuple[torch.Tensor, torch.Tensor]:
    return train.batches(CONFIG, BATCH)[0]


# ------------------------------------------------------------------------------------- the same work


def test_the_formula_counts_our_step(start: GPT, data: tuple[torch.Tensor, torch.Tensor]) -> None:
    """PyTorch's own counter finds in our forward and backward pass the FLOPs that the formula promises."""
    with FlopCounterMode(display=False) as counter:
        start.loss(*data).backward()
    assert counter.get_total_flops() == flops_per_token(CONFIG) * BATCH * CONFIG.sequence_len


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_roof_has_the_flops_of_the_formula(
    start: GPT, data: tuple[torch.Tensor, torch.Tensor], dtype: torch.dtype
) -> None:
    """The loop of matrix products does as many as the formula says, no more and no fewer."""
    products = train.MatrixProducts(CONFIG, BATCH, dtype)
    with FlopCounterMode(display=False) as counter:
        products.step(*data)
    assert counter.get_total_flops() == flops_per_token(CONFIG) * BATCH * CONFIG.sequence_len


def test_the_products_are_those_of_a_linear_map() -> None:
    """A factor (x, w, y) of the loop is y = x w^T, and every result has the shape of what it stands for."""
    products = train.MatrixProducts(CONFIG, BATCH, torch.float32)
    for x, w, y in products.factors:
        torch.testing.assert_close(y, x @ w.mT)
    assert all(shape == result.shape for shape, result in products.results.items())


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_updates_are_equal(start: GPT, data: tuple[torch.Tensor, torch.Tensor], attention: str) -> None:
    """Both sides lose and learn alike: the losses agree, and so do the embedding and the head two updates on."""
    ours = train.Ours(start, torch.float32)
    theirs = train.Transformers(start, torch.float32, attention)
    assert "The same work: loss" in train.check_same_work(ours, theirs, *data)
    assert ours.step(*data) < start.loss(*data).item() - 0.5  # both did learn
    weights = dict(theirs.model.named_parameters())
    theirs.step(*data)
    for one, other in ((ours.model.lm_head, "lm_head"), (ours.model.transformer["wte"], "model.embed_tokens")):
        torch.testing.assert_close(one.weight, weights[f"{other}.weight"], atol=0.02, rtol=0)


def test_a_step_leaves_no_gradient(start: GPT, data: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Both contenders' updates are complete: the gradients are cleared, so that the next does not add to them."""
    for stepper in (train.Ours(start, torch.float32), train.Transformers(start, torch.bfloat16, "sdpa")):
        stepper.step(*data)
        assert all(p.grad is None for p in stepper.model.parameters())


def test_other_work_is_refused(start: GPT, data: tuple[torch.Tensor, torch.Tensor]) -> None:
    """A peer with one weight matrix that differs is not compared with."""
    theirs = train.Transformers(start, torch.float32, "sdpa")
    with torch.no_grad():
        theirs.model.model.layers[0].self_attn.o_proj.weight.mul_(1.5)
    with pytest.raises(UserError, match="not the same work"):
        train.check_same_work(train.Ours(start, torch.float32), theirs, *data)


def test_all_batches_see_the_same_rows() -> None:
    """Whatever its batch, a contender works through the same tokens, and targets are inputs shifted by one."""
    whole, halves = train.batches(CONFIG, 32), train.batches(CONFIG, 16)
    assert [len(ids) for ids, _ in halves] == [16, 16]
    for i in (0, 1):
        assert torch.equal(torch.cat([pair[i] for pair in halves]), whole[0][i])
    ids, targets = whole[0]
    assert torch.equal(ids[:, 1:], targets[:, :-1])


# --------------------------------------------------------------------------------------- decoding


@pytest.fixture
def talker(start: GPT) -> tuple[GPT, Tokenizer]:
    return start.eval(), decode.silence_specials(start)


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_tokens_are_equal(talker: tuple[GPT, Tokenizer], batch: int, attention: str) -> None:
    """Both decoders write as many tokens as asked for, the same ones, and never a special token."""
    model, tokenizer = talker
    ids = decode.prompts(model, batch, 6)
    one = decode.ours(Engine(model, tokenizer, Parts()), ids, 9)
    other = decode.theirs(transformers_model(model, attention).eval(), ids, 9)
    assert one.shape == (batch, 9)
    assert decode.check_same_tokens(model, ids, one, other) == 0
    assert torch.equal(one, other)
    assert not set(one.flatten().tolist()) & set(tokenizer.special.values())
    assert len({tuple(row) for row in ids.tolist()}) == batch  # no two prompts are alike


def test_specials_are_never_said(start: GPT) -> None:
    """Where the model would say nothing but special tokens, the silenced one says none."""
    specials = list(Tokenizer([]).special.values())
    model = random_model(GPTConfig(256 + len(specials) + 55, 2, 4, 2, 32, 16))
    with torch.no_grad():
        model.lm_head.weight[256 + 55 :] *= 100
    ids = decode.prompts(model, 4, 6)
    assert (model(ids).argmax(-1) >= 256 + 55).float().mean() > 0.9
    decode.silence_specials(model)
    assert (model(ids).argmax(-1) < 256 + 55).all()


def test_wrong_tokens_are_refused(talker: tuple[GPT, Tokenizer]) -> None:
    """One token that is not the most likely one, and the two sides are not compared; nor with one too few."""
    model, tokenizer = talker
    ids = decode.prompts(model, 2, 6)
    right = decode.ours(Engine(model, tokenizer, Parts()), ids, 9)
    wrong = right.clone()
    wrong[1, 4] = (wrong[1, 4] + 1) % 256
    with pytest.raises(UserError, match="Row 1 differs at token 4"):
        decode.check_same_tokens(model, ids, right, wrong)
    with pytest.raises(UserError, match="wrote"):
        decode.check_same_tokens(model, ids, right, right[:, :8])


def test_a_tie_is_no_difference(talker: tuple[GPT, Tokenizer]) -> None:
    """Where two words are equally likely, either may follow, and after it anything."""
    model, tokenizer = talker
    ids = decode.prompts(model, 2, 6)
    right = decode.ours(Engine(model, tokenizer, Parts()), ids, 9)
    twin = int(next(i for i in range(256) if i not in right))
    with torch.no_grad():
        model.lm_head.weight[twin] = model.lm_head.weight[right[0, 3]]
    tied = right.clone()
    tied[0, 3], tied[0, 4:] = twin, 0
    assert decode.check_same_tokens(model, ids, right, tied) == 1


# ----------------------------------------------------------------------------------- the comparison


def test_ratio_arithmetic() -> None:
    """A ratio is the median of the ratios of the rounds, which is not the ratio of the medians."""
    rounds = [{"a": 10.0, "b": 10.0}, {"a": 30.0, "b": 10.0}, {"a": 20.0, "b": 5.0}]
    assert ratio(rounds, "a", "b") == Ratio(3.0, 1.0, 4.0)
    assert ratio(rounds, "b", "a") == Ratio(pytest.approx(1 / 3), 0.25, 1.0)
    assert medians(rounds) == {"a": 20.0, "b": 10.0}
    assert str(Ratio(2.0, 1.0, 3.0)) == "2.00 (1.00-3.00)"


def test_conclusion_names_what_it_compares(capsys: pytest.CaptureFixture[str]) -> None:
    """What is printed and what --json gets are the same ratios, under the names of both contenders."""
    result = conclusion([{"a": 6.0, "b": 4.0}], {"a": "batch 8"}, [("a", "b")])
    assert result["ratios"] == {"a / b": {"median": 1.5, "low": 1.5, "high": 1.5}}
    assert result["rounds"] == [{"a": 6.0, "b": 4.0}]
    assert "a / b: 1.50 (1.50-1.50)" in capsys.readouterr().out


def test_contenders_take_turns() -> None:
    """In every round each has one turn; the order turns round, and the figures stay in theirs."""
    calls: list[str] = []
    turns = {name: lambda name=name: calls.append(name) or 1 for name in "abc"}  # type: ignore[misc]
    rounds = play(turns, 3, 1000)
    assert "".join(calls) == "abc" + "cba" + "abc"
    assert [list(figures) for figures in rounds] == [["a", "b", "c"]] * 3
    assert all(value > 0 for figures in rounds for value in figures.values())


def test_time_is_up() -> None:
    """Without time left there is still one round, so that there is something to say."""
    assert len(play({"a": lambda: 1}, 9, -1)) == 1


def test_ctrl_c_keeps_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C in the third round leaves two; in the first there is nothing to keep."""

    def interrupted(after: int) -> dict[str, object]:
        count = itertools.count(1)

        def turn() -> int:
            if next(count) > after:
                raise KeyboardInterrupt
            return 1

        return {"a": turn, "b": turn}

    assert len(play(interrupted(5), 9, 1000)) == 2  # type: ignore[arg-type]
    assert "measured so far" in capsys.readouterr().out
    with pytest.raises(KeyboardInterrupt):
        play(interrupted(1), 9, 1000)  # type: ignore[arg-type]


def test_the_fastest_configuration_is_kept() -> None:
    """Of those tried the one with the most tokens per second is taken, whichever comes first."""
    sizes = {"slow": 1, "fast": 1_000_000_000, "middling": 1000}
    for names in (list(sizes), list(reversed(sizes))):
        name, turn = fastest("ours", {name: lambda name=name: lambda: sizes[name] for name in names})  # type: ignore[misc]
        assert (name, turn()) == ("fast", sizes["fast"])


def test_the_gpu_benchmark_on_a_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole path runs: the same work on both sides, every part of a step has its time, and the figures agree."""
    file = tmp_path / "gpu.json"
    size = ["--depth", "2", "--rows", "2", "--sequence-len", "64", "--vocab-size", "320"]
    gpu.main(["--device", "cpu", *size, "--steps", "2", "--json", str(file)])
    result = json.loads(file.read_text())
    ours = result["ours"]
    assert ours["tokens_per_second"] == pytest.approx(2 * 64 / ours["seconds"])
    config = replace(at_scale(2), sequence_len=64, vocab_size=320).model_config(320)
    assert ours["mfu"] == pytest.approx(ours["tokens_per_second"] * flops_per_token(config) / 989e12)
    assert set(result["time"]) == set(gpu.ROWS)
    assert all(result["time"][name] > 0 for name in gpu.ROWS if name != "idle")
    assert sum(result["kernels"].values()) == pytest.approx(sum(result["time"].values()) - result["time"]["idle"])
    assert list(result["phases"]) == ["forward", "loss", "backward", "optimizer"]
    assert all(seconds > 0 for seconds in result["phases"].values())
    assert result["peer"]["tokens_per_second"] > 0
    printed = capsys.readouterr().out
    assert "ours / transformers: " in printed
    assert all(name in printed for name in gpu.ROWS)


def test_the_gpu_benchmark_without_its_peer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where transformers is not installed our own figures are kept, and one sentence says what is missing."""
    file = tmp_path / "gpu.json"
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.delitem(sys.modules, "bench.gpu")
    main = runpy.run_module("bench.gpu")["main"]  # imported anew, where nobody could have brought it along
    size = "--device cpu --depth 1 --rows 1 --sequence-len 16 --vocab-size 320 --steps 1"
    with pytest.raises(SystemExit) as ended:
        main([*size.split(), "--json", str(file)])
    assert ended.value.code == 2
    assert "The benchmarks compare with the transformers library" in capsys.readouterr().err
    assert json.loads(file.read_text())["ours"]["tokens_per_second"] > 0


def test_the_phases_are_a_step() -> None:
    """The parts that are timed one by one make the very update of the step that is timed as a whole."""
    config = replace(at_scale(1), sequence_len=16, vocab_size=320).model_config(320)
    batch = gpu.random_batch(config, 2, torch.device("cpu"))
    whole, parts = (gpu.Ours(config, torch.device("cpu"), compiles=False) for _ in range(2))
    whole.step(batch)
    for phase in parts.phases(batch).values():
        phase()
    for name, weight in parts.model.named_parameters():
        torch.testing.assert_close(weight, whole.model.get_parameter(name))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence says that there is nothing to measure."""
    with pytest.raises(SystemExit) as ended:
        gpu.main([])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("There is no CUDA GPU here, so there is nothing to measure; ")


@pytest.mark.parametrize("name", ["train", "decode"])
def test_without_transformers(name: str) -> None:
    """Where the peer is not installed, one sentence says so, with status 2."""
    code = (
        f"import sys, runpy; sys.modules['transformers'] = None; runpy.run_module('bench.{name}', run_name='__main__')"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "transformers library" in result.stderr
    assert result.stderr.count("\n") == 1

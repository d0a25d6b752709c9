"""The engine against the model run without a cache, and against scripts that say what is sampled."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from reference.engine import Completion, Engine, Sampling, sample
from reference.errors import UserError
from reference.model import GPT, GPTConfig
from reference.parts import Parts, kv_cache, tools
from reference.parts.provenance import counted
from reference.tokenizer import Tokenizer, train_tokenizer

PARTS = Parts()
TOKENIZER = train_tokenizer(["the cat sat on the mat, and 12+30 = 42 is the sum of 12 and 30. "] * 9, 300, PARTS)
SPECIAL = TOKENIZER.special
ENDS = (SPECIAL["assistant_end"], SPECIAL["bos"])
CONFIG = GPTConfig(TOKENIZER.vocab_size, n_layer=2, n_head=4, n_kv_head=2, n_embd=32, sequence_len=24)
PROMPTS = [[5, 9, 200], [7], [280, 3, 3, 50, 120], [11, 12, 13], [8], [1, 2, 3]]


def random_engine(seed: int = 0, parts: Parts = PARTS, dtype: torch.dtype = torch.float32) -> Engine:
    """An engine whose model has no weight at zero, and logits so far apart that rounding never decides."""
    model = GPT(CONFIG, parts, dtype)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            std = 1.0 if "wte" in name or "lm_head" in name else 0.3
            weight.copy_(torch.randn(weight.shape, generator=generator) * std)
    return Engine(model, TOKENIZER, parts)


@torch.no_grad()
def naive(model: GPT, prompt: list[int], max_tokens: int) -> list[int]:
    """Greedy decoding by definition: the whole sequence, every time."""
    ids: list[int] = []
    while len(ids) < max_tokens and not (ids and ids[-1] in ENDS):
        ids.append(int(model(torch.tensor([prompt + ids]))[0, -1].argmax()))
    return ids


class Recording:
    """The kv_cache part, keeping a record of how caches are made and expanded."""

    def __init__(self) -> None:
        self.record: list[tuple[str, Any]] = []
        record = self.record

        class KVCache(kv_cache.KVCache):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                record.append(("new", (args, kwargs)))
                super().__init__(*args, **kwargs)

            def expand(self, batch: int) -> Any:
                record.append(("expand", ((batch,), {})))
                return super().expand(batch)

        self.KVCache = KVCache
        self.__file__ = kv_cache.__file__


# ------------------------------------------------------------------------ greedy: no draw, no doubt


@pytest.mark.parametrize("seed", [0, 1])
def test_greedy_is_the_full_forward_without_a_cache(seed: int) -> None:
    """Token by token, for prompts of several lengths, far beyond the length that the rotary tables begin with."""
    engine = random_engine(seed)
    completions = engine.complete(PROMPTS, Sampling(max_tokens=30))
    expected = [naive(engine.model, prompt, 30) for prompt in PROMPTS]
    assert [c.ids for (c,) in completions] == expected
    assert len({tuple(ids) for ids in expected}) == len(PROMPTS), "the test is empty if all say the same"


def test_random_models_end_their_rows() -> None:
    """Among many prompts some end by themselves, as the naive decoding does, while others of the batch go on."""
    engine = random_engine(3)
    prompts = [[a, 1] for a in range(0, 250, 15)]
    completions = [c for (c,) in engine.complete(prompts, Sampling(max_tokens=20))]
    ended = [c for c in completions if c.ids[-1] in ENDS]
    assert 0 < len(ended) < len(completions)
    assert [c.ids for c in completions] == [naive(engine.model, prompt, 20) for prompt in prompts]


@pytest.mark.parametrize("rows", [1, 2, 3, 100])
def test_order_and_batches_do_not_matter(rows: int) -> None:
    """Prompts of different lengths come back in the order given, however many are decoded at once."""
    engine = random_engine()
    alone = [engine.complete([prompt], Sampling(12))[0] for prompt in PROMPTS]
    assert engine.complete(PROMPTS, Sampling(12), rows=rows) == alone
    assert engine.complete(PROMPTS[::-1], Sampling(12), rows=rows) == alone[::-1]
    assert engine.complete(PROMPTS, Sampling(12), samples=3, rows=rows) == [[c] * 3 for (c,) in alone]


@pytest.mark.parametrize("samples", [1, 3])
def test_many_prompts_with_many_samples_are_one_at_a_time(samples: int) -> None:
    """The cache that is widened for several prompts holds what expanding each prompt's own would hold."""
    engine = random_engine()
    prompts = [prompt for prompt in PROMPTS if len(prompt) == 3]
    expected = [[Completion(ids, [1] * len(ids))] * samples for ids in (naive(engine.model, p, 12) for p in prompts)]
    assert len(prompts) == 3
    assert engine.complete(prompts, Sampling(12), samples) == expected


def test_no_prompts_no_completions() -> None:
    """Nothing in, nothing out."""
    assert random_engine().complete([], Sampling(5)) == []


@pytest.mark.parametrize("max_tokens", [1, 2, 9])
def test_max_tokens_is_reached_and_kept(max_tokens: int) -> None:
    """A row that does not end has exactly max_tokens tokens, the first ones of a longer row."""
    engine = random_engine()
    (long,), (short,) = (engine.complete([[7]], Sampling(n))[0] for n in (20, max_tokens))
    assert len(long.ids) == 20
    assert short.ids == long.ids[:max_tokens]
    assert len(short.mask) == max_tokens


# ------------------------------------------------------------------------------------- drawing


def test_seeds() -> None:
    """A seed repeats its draws, another one makes others, and at temperature 0 there is nothing to seed."""
    engine = random_engine()

    def complete(temperature: float, seed: int) -> list[list[Completion]]:
        return engine.complete(PROMPTS, Sampling(8, temperature, seed=seed), samples=2)

    assert complete(1.0, 5) == complete(1.0, 5)
    assert complete(1.0, 5) != complete(1.0, 6)
    assert complete(0.0, 5) == complete(0.0, 6)


@pytest.mark.parametrize("prompts", [PROMPTS[:1], [PROMPTS[0], PROMPTS[3]]], ids=["one prompt", "two prompts"])
def test_the_rows_of_a_prompt_start_differently(prompts: list[list[int]]) -> None:
    """The first token is drawn for every row, not once for the prompt."""
    engine = random_engine()
    for completions in engine.complete(prompts, Sampling(1, temperature=2.0), samples=40):
        assert len({c.ids[0] for c in completions}) > 5


def test_batches_share_no_random_numbers() -> None:
    """The same prompt, too often for one batch, is not answered alike in every batch."""
    engine = random_engine()
    first, second, third, fourth = engine.complete([[7]] * 4, Sampling(10, temperature=2.0), rows=2)
    assert len({tuple(c.ids) for (c,) in (first, second, third, fourth)}) == 4


def test_every_row_remembers_its_own_past() -> None:
    """Drawn from the two likeliest, every token is one of the two that the full forward finds after its own row."""
    engine = random_engine()
    prompts = [PROMPTS[0], PROMPTS[3]]
    drawn = engine.complete(prompts, Sampling(12, temperature=5.0, top_k=2), samples=4)
    greedy = 0
    for prompt, completions in zip(prompts, drawn, strict=True):
        assert len({tuple(c.ids) for c in completions}) == 4
        for c in completions:
            logits = engine.model(torch.tensor([prompt + c.ids]))[0, len(prompt) - 1 : -1]  # (T, V)
            ranks = (logits > logits.gather(1, torch.tensor(c.ids)[:, None])).sum(1)
            assert (ranks <= 1).all()
            greedy += int((ranks == 0).sum())
    assert 20 < greedy < 80, "of 96; the second is drawn as well as the first"


@pytest.mark.parametrize("top_k", [None, 3, 5, 50])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_are_the_softmax(temperature: float, top_k: int | None) -> None:
    """Of 200,000 draws every token has its share: the softmax at this temperature, over the top k alone."""
    logits = torch.tensor([0.3, -1.0, 2.0, -math.inf, 1.1, 0.0, -3.0])
    n = 200_000
    drawn = sample(logits.expand(n, -1), Sampling(1, temperature, top_k), torch.Generator().manual_seed(0))
    assert drawn.shape == (n,)
    assert drawn.dtype == torch.int64
    kept = logits if top_k is None else logits.where(logits >= logits.sort().values[-min(top_k, 7)], -math.inf)
    p = (kept / temperature).softmax(-1)
    counts = torch.bincount(drawn, minlength=7)
    assert (counts[p == 0] == 0).all()
    standard_errors = (counts / n - p)[p > 0] / (p * (1 - p) / n).sqrt()[p > 0]
    assert standard_errors.abs().max() < 4.5


def test_rows_are_drawn_independently() -> None:
    """Every row has its own distribution and its own draw."""
    logits = torch.full((6, 6), -20.0).fill_diagonal_(20.0)
    generator = torch.Generator().manual_seed(0)
    assert sample(logits, Sampling(1, 1.0), generator).tolist() == list(range(6))
    assert sample(logits, Sampling(1, 1.0, top_k=2), generator).tolist() == list(range(6))


@pytest.mark.parametrize("extreme", [0.0, 1 - 2**-24])
def test_extreme_random_numbers(monkeypatch: pytest.MonkeyPatch, extreme: float) -> None:
    """The smallest and the largest random number there is fall to tokens that are possible."""
    monkeypatch.setattr(torch, "rand", lambda *size, **_: torch.full(size, extreme))
    impossible = torch.full((300,), -math.inf)
    impossible[[7, 290]] = 0.0
    spread = torch.randn(5000, 300, generator=torch.Generator().manual_seed(0)).where(impossible == 0, -math.inf)
    drawn = sample(spread, Sampling(1, 1.0), torch.Generator())
    assert drawn.unique().tolist() == [7 if extreme == 0 else 290]
    dense = torch.randn(5000, 300, generator=torch.Generator().manual_seed(1)) * 4
    drawn = sample(dense, Sampling(1, 1.0), torch.Generator())
    assert drawn.max() == 0 if extreme == 0 else 290 < drawn.min() <= drawn.max() < 300


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=1.0), Sampling(temperature=0.5, top_k=3)])
def test_logits_that_are_not_numbers_are_refused(sampling: Sampling) -> None:
    """One NaN among the logits of one row is enough."""
    logits = torch.zeros(3, 40)
    assert len(sample(logits, sampling, torch.Generator())) == 3
    logits[1, 7] = math.nan
    with pytest.raises(FloatingPointError, match="not numbers"):
        sample(logits, sampling, torch.Generator())


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_cache_that_holds_no_numbers_is_refused(temperature: float) -> None:
    """A learner's cache that returns memory nobody wrote to ends in a sentence, not in a token that does not exist."""

    class KVCache(kv_cache.KVCache):
        def insert(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
            keys, values = super().insert(layer, k, v)
            return keys, torch.full_like(values, math.nan)

    engine = random_engine(parts=Parts(kv_cache=SimpleNamespace(KVCache=KVCache)))
    with pytest.raises(UserError, match=r"^No token can be chosen, .* so look at the part kv_cache, .*kata's tests\.$"):
        engine.complete(PROMPTS, Sampling(5, temperature), samples=2)


def test_top_1_is_greedy() -> None:
    """Drawing from one candidate is taking it, at any temperature and with any seed."""
    engine = random_engine()
    assert engine.complete(PROMPTS, Sampling(12, 1.7, top_k=1, seed=3)) == engine.complete(PROMPTS, Sampling(12))


# --------------------------------------------------------------------- scripts: tools, ends, forced tokens


class Script:
    """Stands in for the model: row b samples the tokens of scripts[b] one after another, whatever it is fed.

    `fed` holds what came in at every step after the prompt, one list of tokens a step.
    """

    def __init__(self, *scripts: list[int], prompt: int = 1) -> None:
        self.scripts, self.prompt = scripts, prompt
        self.config, self.device, self.activation_dtype = CONFIG, torch.device("cpu"), torch.float32
        self.fed: list[list[int]] = []

    def qkv_weights(self) -> list[Tensor]:
        return []

    def hidden(self, ids: Tensor, cache: Any, weights: list[Tensor]) -> Tensor:
        B, T = ids.shape
        assert torch.is_inference_mode_enabled(), "no graph is built for a backward pass that never comes"
        step = cache.length + T - self.prompt
        for layer in range(CONFIG.n_layer):
            cache.insert(layer, *torch.zeros(2, B, CONFIG.n_kv_head, T, CONFIG.head_dim))
        if step:
            self.fed.append(ids[:, 0].tolist())
        next_ids = [script[step] if step < len(script) else 0 for script in self.scripts]
        return torch.tensor(next_ids)[:, None].expand(B, T)  # "C" is the next id itself

    def logits(self, x: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(x, CONFIG.vocab_size).float()


def say(*pieces: str) -> list[int]:
    """Text as token ids; a piece that is the name of a special token is that token."""
    return [i for piece in pieces for i in ([SPECIAL[piece]] if piece in SPECIAL else TOKENIZER.encode(piece))]


def call(code: str) -> list[int]:
    return say("python_start", code, "python_end")


def result(text: str) -> list[int]:
    return say("output_start", text, "output_end")


def follow(*scripts: list[int], max_tokens: int = 64, parts: Parts = PARTS) -> tuple[list[Completion], Script]:
    model = Script(*scripts)
    engine = Engine(model, TOKENIZER, parts)  # type: ignore[arg-type]
    return [c for (c,) in engine.complete([[1]] * len(scripts), Sampling(max_tokens))], model


def test_a_tools_result_is_forced_upon_the_row() -> None:
    """What the model samples meanwhile is lost; the result has mask 0, all else 1, and the model is fed the result."""
    lost = len(result("42"))
    asks = say("It is ") + call("12+30")
    (completion,), model = follow([*asks, *say("x" * lost)[:lost], *say("the sum", "assistant_end")])
    assert completion.ids == [*asks, *result("42"), *say("the sum", "assistant_end")]
    assert completion.mask == [1] * len(asks) + [0] * lost + [1] * len(say("the sum", "assistant_end"))
    assert [ids for (ids,) in model.fed] == completion.ids[:-1]


@pytest.mark.parametrize(
    ("code", "output"),
    [
        ("12*30", "360"),
        ("7/2", "3.5"),
        ("5-5", "0"),
        ("1,200+1", "1201"),
        ("-(2+3)*4", "-20"),
        ("'strawberry'.count('r')", "3"),
    ],
)
def test_tool_outputs(code: str, output: str) -> None:
    """The calculator's answers stand between their marks, a zero as well as any."""
    (completion,), _ = follow([*call(code), *[0] * 20])
    expected = [*call(code), *result(output)]
    assert completion.ids[: len(expected)] == expected


@pytest.mark.parametrize("code", ["", "1/0", "two", "2**9", "1+", "open('x')", "007", "'a'.upper()"])
def test_bad_expressions_inject_nothing(code: str) -> None:
    """What the calculator does not answer leaves no trace: all that follows is the model's own."""
    script = [*call(code), *say("the sum", "assistant_end")]
    (completion,), _ = follow(script)
    assert completion == Completion(script, [1] * len(script))


def test_marks_in_any_order() -> None:
    """An end without a start asks nothing, a second start begins again, and two calls have two results."""
    lost = [0] * len(result("7"))
    script = [*say("python_end", "1+1"), *say("python_start", "9+9"), *call("3+4"), *lost, *call("2+2"), *lost, ENDS[0]]
    (completion,), _ = follow(script)
    first, second = script.index(0), len(script) - 1 - len(lost)
    expected = [*script[:first], *result("7"), *call("2+2"), *result("4"), ENDS[0]]
    assert completion.ids == expected
    assert [i for i, mask in enumerate(completion.mask) if not mask] == [
        *range(first, first + len(lost)),
        *range(second, second + len(lost)),
    ]


def test_every_row_has_its_own_tool() -> None:
    """Rows that call, fail to call and do not call, at one time, do not disturb each other."""
    lost = [0] * len(result("42"))
    scripts = [
        [*call("12+30"), *lost, ENDS[0]],
        [*call("1/0"), *say("the cat"), ENDS[0]],
        [*say("the mat"), ENDS[1]],
        [*say("sum "), *call("5-5"), *[0] * len(result("0")), ENDS[0]],
    ]
    completions, _ = follow(*scripts)
    assert completions[0].ids == [*call("12+30"), *result("42"), ENDS[0]]
    assert completions[1].ids == scripts[1]
    assert completions[2].ids == scripts[2]
    assert completions[3].ids == [*say("sum "), *call("5-5"), *result("0"), ENDS[0]]


@pytest.mark.parametrize("left", [0, 1, 2, 3])
def test_forced_tokens_count_toward_max_tokens(left: int) -> None:
    """A result may be cut by the limit as everything else may."""
    asks = call("12+30")
    (completion,), model = follow([*asks, *[0] * 20], max_tokens=len(asks) + left)
    assert completion.ids == [*asks, *result("42")[:left]]
    assert completion.mask == [1] * len(asks) + [0] * left
    assert len(model.fed) == len(completion.ids) - 1, "nothing is computed after the last token"


@pytest.mark.parametrize("end", ["assistant_end", "bos"])
def test_a_row_ends_with_its_terminal_token(end: str) -> None:
    """The token that ends a row is its last, with mask 1; the other row goes on; decoding stops with the last one."""
    short, long = say("the cat", end), say("the cat sat on the mat", "assistant_end")
    completions, model = follow([*short, *[0] * 50], [*long, *[0] * 50])
    assert [c.ids for c in completions] == [short, long]
    assert [c.mask for c in completions] == [[1] * len(short), [1] * len(long)]
    assert len(model.fed) == len(long) - 1


@pytest.mark.parametrize("name", [name for name in SPECIAL if name not in ("assistant_end", "bos")])
def test_no_other_special_token_ends_a_row(name: str) -> None:
    """Whatever else a confused model says, it goes on."""
    script = say("the cat", name, "sat", "assistant_end")
    (completion,), _ = follow(script)
    assert completion.ids == script


def test_stream_goes_by_columns() -> None:
    """A step yields a token and its mask for every row, and None for a row that is done."""
    engine = Engine(Script([5, ENDS[0], 6], [7, 8, ENDS[1]], prompt=2), TOKENIZER, PARTS)  # type: ignore[arg-type]
    columns = list(engine.stream([[1, 2], [3, 4]], Sampling(9)))
    assert columns == [[(5, 1), (7, 1)], [(ENDS[0], 1), (8, 1)], [None, (ENDS[1], 1)]]


def test_streaming_leaves_the_callers_autograd_alone() -> None:
    """Between two tokens, and after a stream that is given up, gradients are as they were."""
    stream: Iterator[Any] = random_engine().stream([[7]], Sampling(5))
    for _ in range(2):
        next(stream)
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
    del stream
    assert not torch.is_inference_mode_enabled()


def test_a_sampled_model_can_be_trained() -> None:
    """The rotary tables that sampling made longer serve a backward pass afterwards."""
    engine = random_engine()
    engine.complete([[7]], Sampling(60))
    T = CONFIG.sequence_len + 20
    engine.model(torch.ones(1, T, dtype=torch.int64)).sum().backward()
    assert all(p.grad is not None for p in engine.model.parameters())


# --------------------------------------------------------------------------------------- the parts


def test_one_prompt_is_expanded() -> None:
    """One prompt with many samples is read once, in a cache of one row that expand then copies."""
    recording = Recording()
    engine = random_engine(parts=Parts(kv_cache=recording))
    (completions,) = engine.complete([[5, 9, 200]], Sampling(6, temperature=1.0), samples=7)
    assert len(completions) == 7
    (made, (sizes, _)), (expanded, (samples, _)) = recording.record
    assert (made, sizes) == ("new", (CONFIG.n_layer, 1, CONFIG.n_kv_head, CONFIG.head_dim, 3 + 6))
    assert (expanded, samples) == ("expand", (7,))


def test_several_prompts_are_read_once_each() -> None:
    """Several prompts with many samples are read in one row each, and decoded in a cache with room for all."""
    recording = Recording()
    engine = random_engine(parts=Parts(kv_cache=recording))
    engine.complete([[5, 9, 200], [11, 12, 13]], Sampling(6), samples=4)
    rows = sorted((sizes[1], sizes[4]) for _, (sizes, _) in recording.record)
    assert rows == [(2, 3), (8, 3 + 6)]


def test_no_cache_holds_more_rows_than_allowed() -> None:
    """Five prompts with two samples each, five rows at once: two prompts at a time, and one at last."""
    recording = Recording()
    random_engine(parts=Parts(kv_cache=recording)).complete([[7]] * 5, Sampling(2), samples=2, rows=5)
    rows = [arguments[0] if kind == "expand" else arguments[1] for kind, (arguments, _) in recording.record]
    assert sorted(rows) == [1, 2, 2, 2, 4, 4]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_cache_holds_what_the_model_computes_in(dtype: torch.dtype) -> None:
    """A bfloat16 model has a bfloat16 cache: half the memory, and no rounding that was not there before."""
    recording = Recording()
    engine = random_engine(parts=Parts(kv_cache=recording), dtype=dtype)
    engine.complete(PROMPTS, Sampling(5, temperature=1.0), samples=2)
    made = [options for kind, (_, options) in recording.record if kind == "new"]
    assert len(made) > 2
    assert all(options == {"dtype": dtype, "device": torch.device("cpu")} for options in made)


def test_both_parts_are_reached_through_parts() -> None:
    """Other parts are really used: a calculator that always says 99, and every call of cache and dispatcher counted."""
    says_99 = SimpleNamespace(Dispatcher=tools.Dispatcher, calculate=lambda code: "99", __file__=tools.__file__)
    (completion,), _ = follow([*call("2+2"), *[0] * 9], parts=replace(PARTS, tools=says_99))
    assert completion.ids[: len(call("2+2")) + len(result("99"))] == [*call("2+2"), *result("99")]

    parts, calls = counted(PARTS)
    completions, model = follow([*call("2+2"), *[0] * 9], [5] * 20, max_tokens=12, parts=parts)
    assert calls["tools"] == 2 + 2 * 12 + 1  # two dispatchers, a token each a step, one calculation
    steps = 1 + len(model.fed)  # of which the first reads the prompts
    assert calls["kv_cache"] == 1 + steps * CONFIG.n_layer  # a cache, and an insert a layer a step
    assert {part for part, count in calls.items() if count} == {"tools", "kv_cache"}
    assert [len(c.ids) for c in completions] == [12, 12]


def test_ids_are_the_tokenizers() -> None:
    """The dispatcher decodes code and encodes results with the tokenizer that the engine was given."""
    other = Tokenizer(TOKENIZER.merges[:10])
    script = [other.special["python_start"], *other.encode("6*7"), other.special["python_end"], 0, 0, 0, 0]
    engine = Engine(Script(script), other, PARTS)  # type: ignore[arg-type]
    ((completion,),) = engine.complete([[1]], Sampling(7 + 2))
    assert other.decode(completion.ids).startswith("<|python_start|>6*7<|python_end|><|output_start|>42<|output_end|>")

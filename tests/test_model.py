"""The model against transformers' NanoChat on the same weights, and what must hold for any weights."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import NanoChatConfig, NanoChatForCausalLM

from reference.model import GPT, GPTConfig
from reference.parts import Parts

PARTS = Parts()
GROUPED = GPTConfig(vocab_size=100, n_layer=3, n_head=4, n_kv_head=2, n_embd=64, sequence_len=32)
EVERY_HEAD = replace(GROUPED, n_kv_head=4)
CONFIGS = pytest.mark.parametrize("config", [GROUPED, EVERY_HEAD], ids=["grouped", "every head"])

# float32 sums in another order, through three layers, for logits of up to 15: differences of 2e-5 are seen
CLOSE = {"atol": 1e-4, "rtol": 0.0}


def random_model(config: GPTConfig, seed: int = 0, parts: Parts = PARTS, **options: Any) -> GPT:
    """A model in which no weight is zero and the logits reach far into the soft cap."""
    model = GPT(config, parts, **options)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            std = 1.0 if name.startswith(("transformer.wte", "lm_head")) else 0.15
            weight.copy_(torch.randn(weight.shape, generator=generator) * std)
    return model


def random_ids(config: GPTConfig, B: int = 2, T: int = 24, seed: int = 1) -> Tensor:
    return torch.randint(0, config.vocab_size, (B, T), generator=torch.Generator().manual_seed(seed))


def new_cache(config: GPTConfig, B: int, capacity: int = 32) -> Any:
    return PARTS.kv_cache.KVCache(config.n_layer, B, config.n_kv_head, config.head_dim, capacity)


# -------------------------------------------------------------------------------- against transformers


def theirs_with_our_weights(model: GPT) -> NanoChatForCausalLM:
    """transformers' model with the same weights, without the rows that pad the vocabulary."""
    config = model.config
    theirs = NanoChatForCausalLM(
        NanoChatConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.n_embd,
            intermediate_size=4 * config.n_embd,
            num_hidden_layers=config.n_layer,
            num_attention_heads=config.n_head,
            num_key_value_heads=config.n_kv_head,
            max_position_embeddings=config.sequence_len,
            rms_norm_eps=torch.finfo(torch.float32).eps,
        )
    )
    layers = {f"transformer.h.{i}": layer for i, layer in enumerate(theirs.model.layers)}
    weights = {
        "transformer.wte.weight": theirs.model.embed_tokens.weight,
        "lm_head.weight": theirs.lm_head.weight,
        **{f"{name}.attn.c_q.weight": layer.self_attn.q_proj.weight for name, layer in layers.items()},
        **{f"{name}.attn.c_k.weight": layer.self_attn.k_proj.weight for name, layer in layers.items()},
        **{f"{name}.attn.c_v.weight": layer.self_attn.v_proj.weight for name, layer in layers.items()},
        **{f"{name}.attn.c_proj.weight": layer.self_attn.o_proj.weight for name, layer in layers.items()},
        **{f"{name}.mlp.c_fc.weight": layer.mlp.fc1.weight for name, layer in layers.items()},
        **{f"{name}.mlp.c_proj.weight": layer.mlp.fc2.weight for name, layer in layers.items()},
    }
    ours = model.state_dict()
    assert weights.keys() == ours.keys(), "the names of the weights are part of the checkpoint format"
    assert len(list(theirs.parameters())) == len(weights)
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(ours[name][: len(weight)])
    return theirs.eval()


@CONFIGS
def test_logits_equal_transformers(config: GPTConfig) -> None:
    """The same weights give transformers' logits, and none for the padding of the vocabulary."""
    model, ids = random_model(config), random_ids(config)
    with torch.no_grad():
        ours, theirs = model(ids), theirs_with_our_weights(model)(ids).logits
    assert ours.dtype == torch.float32
    assert ours.abs().max() > 12  # the soft cap is felt
    torch.testing.assert_close(ours, theirs, **CLOSE)


@CONFIGS
def test_loss_and_gradients_equal_transformers(config: GPTConfig) -> None:
    """The training loss is transformers' loss on the same weights, and so is every gradient."""
    model, ids = random_model(config), random_ids(config)
    theirs = theirs_with_our_weights(model)
    loss = model.loss(ids[:, :-1], ids[:, 1:])
    their_loss = theirs(ids, labels=ids).loss
    torch.testing.assert_close(loss, their_loss, **CLOSE)
    loss.backward()
    their_loss.backward()
    for name, theirs_grad in (
        ("transformer.wte", theirs.model.embed_tokens.weight.grad),
        ("transformer.h.0.attn.c_q", theirs.model.layers[0].self_attn.q_proj.weight.grad),
        ("transformer.h.0.attn.c_k", theirs.model.layers[0].self_attn.k_proj.weight.grad),
        ("transformer.h.1.attn.c_v", theirs.model.layers[1].self_attn.v_proj.weight.grad),
        ("transformer.h.1.attn.c_proj", theirs.model.layers[1].self_attn.o_proj.weight.grad),
        ("transformer.h.2.mlp.c_fc", theirs.model.layers[2].mlp.fc1.weight.grad),
        ("transformer.h.2.mlp.c_proj", theirs.model.layers[2].mlp.fc2.weight.grad),
        ("lm_head", theirs.lm_head.weight.grad),
    ):
        grad = model.get_parameter(f"{name}.weight").grad
        assert grad is not None
        assert not grad[len(theirs_grad) :].any(), "padding learns nothing"
        error = (grad[: len(theirs_grad)] - theirs_grad).norm() / theirs_grad.norm()
        assert error < 1e-4, name


# ------------------------------------------------------------------------------------- sizes and names


def test_names_of_the_weights() -> None:
    """The state dict has nanochat's names and nothing else: no tables, no biases, no weights of norms."""
    block = ["attn.c_q", "attn.c_k", "attn.c_v", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]
    names = ["transformer.wte.weight", *(f"transformer.h.{i}.{w}.weight" for i in range(3) for w in block)]
    assert list(GPT(GROUPED, PARTS).state_dict()) == [*names, "lm_head.weight"]


@pytest.mark.parametrize(
    ("depth", "heads", "matrices", "embedding", "total"),
    [
        (4, 2, 3_145_728, 16_777_216, 36_700_160),
        (12, 6, 84_934_656, 50_331_648, 185_597_952),
        (20, 10, 393_216_000, 83_886_080, 560_988_160),
    ],
)
def test_parameters_follow_the_formula(depth: int, heads: int, matrices: int, embedding: int, total: int) -> None:
    """Depth d has 49,152 d^3 + 128 V d parameters; the figures are nanochat's at V = 65,536."""
    with torch.device("meta"):
        model = GPT(GPTConfig(65_536, depth, heads, heads, 64 * depth, 2048), PARTS)
    sizes = {name: weight.numel() for name, weight in model.named_parameters()}
    assert sizes["transformer.wte.weight"] == sizes["lm_head.weight"] == embedding
    assert sum(size for name, size in sizes.items() if name.startswith("transformer.h.")) == matrices
    assert sum(sizes.values()) == total == 49_152 * depth**3 + 128 * 65_536 * depth


def test_the_vocabulary_is_padded_to_64() -> None:
    """Embedding and head have a multiple of 64 rows; logits and loss know the true vocabulary alone."""
    for vocab_size, padded in ((1, 64), (64, 64), (65, 128), (100, 128)):
        config = replace(GROUPED, vocab_size=vocab_size)
        assert config.padded_vocab_size == padded
        model = random_model(config)
        assert model.lm_head.weight.shape == model.transformer["wte"].weight.shape == (padded, 64)
        ids = random_ids(config)
        before, loss = model(ids), model.loss(ids, ids)
        assert before.shape == (2, 24, vocab_size)
        with torch.no_grad():
            for name in ("transformer.wte.weight", "lm_head.weight"):
                model.get_parameter(name)[vocab_size:] = 1e4
        assert torch.equal(model(ids), before)
        assert torch.equal(model.loss(ids, ids), loss)


# ------------------------------------------------------------------------------------- initialization


def test_first_loss_is_ln_v() -> None:
    """A new model predicts every token of the true vocabulary alike: its loss is ln V, V without padding."""
    for vocab_size in (100, 128):
        config = replace(GROUPED, vocab_size=vocab_size)
        model = GPT(config, PARTS)
        model.init_weights(0)
        ids = random_ids(config)
        assert not model(ids).any()
        assert model.loss(ids, ids.roll(1)).item() == pytest.approx(math.log(vocab_size), rel=1e-6)


def test_first_gradient_reaches_the_head_alone() -> None:
    """At the first step every block is the identity, and only the head has a gradient that is not zero."""
    model = GPT(GROUPED, PARTS)
    model.init_weights(0)
    ids = random_ids(GROUPED)
    model.loss(ids, ids.roll(1)).backward()
    grads = {name: weight.grad for name, weight in model.named_parameters()}
    assert all(grad is not None for grad in grads.values())
    assert [name for name, grad in grads.items() if grad.any()] == ["lm_head.weight"]
    x = F.rms_norm(model.transformer["wte"](ids), (64,))
    torch.testing.assert_close(model.hidden(ids), x, atol=1e-5, rtol=0)


def test_initial_weights_have_their_spread() -> None:
    """Deviations are 1/sqrt(fan in) times min(1, sqrt(fan out / fan in)), 1 for the embedding, or 0."""
    config = GPTConfig(vocab_size=640, n_layer=2, n_head=8, n_kv_head=2, n_embd=256, sequence_len=8)
    model = GPT(config, PARTS)
    model.init_weights(3)
    expected = {
        "wte": 1,
        "c_q": 1 / 16,
        "c_k": 1 / 32,
        "c_v": 1 / 32,
        "c_fc": 1 / 16,
        "c_proj": 0,
        "lm_head": 0,
    }
    for name, weight in model.named_parameters():
        std = expected[name.split(".")[-2]]
        assert weight.std().item() == pytest.approx(std, rel=0.02), name
        assert abs(weight.mean().item()) <= 0.02 * std, name
    q = [model.get_parameter(f"transformer.h.{i}.attn.c_q.weight") for i in range(2)]
    assert not torch.equal(*q)


def test_initial_weights_follow_from_the_seed() -> None:
    """The same seed gives the same weights whatever PyTorch's own generator does, which is left alone."""
    models = [GPT(GROUPED, PARTS) for _ in range(3)]
    state = torch.get_rng_state()
    for model, seed in zip(models, (7, 7, 8), strict=True):
        model.init_weights(seed)
    assert torch.equal(torch.get_rng_state(), state)
    first, same, other = (model.state_dict() for model in models)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["transformer.wte.weight"], other["transformer.wte.weight"])


# ------------------------------------------------------------------------------------------ invariants


@CONFIGS
@pytest.mark.parametrize("t", [0, 1, 11, 23])
def test_no_token_sees_the_future(config: GPTConfig, t: int) -> None:
    """Changing token t changes the logits at t and after it, and none before."""
    model, ids = random_model(config), random_ids(config)
    changed = ids.clone()
    changed[0, t] = (ids[0, t] + 1) % config.vocab_size
    with torch.no_grad():
        before, after = model(ids), model(changed)
    torch.testing.assert_close(after[0, :t], before[0, :t], atol=1e-6, rtol=0)
    assert ((after[0, t:] - before[0, t:]).abs().amax(dim=-1) > 1e-3).all()
    assert torch.equal(after[1], before[1])  # the other row


def test_logits_stay_within_the_soft_cap() -> None:
    """However large the head, no logit leaves [-15, 15]; one far below the cap is hardly changed."""
    model, ids = random_model(GROUPED), random_ids(GROUPED)
    with torch.no_grad():
        model.lm_head.weight.mul_(1000)
        huge = model(ids)
        assert huge.abs().max() == 15
        model.lm_head.weight.mul_(1e-6)
        small = model(ids)
        plain = F.linear(model.hidden(ids), model.lm_head.weight[:100])
    torch.testing.assert_close(small, plain, atol=1e-6, rtol=1e-3)
    assert torch.equal(small.sign(), huge.sign())


def test_grouped_queries_equal_repeated_heads() -> None:
    """A model whose key and value heads are copies of one another is the grouped one with each head once."""
    grouped = random_model(GROUPED)
    weights = grouped.state_dict()
    for name, weight in weights.items():
        if name.endswith(("c_k.weight", "c_v.weight")):
            heads = weight.unflatten(0, (2, 16))  # (Hkv, D, C)
            weights[name] = heads.repeat_interleave(2, dim=0).flatten(0, 1)
    every_head = GPT(EVERY_HEAD, PARTS)
    every_head.load_state_dict(weights)
    ids = random_ids(GROUPED)
    with torch.no_grad():
        torch.testing.assert_close(grouped(ids), every_head(ids), **CLOSE)


def test_loss_is_the_cross_entropy_of_the_logits() -> None:
    """`loss` and `forward` are one model."""
    model, ids = random_model(GROUPED), random_ids(GROUPED)
    targets = random_ids(GROUPED, seed=2)
    with torch.no_grad():
        expected = F.cross_entropy(model(ids).flatten(0, 1), targets.flatten())
        torch.testing.assert_close(model.loss(ids, targets), expected, **CLOSE)


def test_bfloat16_stays_close() -> None:
    """With bfloat16 activations the weights stay float32, and logits and loss stay close to float32's."""
    wide = random_model(GROUPED)
    narrow = random_model(GROUPED, activation_dtype=torch.bfloat16)
    ids = random_ids(GROUPED)
    assert narrow.hidden(ids).dtype == torch.bfloat16
    assert narrow(ids).dtype == torch.float32
    with torch.no_grad():
        logits, loss = wide(ids), wide.loss(ids, ids)
        # 8 bits of mantissa: each of some ten roundings on the way adds up to 0.4 % of logits of up to 15
        assert (narrow(ids) - logits).square().mean().sqrt() < 0.02 * logits.square().mean().sqrt()
        assert narrow.loss(ids, ids).item() == pytest.approx(loss.item(), rel=0.01)
    narrow.loss(ids, ids).backward()
    assert all(weight.dtype == weight.grad.dtype == torch.float32 for weight in narrow.parameters())


def test_the_same_without_a_gradient() -> None:
    """Where no gradient is due, and where the joined weights are made beforehand, the logits are the same."""
    model, ids = random_model(GROUPED), random_ids(GROUPED)
    expected = model(ids)
    with torch.inference_mode():
        assert torch.equal(model(ids), expected)
        assert torch.equal(model.logits(model.hidden(ids, qkv_weights=model.qkv_weights())), expected)


# --------------------------------------------------------------------------------- cache and positions


@CONFIGS
@pytest.mark.parametrize(
    "lengths",
    [[24], [1] * 24, [7, 1, 1, 9, 1, 5], [1, 23], [23, 1]],
    ids=["whole", "one by one", "chunks", "first alone", "last alone"],
)
def test_cached_forward_equals_the_full_one(config: GPTConfig, lengths: list[int]) -> None:
    """However the tokens arrive, with a cache the logits are those of all tokens at once."""
    model, ids = random_model(config), random_ids(config)
    cache = new_cache(config, B=2, capacity=8)
    with torch.no_grad():
        full = model(ids)
        pieces = [model(piece, cache) for piece in ids.split(lengths, dim=1)]
    assert cache.length == 24
    torch.testing.assert_close(torch.cat(pieces, dim=1), full, **CLOSE)


def test_positions_beyond_the_table() -> None:
    """A text longer than the context gets the angles of a longer context, at once and from a cache."""
    short, long = (random_model(replace(GROUPED, sequence_len=length)) for length in (8, 64))
    ids = random_ids(GROUPED, T=40)
    cache = new_cache(GROUPED, B=2)
    with torch.no_grad():
        expected = long(ids)
        torch.testing.assert_close(short(ids), expected, atol=1e-6, rtol=0)
        short = random_model(replace(GROUPED, sequence_len=8))
        pieces = [short(piece, cache) for piece in ids.split(5, dim=1)]
    torch.testing.assert_close(torch.cat(pieces, dim=1), expected, **CLOSE)


def test_sampling_beyond_the_table_does_not_spoil_training() -> None:
    """Positions that inference mode met first can be trained on, also where the tables themselves are kept."""

    def apply_rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x1, x2 = x.chunk(2, dim=-1)
        cos, sin = cos[:, None], sin[:, None]
        return torch.cat((x1 * cos + x2 * sin, x2 * cos - x1 * sin), dim=-1)  # backward needs cos and sin

    rope = SimpleNamespace(rotary_tables=PARTS.rope.rotary_tables, apply_rotary=apply_rotary)
    model = random_model(replace(GROUPED, sequence_len=8), parts=Parts(rope=rope))
    ids = random_ids(GROUPED)
    with torch.inference_mode():
        model(ids)
    model.loss(ids, ids).backward()
    assert model.lm_head.weight.grad is not None


# ----------------------------------------------------------------------------------------------- parts


def recording(calls: Counter[str], part: Any, *names: str) -> SimpleNamespace:
    """A stand-in for a part that counts the calls of its functions and passes them on."""

    def watched(name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            calls[name] += 1
            return getattr(part, name)(*args, **kwargs)

        return call

    return SimpleNamespace(**{name: watched(name) for name in names})


def test_every_use_of_a_part_goes_through_parts() -> None:
    """Norms, rotations and attention are those of the `Parts` given, as often as the architecture says."""
    calls: Counter[str] = Counter()
    parts = Parts(
        rmsnorm=recording(calls, PARTS.rmsnorm, "rms_norm"),
        rope=recording(calls, PARTS.rope, "rotary_tables", "apply_rotary"),
        attention=recording(calls, PARTS.attention, "causal_attention"),
    )
    model = random_model(GROUPED, parts=parts)
    assert calls == {"rotary_tables": 1}
    calls.clear()
    ids = random_ids(GROUPED)
    assert torch.equal(model(ids), random_model(GROUPED)(ids))
    # per layer: queries and keys in one call, and two inputs are normed; also the embedding and what the head reads
    assert calls == {"rms_norm": 3 * 3 + 2, "apply_rotary": 3, "causal_attention": 3}


@pytest.mark.parametrize(
    "parts",
    [
        Parts(rmsnorm=SimpleNamespace(rms_norm=lambda x, eps: x)),
        Parts(attention=SimpleNamespace(causal_attention=lambda q, k, v: q)),
        Parts(rope=SimpleNamespace(rotary_tables=PARTS.rope.rotary_tables, apply_rotary=lambda x, *_: x)),
    ],
    ids=["rmsnorm", "attention", "rope"],
)
def test_what_a_part_returns_is_used(parts: Parts) -> None:
    """Another norm, attention or rotation makes another model."""
    ids = random_ids(GROUPED)
    with torch.no_grad():
        ours, other = random_model(GROUPED)(ids), random_model(GROUPED, parts=parts)(ids)
    assert (ours - other).abs().max() > 0.1

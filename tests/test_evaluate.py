"""Bits per byte against arithmetic by hand, letters against the plain forward, counting, pass@k by enumeration."""

from __future__ import annotations

import itertools
import math
from random import Random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reference.engine import Completion, Engine, Sampling
from reference.evaluate import (
    bits_per_byte,
    choose_letters,
    completion_text,
    judge,
    pass_at_k,
    sampled_pass_at_k,
)
from reference.model import GPT, GPTConfig
from reference.parts import Parts
from reference.tasks.task import Example, Task, exchange
from reference.tokenizer import train_tokenizer

PARTS = Parts()
TOKENIZER = train_tokenizer(["Which one is it? A B C D of the four: cat, dog, the sun, or 12 moons. "] * 9, 300, PARTS)
SPECIAL = TOKENIZER.special


class Bigram:
    """Stands in for the model: the next token depends on this one alone, by a table of logits (V, V)."""

    def __init__(self, table: Tensor) -> None:
        self.table, self.device = table, torch.device("cpu")

    def trunk(self, ids: Tensor) -> Tensor:
        return ids

    def logits(self, ids: Tensor) -> Tensor:
        return self.table[ids]


def bpb(table: Tensor, batches: list[tuple[Any, Any]], token_bytes: Any) -> float:
    tensors = [(torch.tensor(inputs), torch.tensor(targets)) for inputs, targets in batches]
    return bits_per_byte(Bigram(table), tensors, torch.tensor(token_bytes, dtype=torch.int32))  # type: ignore[arg-type]


# After token 0 the tokens 0, 1, 2, 3 cost 1, 2, 3, 3 bits; after the others 3, 3, 2, 1.
TABLE = torch.log(torch.tensor([[1 / 2, 1 / 4, 1 / 8, 1 / 8]] + [[1 / 8, 1 / 8, 1 / 4, 1 / 2]] * 3))
BYTES = [1, 2, 0, 3]  # token 2 is special


# --------------------------------------------------------------------------------- bits per byte


def test_bits_per_byte_by_hand() -> None:
    """Bits are summed over all batches, bytes too, and one sum is divided by the other."""
    first = ([[0, 1], [0, 3]], [[1, 3], [0, 0]])  # 2 + 1 + 1 + 3 = 7 bits for 2 + 3 + 1 + 1 = 7 bytes
    second = ([[0]], [[3]])  # 3 bits for 3 bytes
    third = ([[0, 0, 0]], [[1, 1, 1]])  # 6 bits for 6 bytes
    fourth = ([[1]], [[0]])  # 3 bits for 1 byte
    assert bpb(TABLE, [first, second], BYTES) == pytest.approx(10 / 10)
    assert bpb(TABLE, [third, fourth], BYTES) == pytest.approx(9 / 7), "a mean of means would say 2"
    assert bpb(TABLE, [fourth], BYTES) == pytest.approx(3.0)


def test_bits_per_byte_of_bytes_is_the_cross_entropy() -> None:
    """Where every token is one byte it is PyTorch's cross-entropy, in bits."""
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(50, 50, generator=generator) * 3
    inputs, targets = torch.randint(0, 50, (2, 4, 30), generator=generator)
    expected = F.cross_entropy(table[inputs].flatten(0, 1), targets.flatten()).item() / math.log(2)
    assert bpb(table, [(inputs.tolist(), targets.tolist())], [1] * 50) == pytest.approx(expected, rel=1e-5)
    assert bpb(table, [(inputs.tolist(), targets.tolist())], [2] * 50) == pytest.approx(expected / 2, rel=1e-5)


def test_special_targets_count_for_nothing() -> None:
    """Neither their loss nor their length counts, so that masking them by -1 changes nothing."""
    with_special = ([[0, 1, 2, 0]], [[1, 2, 0, 2]])
    masked = ([[0, 1, 2, 0]], [[1, -1, 0, -1]])
    assert bpb(TABLE, [with_special], BYTES) == pytest.approx((2 + 3) / (2 + 1))
    assert bpb(TABLE, [masked], BYTES) == bpb(TABLE, [with_special], BYTES)


def test_targets_of_minus_one_are_no_token() -> None:
    """-1 is not read as the last token of the vocabulary: neither its loss nor its three bytes are counted."""
    whole, masked = ([[0, 0, 0]], [[0, 1, 3]]), ([[0, 0, 0]], [[0, -1, -1]])
    assert bpb(TABLE, [whole], BYTES) == pytest.approx(6 / 6)
    assert bpb(TABLE, [masked], BYTES) == pytest.approx(1 / 1)


@pytest.mark.parametrize("batches", [[], [([[0, 1]], [[2, 2]])], [([[0, 1]], [[-1, 2]])]])
def test_without_a_byte_it_is_infinite(batches: list[tuple[Any, Any]]) -> None:
    """Nothing to predict is no success: no batch, specials alone, masked ones alone."""
    assert bpb(TABLE, batches, BYTES) == math.inf


def test_a_new_model_knows_nothing() -> None:
    """A model just initialized needs log2(V) bits a token, whatever a token is."""
    config = GPTConfig(TOKENIZER.vocab_size, 2, 2, 1, 32, 16)
    model = GPT(config, PARTS)
    model.init_weights(0)
    ids = torch.tensor([TOKENIZER.encode("the four moons of the sun, or the cat")])
    token_bytes = TOKENIZER.token_bytes()
    per_token = token_bytes[ids[:, 1:]].float().mean().item()
    assert per_token > 1
    value = bits_per_byte(model, [(ids[:, :-1], ids[:, 1:])], token_bytes)
    assert value == pytest.approx(math.log2(config.vocab_size) / per_token, rel=1e-5)


# ------------------------------------------------------------------------------------- letters


@pytest.fixture(scope="module")
def model() -> GPT:
    model = GPT(GPTConfig(TOKENIZER.vocab_size, 2, 4, 2, 32, 64), PARTS)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            std = 1.0 if "wte" in name or "lm_head" in name else 0.3
            weight.copy_(torch.randn(weight.shape, generator=generator) * std)
    return model


def asked(i: int, letters: tuple[str, ...]) -> Example:
    question = "".join(Random(i).choices("Which one is it?", k=1 + 3 * (i % 11)))
    return Example(exchange(question, "the answer"), letters[0], letters)


@torch.no_grad()
def likeliest(model: GPT, example: Example) -> str:
    """By definition: one prompt alone, all logits after its last token."""
    logits = model(torch.tensor([TOKENIZER.render_prompt(example.conversation, PARTS)]))[0, -1]
    return max(example.letters, key=lambda letter: logits[TOKENIZER.encode(letter)[0]])


def test_letters_in_batches_are_letters_alone(model: GPT) -> None:
    """Padding, and who else is in the batch, change nothing; the examples come back in order, beyond one batch too."""
    examples = [asked(i, tuple("ABCDEFGHIJKLMNOP")) for i in range(40)]
    alone = [likeliest(model, example) for example in examples]
    assert choose_letters(model, TOKENIZER, PARTS, examples) == alone
    assert choose_letters(model, TOKENIZER, PARTS, examples[:1]) == alone[:1]
    assert len(set(alone)) > 2


def test_only_an_examples_own_letters_compete(model: GPT) -> None:
    """Examples of one batch may have other letters, fewer or more."""
    choices = [("A", "B"), ("C", "D"), ("D",), ("B", "D", "A"), ("s", "t", "A", "B", "C", "D")]
    examples = [asked(i, choices[i % 5]) for i in range(20)]
    chosen = choose_letters(model, TOKENIZER, PARTS, examples)
    assert chosen == [likeliest(model, example) for example in examples]
    assert all(letter in example.letters for letter, example in zip(chosen, examples, strict=True))


def test_a_letter_of_two_tokens_is_refused(model: GPT) -> None:
    """A choice that does not stand for one token cannot be compared by one logit."""
    with pytest.raises(ValueError, match=r"'Paris' is \d tokens, not one"):
        choose_letters(model, TOKENIZER, PARTS, [asked(0, ("A", "Paris"))])


# ------------------------------------------------------------------------------------ completions


def test_the_text_of_a_completion() -> None:
    """The terminal token at the very end is taken away, one of them; all others stand as their names."""
    ids = TOKENIZER.encode("It is a cat.")
    end, bos, start = SPECIAL["assistant_end"], SPECIAL["bos"], SPECIAL["python_start"]

    def text(*ids: int) -> str:
        return completion_text(TOKENIZER, Completion(list(ids), [1] * len(ids)))

    assert text(*ids, end) == text(*ids, bos) == text(*ids) == "It is a cat."
    assert text(start, *ids, start) == "<|python_start|>It is a cat.<|python_start|>"
    assert text(end, end) == "<|assistant_end|>"
    assert text() == text(end) == ""


class Canned:
    """Stands in for the engine: the answers to each question are given."""

    def __init__(self, answers: dict[str, list[str]], model: Any = None) -> None:
        self.tokenizer, self.parts, self.model = TOKENIZER, PARTS, model
        self.answers, self.sampled_with = answers, list[tuple[Sampling, int]]()

    def complete(self, prompts: list[list[int]], sampling: Sampling, samples: int = 1) -> list[list[Completion]]:
        self.sampled_with.append((sampling, samples))
        return [[self.completion(prompt, i) for i in range(samples)] for prompt in prompts]

    def completion(self, prompt: list[int], number: int) -> Completion:
        text = TOKENIZER.decode(prompt)
        assert text.startswith("<|bos|><|user_start|>")
        assert text.endswith("<|user_end|><|assistant_start|>"), "the worked answer must not be in the prompt"
        question = text.split("<|user_start|>")[1].split("<|user_end|>")[0]
        ids = [*TOKENIZER.encode(self.answers[question][number]), SPECIAL["assistant_end"]]
        return Completion(ids, [1] * len(ids))


def generative(name: str, golds: dict[str, str]) -> Task:
    examples = [Example(exchange(question, "the worked answer"), gold) for question, gold in golds.items()]
    return Task(name, examples, lambda gold, text: text == gold + "!")


def test_judging_counts_the_right_answers(model: GPT) -> None:
    """Every task has its own count, generative ones and ones of letters, and all is decoded greedily and at once."""
    letters = [asked(i, ("A", "B", "C", "D")) for i in range(9)]
    tasks = [
        generative("first", {"q1": "one", "q2": "two", "q3": "three"}),
        Task("letters", letters, lambda gold, letter: gold == letter),
        generative("second", {"q4": "four", "q2": "zwei"}),
    ]
    engine = Canned({"q1": ["one!"], "q2": ["zwei!"], "q3": ["three!"], "q4": ["4"]}, model)
    right = [likeliest(model, example) for example in letters].count("A")
    assert 0 < right < 9
    assert judge(engine, tasks, 33) == {"first": (2, 3), "letters": (right, 9), "second": (1, 2)}  # type: ignore[arg-type]
    assert engine.sampled_with == [(Sampling(33), 1)]
    assert Sampling(33).temperature == 0


def test_judging_a_real_engine(model: GPT) -> None:
    """With a real model the text judged is what it says greedily."""
    engine = Engine(model, TOKENIZER, PARTS)
    conversation = exchange("Which one?", "")
    prompt = TOKENIZER.render_prompt(conversation, PARTS)
    said = completion_text(TOKENIZER, engine.complete([prompt], Sampling(6))[0][0])
    tasks = [Task("said", [Example(conversation, said), Example(conversation, "?")], lambda gold, text: gold == text)]
    assert judge(engine, tasks, 6) == {"said": (1, 2)}


# -------------------------------------------------------------------------------------- pass@k


def test_pass_at_k_by_enumeration() -> None:
    """For every number right of up to seven samples: the share of all choices of k that hold a right one."""
    for samples in range(1, 8):
        for right in range(samples + 1):
            for k in range(1, samples + 1):
                choices = list(itertools.combinations([True] * right + [False] * (samples - right), k))
                assert pass_at_k(right, samples, k) == pytest.approx(sum(map(any, choices)) / len(choices))


def test_pass_at_k_rises_with_k() -> None:
    """More tries never do worse; none right is 0, all right is 1, one try is the share."""
    for right in range(17):
        values = [pass_at_k(right, 16, k) for k in range(1, 17)]
        assert values == sorted(values)
        assert values[0] == pytest.approx(right / 16)
        assert values[-1] == (1 if right else 0)


@pytest.mark.parametrize("k", [0, -1, 5])
def test_pass_at_impossible_k(k: int) -> None:
    """One cannot choose none of four samples, nor five."""
    with pytest.raises(ValueError, match=r"k should lie in 1 \.\. 4"):
        pass_at_k(2, 4, k)


@pytest.mark.parametrize(("samples", "ks"), [(1, [1]), (4, [1, 2, 4]), (6, [1, 2, 4])])
def test_pass_at_k_of_a_task(samples: int, ks: list[int]) -> None:
    """The mean over the problems, at the powers of two, as the sampling asks."""
    answers = {"q1": ["one!", "no", "no", "one!", "no", "no"], "q2": ["no"] * 6, "q3": ["three!"] * 6}
    engine = Canned(answers)
    task = generative("sums", {"q1": "one", "q2": "two", "q3": "three"})
    sampling = Sampling(7, temperature=1.0, seed=4)
    found = sampled_pass_at_k(engine, task, sampling, samples)  # type: ignore[arg-type]
    right = answers["q1"][:samples].count("one!")
    assert found == pytest.approx({str(k): (pass_at_k(right, samples, k) + 0 + 1) / 3 for k in ks})
    assert engine.sampled_with == [(sampling, samples)]

"""Batches against the documents encoded one by one: order, shift, exact resume, ranks."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch

from reference.data.documents import ListDocuments, open_source
from reference.data.loader import READ_AHEAD, TokenLoader
from reference.tokenizer import Tokenizer, train_tokenizer_rust


def make_texts(seed: int = 0, count: int = 150) -> list[str]:
    """Documents of no words, a few, and far more than a batch holds, of one kind after another at random."""
    rng = random.Random(seed)
    lengths = [rng.choice([0, 0, 1, 3, 20, 20, 20, 700]) for _ in range(count)]
    return [f"{i}:" * (n > 0) + " ".join(rng.choices(["ab", "abc", "né", "."], k=n)) for i, n in enumerate(lengths)]


TEXTS = make_texts()
TRAIN = [text for i, text in enumerate(TEXTS) if i % 20 != 19]
SHAPES = [(1, 1), (2, 3), (4, 32), (3, 500)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer_rust(TEXTS, 280)


@pytest.fixture
def source() -> ListDocuments:
    return ListDocuments("test", TEXTS)


def row_of_tokens(tokenizer: Tokenizer, texts: list[str]) -> list[int]:
    return [i for text in texts for i in [tokenizer.special["bos"], *tokenizer.encode(text)]]


@pytest.mark.parametrize(("batch_size", "seq_len"), SHAPES)
def test_batches_are_the_documents_in_a_row(source, tokenizer: Tokenizer, batch_size: int, seq_len: int):
    """Inputs end to end are all documents, each after a bos, over epochs; targets are one token ahead."""
    size = batch_size * seq_len
    expected = row_of_tokens(tokenizer, TRAIN)
    expected = expected * (2 + 20 * size // len(expected))
    loader = TokenLoader(source, tokenizer, batch_size, seq_len)
    for i in range(min(400, (len(expected) - 1) // size)):
        inputs, targets = loader.next_batch()
        for tensor in (inputs, targets):
            assert tensor.shape == (batch_size, seq_len)
            assert tensor.dtype == torch.int64
            assert tensor.device.type == "cpu"
        assert inputs.flatten().tolist() == expected[i * size : (i + 1) * size]
        assert targets.flatten().tolist() == expected[i * size + 1 : (i + 1) * size + 1]


def test_second_epoch_follows_the_first(source, tokenizer: Tokenizer):
    """A batch larger than the whole data simply runs on into the next epochs."""
    once = row_of_tokens(tokenizer, TRAIN)
    inputs, _ = TokenLoader(source, tokenizer, 1, 2 * len(once) + 5).next_batch()
    assert inputs.flatten().tolist() == once + once + once[:5]


@pytest.mark.parametrize(("batch_size", "seq_len"), SHAPES)
@pytest.mark.parametrize(("rank", "world_size"), [(0, 1), (1, 3)])
def test_resume_is_exact(source, tokenizer: Tokenizer, batch_size, seq_len, rank, world_size):
    """From the position after any batch, kept as JSON, a new loader gives the same batches, bit for bit."""

    def make(position: dict | None) -> TokenLoader:
        return TokenLoader(source, tokenizer, batch_size, seq_len, "train", rank, world_size, position)

    loader = make(None)
    batches, positions = [], []
    for _ in range(40):
        positions.append(json.dumps(loader.position))
        batches.append(loader.next_batch())
    assert json.loads(positions[0]) == {"document": 0, "offset": 0}
    for start in range(0, 40, 3):
        resumed = make(json.loads(positions[start]))
        assert json.dumps(resumed.position) == positions[start]
        for batch, position in list(zip(batches, positions, strict=True))[start : start + 4]:
            assert json.dumps(resumed.position) == position
            assert all(map(torch.equal, resumed.next_batch(), batch))


def test_position_counts_tokens_used_up(tokenizer: Tokenizer):
    """The position is the first token that has not been an input: its document, and its place in there."""
    source = ListDocuments("test", ["ab.", "", "ab.ab.ab.", "z"])  # the last is held out
    lengths = [len(row_of_tokens(tokenizer, [text])) for text in ("ab.", "", "ab.ab.ab.")]
    places = [{"document": d, "offset": o} for d, length in enumerate(lengths) for o in range(length)]
    loader = TokenLoader(source, tokenizer, 1, 1)
    for place in places:
        assert loader.position == place
        loader.next_batch()
    assert loader.position == {"document": 3, "offset": 0}


def test_argument_and_position_are_not_shared(source, tokenizer: Tokenizer):
    """A position that was kept stays what it was while the loader goes on."""
    kept = {"document": 2, "offset": 1}
    loader = TokenLoader(source, tokenizer, 2, 50, position=kept)
    before = loader.position
    loader.next_batch()
    assert kept == before == {"document": 2, "offset": 1}
    assert loader.position != kept


def test_last_target_is_read_when_the_inputs_are_there(tokenizer: Tokenizer):
    """A batch as large as what one reading gave still gets the token behind it."""
    loader = TokenLoader(ListDocuments("test", [""] * 40), tokenizer, 8, READ_AHEAD // 8)
    for _ in range(2):
        inputs, targets = loader.next_batch()
        assert inputs.tolist() == targets.tolist() == [[tokenizer.special["bos"]] * (READ_AHEAD // 8)] * 8


def test_ranks_read_disjoint_documents(source, tokenizer: Tokenizer):
    """Rank r's row is documents r, r + W, ...: together all documents, none twice."""
    endless = TRAIN * 3
    for rank in range(3):
        own = row_of_tokens(tokenizer, endless[rank::3])
        loader = TokenLoader(source, tokenizer, 2, 100, rank=rank, world_size=3)
        assert [i for _ in range(10) for i in loader.next_batch()[0].flatten().tolist()] == own[:2000]


def test_validation_split(source, tokenizer: Tokenizer):
    """The split "val" reads the documents held out, and only those."""
    expected = row_of_tokens(tokenizer, list(source.validation()))
    inputs, _ = TokenLoader(source, tokenizer, 1, len(expected), "val").next_batch()
    assert inputs.flatten().tolist() == expected


def test_reads_ahead_only_a_little(tokenizer: Tokenizer):
    """Documents are taken from the source a few at a time, however long the stream is."""
    taken = []

    class Counting(ListDocuments):
        def stream(self, *args, **kwargs):
            for text in super().stream(*args, **kwargs):
                taken.append(text)
                yield text

    loader = TokenLoader(Counting("test", TEXTS), tokenizer, 1, 8)
    loader.next_batch()
    assert len(taken) == READ_AHEAD


def test_real_shards(data_dir: Path):
    """On real shards a loader resumed in the middle of a document goes on without a gap."""
    source = open_source(str(data_dir / "base_data"))
    texts = list(source.validation())[:200]
    tokenizer = train_tokenizer_rust(texts, 1024)
    loader = TokenLoader(source, tokenizer, 8, 256, "val")
    expected = row_of_tokens(tokenizer, texts)
    for i in range(20):
        loader = TokenLoader(source, tokenizer, 8, 256, "val", position=loader.position)
        assert loader.next_batch()[0].flatten().tolist() == expected[i * 2048 : (i + 1) * 2048]

"""What the published package does not have: special tokens, files, numpy arrays, progress."""

from __future__ import annotations

import json
import signal
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rustbpe
from corpora import GPT2, PATTERN, texts, trained
from hypothesis import given, settings
from hypothesis import strategies as st

CORPUS = ["the cat sat on the mat, the cat that sat", "Größe, naïve, 中文 and 中文", "it's 1234 o'clock\n\n  at last"]
SPECIAL = ["<|bos|>", "<|bos|>>", "<|end|>"]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return trained(CORPUS, 300, special_tokens=SPECIAL)


def test_special_tokens_follow_the_merges(tokenizer: Any) -> None:
    """vocab_size counts them, they have the highest ids, and the merges are those of a vocabulary without them."""
    assert tokenizer.vocab_size == 300
    assert tokenizer.special_tokens == {"<|bos|>": 297, "<|bos|>>": 298, "<|end|>": 299}
    assert tokenizer.get_mergeable_ranks() == trained(CORPUS, 297).get_mergeable_ranks()


def test_special_tokens_are_recognized_when_asked_for(tokenizer: Any) -> None:
    """Their names are ordinary text unless special=True; of two names at one place the longer counts."""
    text = "<|bos|>the cat<|bos|>>sat<|end|>"
    assert max(tokenizer.encode(text)) < 297
    ids = tokenizer.encode(text, special=True)
    assert [i for i in ids if i >= 297] == [297, 298, 299]
    assert ids[0] == 297
    assert tokenizer.decode(ids) == tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.batch_encode([text], special=True) == [ids]
    assert tokenizer.count_tokens(text, special=True) == len(ids)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(texts, max_size=5))
def test_every_way_to_encode_agrees(tokenizer: Any, some: list[str]) -> None:
    """Lists, numpy arrays and counts, one by one and in batches with any number of threads."""
    lists = [tokenizer.encode(text) for text in some]
    for text, ids in zip(some, lists, strict=True):
        array = tokenizer.encode_to_numpy(text)
        assert array.dtype == np.uint32
        assert array.tolist() == ids
        assert tokenizer.count_tokens(text) == len(ids)
        assert tokenizer.decode(ids) == text
        assert b"".join(tokenizer.token_bytes()[i] for i in ids) == tokenizer.decode_bytes(array) == text.encode()
    for threads in (1, 3):
        ids, offsets = tokenizer.batch_encode_to_numpy(some, threads)
        assert (ids.dtype, offsets.dtype, len(offsets)) == (np.uint32, np.int64, len(some) + 1)
        assert [ids[a:b].tolist() for a, b in pairwise(offsets)] == lists
        assert tokenizer.batch_encode(tuple(some), threads=threads) == lists


def test_merges_are_the_ranks(tokenizer: Any) -> None:
    """Merge k joins two tokens into token 256 + k."""
    tokens = tokenizer.token_bytes()
    merges = tokenizer.get_merges()
    assert len(merges) == 297 - 256
    assert [tokens[a] + tokens[b] for a, b in merges] == tokens[256:297]
    assert tokens[297:] == [name.encode() for name in SPECIAL]


def test_saved_and_loaded(tokenizer: Any, tmp_path: Path) -> None:
    """What was saved is loaded again and encodes the same; nothing but the file is left behind."""
    file = tmp_path / "tokenizer.json"
    file.write_text("an older one")
    tokenizer.save(file)
    assert list(tmp_path.iterdir()) == [file]
    again = rustbpe.Tokenizer.load(file)
    assert (again.get_merges(), again.get_pattern()) == (tokenizer.get_merges(), PATTERN)
    assert again.special_tokens == tokenizer.special_tokens
    assert [again.encode(text) for text in CORPUS] == [tokenizer.encode(text) for text in CORPUS]


DAMAGES: dict[str, Any] = {
    "not JSON": lambda content: None,
    "no object": lambda content: [1],
    "another format": lambda content: content | {"format": 2},
    "no pattern": lambda content: {**content, "pattern": None},
    "a bad pattern": lambda content: {**content, "pattern": "("},
    "merges of strings": lambda content: {**content, "merges": ["ab"]},
    "merges of three": lambda content: {**content, "merges": [[97, 98, 99]]},
    "a merge of the future": lambda content: {**content, "merges": [[97, 256]]},
    "a negative id": lambda content: {**content, "merges": [[97, -1]]},
    "a huge id": lambda content: {**content, "merges": [[97, 2**32]]},
    "a merge twice": lambda content: {**content, "merges": [[97, 98], [97, 98]]},
    "the same bytes twice": lambda content: {**content, "merges": [[97, 98], [98, 99], [97, 257], [256, 99]]},
    "special tokens twice": lambda content: {**content, "special_tokens": ["x", "x"]},
    "an empty special token": lambda content: {**content, "special_tokens": [""]},
    "special tokens of numbers": lambda content: {**content, "special_tokens": [1]},
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_refused(tokenizer: Any, tmp_path: Path, damage: Any) -> None:
    """A ValueError names the file and what is wrong with it."""
    file = tmp_path / "tokenizer.json"
    tokenizer.save(file)
    damaged = damage(json.loads(file.read_text()))
    file.write_text(json.dumps(damaged) if damaged else file.read_text()[:-10])
    with pytest.raises(ValueError, match=r"path: .*tokenizer\.json is no tokenizer: ."):
        rustbpe.Tokenizer.load(file)


def write(folder: Path) -> list[Path]:
    """CORPUS in a parquet file with two row groups and a null, and in a text file."""
    column = pa.array([*CORPUS, None, *CORPUS], pa.string())
    pq.write_table(pa.table({"n": range(7), "text": column}), folder / "rows.parquet", row_group_size=4)
    (folder / "text.txt").write_text("".join(CORPUS), newline="")
    return [folder / "rows.parquet", folder / "text.txt"]


@pytest.mark.parametrize("pattern", [None, GPT2])
def test_files_are_their_texts(tmp_path: Path, pattern: str | None) -> None:
    """A row of parquet and a text file count as one text each."""
    tokenizer = rustbpe.Tokenizer()
    tokenizer.train_from_files(write(tmp_path), 330, pattern=pattern)
    assert tokenizer.get_merges() == trained([*CORPUS, *CORPUS, "".join(CORPUS)], 330, pattern).get_merges()


@pytest.mark.parametrize("codec", ["none", "snappy", "zstd"])
def test_parquet_codecs(tmp_path: Path, codec: str) -> None:
    """Whatever pyarrow writes by default, and what the shards of FineWeb-Edu have, can be read."""
    pq.write_table(pa.table({"words": CORPUS * 500}), tmp_path / "a.parquet", compression=codec)
    tokenizer = rustbpe.Tokenizer()
    tokenizer.train_from_files([str(tmp_path / "a.parquet")], 300, "words", threads=2)
    assert tokenizer.get_merges() == trained(CORPUS * 500, 300).get_merges()


def test_large_texts_are_cut_where_nothing_changes(tmp_path: Path) -> None:
    """Texts of several megabytes, from a file or as one str, give what they give in one piece."""
    text = "".join(
        f"{word}{i % 1000}{blank}" for i in range(300_000) for word, blank in [("wörd", "  \n"), ("it's", " ")]
    )
    (tmp_path / "large.txt").write_text(text, newline="")
    tokenizer = rustbpe.Tokenizer()
    tokenizer.train_from_files([tmp_path / "large.txt"], 400)
    assert tokenizer.get_merges() == trained([text], 400).get_merges() == trained([text], 400, threads=1).get_merges()
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(text) > 4 << 20


def test_progress_is_told() -> None:
    """First the bytes that were counted, then the merges; the last of each is all there was."""
    told: list[tuple[str, int, int | None]] = []
    trained(CORPUS * 1000, 300, progress=lambda *now: told.append(now))
    size = sum(len(text.encode()) for text in CORPUS) * 1000
    assert [stage for stage, _, _ in told] == sorted(stage for stage, _, _ in told)
    assert ("count", size, None) in told
    assert told[-1] == ("merge", 44, 44)


def test_an_exception_of_progress_ends_the_training() -> None:
    """It comes out of the call, and the tokenizer is what it was before."""
    tokenizer = trained(CORPUS, 300)
    before = tokenizer.get_merges()

    def progress(stage: str, done: int, total: int | None) -> None:
        raise KeyError(stage)

    with pytest.raises(KeyError, match="count"):
        tokenizer.train_from_iterator(iter(CORPUS), 310, progress=progress)
    assert tokenizer.get_merges() == before


def hard_work() -> list[str]:
    """Texts of which the merges take long, on a fast machine too: a long word of random letters."""
    numbers = np.random.default_rng(0).integers(97, 123, 24_000_000, dtype=np.uint8)
    return [numbers.tobytes().decode()]


@pytest.mark.parametrize("what", ["merges", "a slow pattern"])
def test_ctrl_c_ends_the_training(what: str) -> None:
    """KeyboardInterrupt comes out of the call while threads are at work, and the tokenizer is what it was before."""
    tokenizer = trained(CORPUS, 300)
    before = tokenizer.get_merges()
    pattern = PATTERN if what == "merges" else r"(?:a|b|c|[a-z])(?!x)"
    main = threading.main_thread().ident
    assert main
    pressed: list[float] = []

    def press() -> None:
        pressed.append(time.monotonic())
        signal.pthread_kill(main, signal.SIGINT)

    timer = threading.Timer(0.5, press)
    work = hard_work() * (1 if what == "merges" else 20)
    before_this = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore Ctrl-C
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            tokenizer.train_from_iterator(iter(work), 200_000, pattern=pattern)
    finally:
        signal.signal(signal.SIGINT, before_this)
    print(f"stopped after {time.monotonic() - pressed[0]:.3f} s")
    timer.join()
    assert tokenizer.get_merges() == before


def test_threads_may_encode_while_one_trains() -> None:
    """Encoding goes on with the old merges until the new ones are there."""
    shared = trained(CORPUS, 290)
    expected = shared.encode(CORPUS[0])
    trainer = threading.Thread(target=lambda: shared.train_from_iterator(iter(CORPUS * 20_000), 300))
    trainer.start()
    seen = {tuple(shared.encode(CORPUS[0])) for _ in range(100)}
    trainer.join()
    assert seen <= {tuple(expected), tuple(shared.encode(CORPUS[0]))}
    assert shared.vocab_size == 300

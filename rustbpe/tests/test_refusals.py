"""Bad input: a ValueError or TypeError that names the argument and the item, and what was trained before is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rustbpe
from corpora import trained


def broken() -> Iterator[str]:
    yield "some text"
    raise RuntimeError("the generator's own")


def train(*arguments: Any, **options: Any) -> Callable[[Any], None]:
    return lambda tokenizer: tokenizer.train_from_iterator(*arguments, **options)


BAD_TRAINING: dict[str, tuple[Callable[[Any], None], type[Exception], str]] = {
    "small vocabulary": (train([], 255), ValueError, "vocab_size should be from 256 to 2147483648, not 255"),
    "no room for special tokens": (train([], 256, special_tokens=["x"]), ValueError, "vocab_size should be from 257"),
    "negative vocabulary": (train([], -1), ValueError, "vocab_size .* not -1"),
    "huge vocabulary": (train([], 2**70), ValueError, "vocab_size"),
    "vocabulary of a float": (train([], 300.0), TypeError, "vocab_size"),
    "vocabulary of a str": (train([], "300"), TypeError, "vocab_size"),
    "no iterator": (train(5, 300), TypeError, "iterator: 'int' object is not iterable"),
    "bytes": (train(["a", b"b"], 300), TypeError, "iterator: item 1 should be str, not bytes"),
    "None": (train([None], 300), TypeError, "iterator: item 0 should be str, not NoneType"),
    "a list in a list": (train(["a", "b", ["c"]], 300), TypeError, "iterator: item 2 should be str, not list"),
    "half a surrogate pair": (train(["a", "b\ud800"], 300), ValueError, "iterator: item 1: .*surrogates not allowed"),
    "a pattern that does not compile": (train(["a"], 300, pattern="("), ValueError, "pattern does not compile: "),
    "a pattern of bytes": (train(["a"], 300, pattern=b"a"), TypeError, "pattern"),
    "a pattern that runs away": (train(["ab" * 5000], 300, pattern=r"(\w)+\1(?!y)y"), ValueError, "pattern: "),
    "no buffer": (train(["a"], 300, 0), ValueError, "buffer_size should be at least 1, not 0"),
    "a negative buffer": (train(["a"], 300, -1), ValueError, "buffer_size"),
    "no threads": (train(["a"], 300, threads=0), ValueError, "threads should be from 1"),
    "threads of a float": (train(["a"], 300, threads=1.5), TypeError, "threads"),
    "special tokens of a str": (train(["a"], 300, special_tokens="<|x|>"), TypeError, "special_tokens"),
    "a special token twice": (train(["a"], 300, special_tokens=["x", "x"]), ValueError, "special_tokens: .*1, \"x\""),
    "an empty special token": (train(["a"], 300, special_tokens=["x", ""]), ValueError, "special_tokens: .*1 is empty"),
    "progress of a str": (train(["a"], 300, progress="x"), TypeError, "progress should be callable"),
    "an error of the iterator": (train(broken(), 300), RuntimeError, "the generator's own"),
    "one path": (lambda t: t.train_from_files("a.txt", 300), TypeError, "paths should be several paths, not one"),
    "paths of numbers": (lambda t: t.train_from_files(["a", 1], 300), TypeError, "paths: item 1: "),
    "a missing file": (lambda t: t.train_from_files(["/nowhere.txt"], 300), ValueError, "paths: item 0 .*/nowhere.txt"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), BAD_TRAINING.values(), ids=BAD_TRAINING)
def test_training(call: Callable[[Any], None], kind: type[Exception], message: str) -> None:
    """Training refuses it, and the tokenizer is what it was before."""
    tokenizer = trained(["hello hello world"], 265)
    before = tokenizer.get_mergeable_ranks(), tokenizer.get_pattern()
    with pytest.raises(kind, match=message):
        call(tokenizer)
    assert (tokenizer.get_mergeable_ranks(), tokenizer.get_pattern()) == before


FILES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a text that is not UTF-8": (lambda path: path.write_bytes(b"abc \xff"), "it is not UTF-8 at byte 4"),
    "a text that ends early": (lambda path: path.write_bytes("é".encode()[:1]), "it is not UTF-8 at byte 0"),
    "a folder": (lambda path: path.mkdir(), "directory"),
    "no parquet": (lambda path: path.with_suffix(".parquet").write_bytes(b"PAR1 and nothing more PAR1"), "."),
    "half a parquet": (lambda path: half(path.with_suffix(".parquet")), "."),
    "garbage in a parquet": (lambda path: half(path.with_suffix(".parquet"), garbage=True), "."),
    "no such column": (
        lambda path: pq.write_table(pa.table({"words": ["a"]}), path.with_suffix(".parquet")),
        'it has no column "text", but words',
    ),
    "numbers": (
        lambda path: pq.write_table(pa.table({"text": [1]}), path.with_suffix(".parquet")),
        'its column "text" holds no strings',
    ),
    "bytes": (
        lambda path: pq.write_table(pa.table({"text": [b"\xff"]}), path.with_suffix(".parquet")),
        "a row is not UTF-8",
    ),
    "lists": (
        lambda path: pq.write_table(pa.table({"text": [["a"]]}), path.with_suffix(".parquet")),
        "it has no column",
    ),
}


def half(path: Path, garbage: bool = False) -> None:
    """A parquet file without its end, or with other bytes in its middle."""
    pq.write_table(pa.table({"text": [str(i) * 9 for i in range(2000)]}), path)
    content = bytearray(path.read_bytes())
    if garbage:
        content[10 : len(content) // 2] = b"\xee" * (len(content) // 2 - 10)
    path.write_bytes(content if garbage else content[: len(content) // 2])


@pytest.mark.parametrize(("make", "message"), FILES.values(), ids=FILES)
def test_files(tmp_path: Path, make: Callable[[Path], Any], message: str) -> None:
    """A file that cannot be read is refused by its place among the paths, its name and the reason."""
    (tmp_path / "good.txt").write_text("good text")
    make(tmp_path / "bad")
    (bad,) = set(tmp_path.iterdir()) - {tmp_path / "good.txt"}
    tokenizer = rustbpe.Tokenizer()
    with pytest.raises(ValueError, match=rf"paths: item 1 \(.*{bad.name}\): .*{message}"):
        tokenizer.train_from_files([tmp_path / "good.txt", bad], 300)


BAD_USE: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "encode bytes": (lambda t: t.encode(b"x"), TypeError, "text should be str, not bytes"),
    "encode None": (lambda t: t.encode(None), TypeError, "text should be str, not NoneType"),
    "encode half a surrogate pair": (lambda t: t.encode("\udc00"), UnicodeEncodeError, "surrogates not allowed"),
    "encode one str as a batch": (lambda t: t.batch_encode("x"), TypeError, "texts should be several str, not one"),
    "encode a batch of numbers": (
        lambda t: t.batch_encode(["x", 1]),
        TypeError,
        "texts: item 1 should be str, not int",
    ),
    "encode no batch": (lambda t: t.batch_encode(1), TypeError, "not iterable"),
    "decode an id beyond": (lambda t: t.decode([97, 300]), ValueError, r"ids\[1\] should be from 0 to 264, not 300"),
    "decode a negative id": (lambda t: t.decode([-1]), ValueError, r"ids\[0\] should be from 0 to 264, not -1"),
    "decode a huge id": (lambda t: t.decode([2**64]), ValueError, r"ids\[0\]"),
    "decode a float": (lambda t: t.decode([97.0]), TypeError, r"ids\[0\]"),
    "decode a str": (lambda t: t.decode("x"), TypeError, r"ids\[0\]"),
    "decode a number": (lambda t: t.decode(97), TypeError, "not iterable"),
    "decode half a character": (lambda t: t.decode([0xE2, 0x82]), UnicodeDecodeError, "utf-8"),
    "save into nowhere": (lambda t: t.save("/nowhere/t.json"), OSError, "path: cannot write /nowhere/t.json"),
    "save nothing": (lambda t: t.save("/"), OSError, "path: cannot write"),
    "load from nowhere": (lambda t: t.load("/nowhere/t.json"), ValueError, "path: /nowhere/t.json is no tokenizer"),
    "take an argument": (lambda t: rustbpe.Tokenizer(1), TypeError, "argument"),
}


@pytest.mark.parametrize(("call", "kind", "message"), BAD_USE.values(), ids=BAD_USE)
def test_use(call: Callable[[Any], Any], kind: type[Exception], message: str) -> None:
    """What is no text and what is no id is refused by its name and place."""
    with pytest.raises(kind, match=message):
        call(trained(["hello hello world"], 265))

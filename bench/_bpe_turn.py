"""python -m bench._bpe_turn, a JSON order on stdin: one turn of one contender, in a process of its own.

The order has `contender`; `folder`, where its rustbpe lies, or none; `job`, train or encode; `file`, a text file of
which every `document` characters are one text; `vocab_size`; `threads` or none; `ranks`, a file with the tokens to
encode with. The answer is a line of JSON: seconds and bytes of the job alone, and the process's peak memory in MB.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)


def documents(order: dict[str, Any]) -> Iterator[str]:
    """The texts, read as they are asked for; the file as often as the order says."""
    for _ in range(order.get("times", 1)):
        with Path(order["file"]).open(encoding="utf-8", newline="") as file:
            while text := file.read(order["document"]):
                yield text


def train_rustbpe(order: dict[str, Any], texts: Iterator[str]) -> int:
    import rustbpe

    options = {"threads": order["threads"]} if order["contender"] == "ours" else {}
    tokenizer = rustbpe.Tokenizer()
    tokenizer.train_from_iterator(texts, order["vocab_size"], pattern=PATTERN, **options)
    if order.get("ranks"):
        ranks = [[token.hex(), rank] for token, rank in tokenizer.get_mergeable_ranks()]
        Path(order["ranks"]).write_text(json.dumps({"ranks": ranks, "merges": tokenizer.get_merges()}))
    return tokenizer.vocab_size


def train_tokenizers(order: dict[str, Any], texts: Iterator[str]) -> int:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(PATTERN.replace("?+", "?").replace("++", "+")), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(  # type: ignore[assignment]
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=order["vocab_size"], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer.get_vocab_size()


def encoder(order: dict[str, Any]) -> Callable[[list[str]], list[list[int]]]:
    """A tokenizer that is ready, as the function that encodes a batch."""
    saved = json.loads(Path(order["ranks"]).read_text())
    threads = order["threads"]
    if order["contender"] == "ours":
        import rustbpe

        file = Path(order["ranks"]).with_suffix(".tokenizer")
        content = {"format": 1, "pattern": PATTERN, "special_tokens": [], "merges": saved["merges"]}
        file.write_text(json.dumps(content))
        tokenizer = rustbpe.Tokenizer.load(file)
        return lambda texts: tokenizer.batch_encode(texts, threads)
    import tiktoken

    ranks = {bytes.fromhex(token): rank for token, rank in saved["ranks"]}
    encoding = tiktoken.Encoding("bench", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
    return lambda texts: encoding.encode_ordinary_batch(texts, num_threads=threads)


def peak_mb() -> float:
    """The most memory that this process has held. On Linux ru_maxrss begins with that of the parent."""
    status = Path("/proc/self/status")
    if status.exists():
        (peak,) = (line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def turn(order: dict[str, Any]) -> dict[str, Any]:
    if order["job"] == "encode":
        texts = list(documents(order))
        encode = encoder(order)
        encode(["warm " * 100])
        started = time.perf_counter()
        result = sum(map(len, encode(texts)))
        seconds = time.perf_counter() - started
    else:
        train = train_tokenizers if order["contender"] == "tokenizers" else train_rustbpe
        started = time.perf_counter()
        result = train(order, documents(order))
        seconds = time.perf_counter() - started
    size = Path(order["file"]).stat().st_size * order.get("times", 1)
    return {"seconds": seconds, "bytes": size, "peak_mb": peak_mb(), "result": result}


if __name__ == "__main__":
    given = json.loads(sys.stdin.readline())
    if given.get("folder"):
        sys.path.insert(0, given["folder"])
    if given["threads"]:  # the published package and tokenizers take theirs from the environment
        os.environ["RAYON_NUM_THREADS"] = str(given["threads"])
    print(json.dumps(turn(given)))

"""python peer.py FOLDER: the rustbpe that is installed in FOLDER, in a process of its own, for ours has the same name.

Reads a request per line, {"texts": [...], "vocab_size": n, "pattern": p or null, "encode": [...]}, and answers each
with a line: {"ranks": [[hex, id], ...], "pattern": p, "ids": [[...], ...]} or {"error": "..."}.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def answer(rustbpe: Any, request: dict[str, Any]) -> dict[str, Any]:
    tokenizer = rustbpe.Tokenizer()
    try:
        tokenizer.train_from_iterator(iter(request["texts"]), request["vocab_size"], pattern=request["pattern"])
        return {
            "ranks": [[bytes(token).hex(), rank] for token, rank in tokenizer.get_mergeable_ranks()],
            "pattern": tokenizer.get_pattern(),
            "ids": [tokenizer.encode(text) for text in request["encode"]],
        }
    except BaseException as error:  # a Rust panic is no Exception
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    import rustbpe

    if not os.path.realpath(rustbpe.__file__).startswith(os.path.realpath(sys.argv[1])):
        raise SystemExit(f"no rustbpe in {sys.argv[1]}, but one in {rustbpe.__file__}")
    for line in sys.stdin:
        print(json.dumps(answer(rustbpe, json.loads(line))), flush=True)

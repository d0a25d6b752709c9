"""A small stand-in for all data sets, generated from a seed, in files like theirs: to try a run without a network.

The text is the primer's, and so are facts, problems and words; the questions of the tests are not among those to
train on.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from reference.checkpoint import write_atomically
from reference.data.primer.conversations import LETTERS, draw_options, sentence, small_talk
from reference.data.primer.curriculum import practice_problems
from reference.data.primer.relations import RELATIONS
from reference.data.primer.source import PrimerDocuments
from reference.data.primer.words import CHAT_WORDS

SHARDS, DOCUMENTS, ROW_GROUP = 3, 1_500, 256  # the last shard is for validation
QUESTIONS = {"train": 400, "test": 40}
HUMANEVAL = {
    "task_id": "generated/0",
    "prompt": 'def double(x: int) -> int:\n    """Twice x."""\n',
    "canonical_solution": "    return 2 * x\n",
    "test": "def check(candidate):\n    assert candidate(4) == 8\n    assert candidate(-1) == -2\n",
    "entry_point": "double",
}


def write_generated(root: Path, seed: int = 0) -> None:
    """Write shards, word list and every data set of the hub that training and evaluation read, a few MB, to `root`."""
    documents = PrimerDocuments(seed).stream("train")
    for number in range(SHARDS):
        texts = list(islice(documents, DOCUMENTS))
        _write(root / "base_data" / f"shard_{number:05d}.parquet", [{"text": text} for text in texts])
    write_atomically(root / "words" / "words_alpha.txt", ("\n".join(sorted(CHAT_WORDS)) + "\n").encode())
    for split, count in QUESTIONS.items():
        rng = Random(f"generated {seed} {split}")
        talk = [_conversation(rng) for _ in range(count)]
        _write(_file(root, "HuggingFaceTB/smol-smoltalk/default", split), talk)
        problems = practice_problems(seed + (split == "test"), count)
        rows = [{"question": problem.question, "answer": problem.answer} for problem in problems]
        _write(_file(root, "openai/gsm8k/main", split), rows)
        chosen = [_choice(rng, split) for _ in range(count)]
        mmlu = [{"question": q, "subject": "", "choices": o, "answer": LETTERS.index(a)} for q, o, a in chosen]
        _write(_file(root, "cais/mmlu/all", "auxiliary_train" if split == "train" else "test"), mmlu)
        arc = [
            {"id": str(i), "question": q, "choices": {"text": o, "label": list(LETTERS)}, "answerKey": a}
            for i, (q, o, a) in enumerate(chosen)
        ]
        for part in ("Easy", "Challenge"):
            _write(_file(root, f"allenai/ai2_arc/ARC-{part}", split), arc)
    _write(_file(root, "openai/openai_humaneval/openai_humaneval", "test"), [HUMANEVAL])


def _conversation(rng: Random) -> dict[str, Any]:
    question, answer = small_talk(rng)
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages, "source": "generated"}


def _choice(rng: Random, split: str) -> tuple[str, Sequence[str], str]:
    """A question with four options, and the letter of the right one."""
    relation = rng.choice(RELATIONS)
    x = rng.choice(list(relation.table))
    wordings = relation.questions if split == "train" else relation.held_out
    options, letter = draw_options(relation, x, rng)
    return sentence(rng.choice(wordings).format(x=x)), options, letter


def _file(root: Path, folder: str, split: str) -> Path:
    return root / folder / f"{split}-00000-of-00001.parquet"


def _write(file: Path, rows: list[dict[str, Any]]) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink, row_group_size=ROW_GROUP)
    write_atomically(file, sink.getvalue().to_pybytes())

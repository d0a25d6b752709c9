"""What the evaluating commands found out about a run: runs/<tag>/evaluations/<stage>.json, and tokenizer.json.

tokenizer.json    bytes_per_token {text: {tokenizer: value}}
<stage>.json      bits_per_byte {train, val}, samples {prompt: text}, core, core_tasks {label: accuracy},
                  core_questions (of each task at most so many; 0: all),
                  exams {name: {correct, total}}, chat_core, chat_core_five, pass_at_k {unbiased, first_k: {k: value}}

Files of their own, because a stage may be evaluated while the next one is trained, which holds run.json.
"""

from __future__ import annotations

import json
from typing import Any

from reference.checkpoint import write_atomically
from reference.errors import UserError
from reference.run import Run


def note(run: Run, stage: str, **results: Any) -> None:
    """Keep results, beside those that other commands have kept."""
    content = json.dumps({**evaluations(run).get(stage, {}), **results}, indent=2, allow_nan=False)
    write_atomically(run.path / "evaluations" / f"{stage}.json", f"{content}\n".encode())


def evaluations(run: Run) -> dict[str, dict[str, Any]]:
    """All that is kept, by stage; UserError when a file is damaged."""
    found = {}
    for file in sorted((run.path / "evaluations").glob("[!.]*.json")):
        try:
            found[file.stem] = dict(json.loads(file.read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"The file {file} is damaged; delete it and evaluate {file.stem} again.") from error
    return found

"""python -m dojo.grading.formats OUT: make all files anew from OUT/submissions/, after checking each of those.

It reads data only, so it may run where there are rights and secrets that the grading itself must not have.
"""

from __future__ import annotations

import sys
from pathlib import Path

from dojo.curriculum import KATAS
from dojo.grading.formats import FORMATS
from dojo.grading.formats.writing import write_formats
from dojo.grading.names import safe_names
from dojo.grading.schema import SchemaError, SubmissionResult, from_json
from dojo.grading.similarity import likenesses


def main(out: Path) -> int:
    names = sorted(file.stem for file in (out / "submissions").glob("*.json"))
    for name in names:
        try:
            result = from_json((out / "submissions" / f"{name}.json").read_bytes(), SubmissionResult)
        except (OSError, SchemaError) as error:
            print(f"{out}/submissions/{name}.json cannot be used: {error}.", file=sys.stderr)
            return 2
        known = {(kata.label, kata.name, kata.title) for kata in KATAS}
        if not {(kata.label, kata.name, kata.title) for kata in result.katas} <= known:
            print(f"{out}/submissions/{name}.json tells of katas that there are not.", file=sys.stderr)
            return 2
        if result.name != name or safe_names([name]) != [name]:
            print(f"{out}/submissions/{name}.json holds the result of another submission.", file=sys.stderr)
            return 2
    write_formats(out, names, FORMATS, *likenesses(out / "sources", names, KATAS))
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print("Say which folder: python -m dojo.grading.formats OUT.", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(Path(sys.argv[1])))

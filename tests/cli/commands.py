"""Commands run in this process, and what they leave behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from reference.cli import main


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder, but for the lock that an attempt leaves behind."""
    paths = [path for path in folder.rglob("*") if path.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in paths}


def leave(*arguments: str) -> int:
    """The exit status of a command, run in this process."""
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    assert isinstance(stop.value.code, int)
    return stop.value.code


def refuse(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command says that is refused as it should be: one sentence, and the folder is as it was."""
    before = tree(Path())
    capsys.readouterr()
    status = leave(*arguments)
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.endswith(".\n")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert tree(Path()) == before
    return err

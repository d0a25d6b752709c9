"""Files of results are whole or not there, and strangers' text is made fit to be shown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dojo.curriculum import ROOT
from dojo.grading.files import printable, write_whole


def test_written_whole(tmp_path: Path) -> None:
    """folders are made, the content comes back, a lone surrogate becomes an escape, nothing else is left"""
    file = tmp_path / "a" / "b.txt"
    write_whole(file, "one")
    write_whole(file, "two \ud800 \u20ac")
    assert file.read_text(encoding="utf-8") == "two \\ud800 \u20ac"
    assert os.listdir(file.parent) == ["b.txt"]  # noqa: PTH208


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on the size of files")
def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """where writing fails the old file stays as it was, and no half of a new one lies beside it"""
    file = tmp_path / "a.json"
    write_whole(file, "old")
    code = (
        "import resource, signal, sys; from pathlib import Path; from dojo.grading.files import write_whole\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_whole(Path(sys.argv[1]), 'new' * 1000)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "OSError" in done.stderr
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_printable() -> None:
    """control characters, marks of direction and what is no character are shown as escapes; text stays text"""
    assert printable("a\x1b[1m\x00\u202e\ufffe\ud800\U000e0001") == ("a\\x1b[1m\\x00\\u202e\\ufffe\\ud800\\U000e0001")
    assert printable("é ß 漢\n\t🟢") == "é ß 漢\n\t🟢"
    assert printable("a\r\nb\rc") == "a\nb\\x0dc"

"""Takes the solution files out of a git repository without checking it out.

A bare clone runs no hooks, no filters and no submodules, and makes no links; the files are read as objects.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from functools import partial
from pathlib import Path

from dojo.grading.archives import MEMBERS, Unpacked, UnreadableError
from dojo.grading.names import plain

SECONDS = 300  # for a clone
LIST_BYTES = 16 << 20
KINDS = {"100644": "file", "100755": "file", "120000": "a symbolic link"}


def is_url(word: str) -> bool:
    """Whether an argument names a repository elsewhere and not a path here."""
    return bool(re.match(r"(https|http|ssh|git|file)://", word) or re.match(r"[\w.-]+@[\w.-]+:[^\\]", word))


def is_bare(folder: Path) -> bool:
    """Whether a folder is a repository without a working tree."""
    return all((folder / name).exists() for name in ("HEAD", "objects", "refs"))


def unpack_repository(address: str, folder: Path) -> Unpacked:
    """Put the solutions of the newest commit of a repository into an empty folder.

    Raises:
        UnreadableError: git cannot get it.
    """
    unpacked = Unpacked(folder)
    with tempfile.TemporaryDirectory(prefix="nanokata-git-") as name:
        clone = Path(name)
        small = ["--depth=1", "--single-branch", "--no-tags", "--no-recurse-submodules"]
        _git("clone", "--quiet", "--bare", "--no-local", "--template=", *small, "--", address, name)
        listing = _git("-C", name, "ls-tree", "-r", "-l", "-z", "HEAD").split(b"\0")[:-1]
        if len(listing) > MEMBERS:
            raise UnreadableError(f"the repository holds more than {MEMBERS:,} files.")
        for line in listing:
            about, _, path = line.partition(b"\t")
            mode, _, object_name, size = about.decode().split()
            kind = KINDS.get(mode, "a repository of its own")
            many = int(size) if size.isdigit() else 0
            unpacked.offer(
                path.decode("utf-8", "surrogateescape"), many, kind, partial(_blob, clone, object_name, many)
            )
    return unpacked


def _blob(clone: Path, object_name: str, size: int, most: int) -> bytes:
    if size >= most:
        return bytes(most)  # too large whatever is in it: it need not be read
    return _git("-C", str(clone), "cat-file", "blob", object_name)


def _git(*arguments: str) -> bytes:
    """What a git command prints, with everything off that could run code or wait for a person."""
    settings = ["core.hooksPath=/dev/null", "protocol.ext.allow=never", "core.fsmonitor=false", "gc.auto=0"]
    configured = [word for setting in settings for word in ("-c", setting)]
    quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_LFS_SKIP_SMUDGE": "1", "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh"}
    try:
        done = subprocess.run(
            ["git", *configured, *arguments],
            capture_output=True,
            timeout=SECONDS,
            check=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **quiet},
        )
    except FileNotFoundError:
        raise UnreadableError("git is not installed here, and a repository needs it.") from None
    except subprocess.TimeoutExpired:
        raise UnreadableError(f"git did not finish within {SECONDS} seconds.") from None
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode("utf-8", "replace").splitlines()
        said = next((line for line in lines if line.startswith("fatal: ")), "fatal: it did not say why")
        raise UnreadableError(f"git cannot read it: {plain(said[7:].rstrip('.'))}.") from None
    if len(done.stdout) > LIST_BYTES:
        raise UnreadableError("the repository's list of files is larger than any learner's is.")
    return done.stdout

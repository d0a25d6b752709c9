"""What is taken from an honest submission, in every form in which one comes."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dojo.curriculum import KATAS, find_kata
from dojo.grading.archives import UnreadableError
from dojo.grading.intake import Taken, take
from dojo.grading.names import kata_and_owner, safe_names

ROPE, BPE = b"def rotary_tables(): ...\n", b"def merge(): ...\n"
REPOSITORY = {
    "katas/rope/rope.py": ROPE,
    "katas/bpe/bpe.py": BPE,
    "reference/parts/rope.py": b"the worked answer",
    "reference/parts/muon.py": b"the worked answer",
    ".dojo/copies/rope.py": b"an older one",
    "README.md": b"mine",
}


def folder(where: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).write_bytes(content)
    return where


def zipped(where: Path, files: dict[str, bytes]) -> Path:
    where = where.with_suffix(".zip")
    with zipfile.ZipFile(where, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return where


def tarred(where: Path, files: dict[str, bytes], how: str = "") -> Path:
    where = where.with_name(f"{where.name}.tar" + (f".{how}" if how else ""))
    with tarfile.open(where, f"w:{how}") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return where


def committed(where: Path, files: dict[str, bytes]) -> Path:
    folder(where, files)
    for command in (["init", "-q"], ["add", "-A", "-f"], ["commit", "-qm", "all"]):
        subprocess.run(["git", "-c", "user.name=A", "-c", "user.email=a@b", *command], cwd=where, check=True)
    return where


FORMS: dict[str, Callable[[Path, dict[str, bytes]], Path]] = {
    "folder": folder,
    "zip": zipped,
    "tar": tarred,
    "tar.gz": lambda where, files: tarred(where, files, "gz"),
    "tar.bz2": lambda where, files: tarred(where, files, "bz2"),
    "tar.xz": lambda where, files: tarred(where, files, "xz"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("enclosing", ["", "repo-main/", "handed-in/repo-main/"])
def test_every_form(form: str, enclosing: str, tmp_path: Path) -> None:
    """the solutions come out, the worked answers and older copies do not, whatever the form"""
    files = {enclosing + name: content for name, content in REPOSITORY.items()}
    taken = take(str(FORMS[form](tmp_path / "ann", files)))
    assert taken.sources == {"rope": ROPE, "bpe": BPE}
    assert taken.reasons == {}


def test_a_repository(tmp_path: Path) -> None:
    """of a git repository the newest commit counts where it is bare or elsewhere, the files where it is a folder"""
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    repository = committed(tmp_path / "ann", REPOSITORY)
    bare = tmp_path / "ann.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(repository), str(bare)], check=True)
    (repository / "katas/rope/rope.py").write_bytes(b"edited\n")
    assert take(f"file://{repository}").sources == {"rope": ROPE, "bpe": BPE}
    assert take(str(bare)).sources == {"rope": ROPE, "bpe": BPE}
    assert take(str(repository)).sources == {"rope": b"edited\n", "bpe": BPE}
    with pytest.raises(UnreadableError, match=r"git cannot read it: .*nobody"):
        take(f"file://{tmp_path}/nobody")


@pytest.mark.parametrize(
    ("files", "rope"),
    [
        ({"rope.py": b"1", "katas/rope/rope.py": b"2", "rope/rope.py": b"3"}, b"2"),
        ({"rope.py": b"1", "rope/rope.py": b"3"}, b"3"),
        ({"rope (1).py": b"1", "rope.py": b"2"}, b"2"),
        ({"annlee_LATE_12_34_rope-1.py": b"1"}, b"1"),
        ({"a/rope.py": b"1", "b/rope.py": b"2", "b/bpe.py": b"3"}, b"2"),
        ({"a/rope.py": b"1", "b/rope.py": b"2"}, b"1"),
        ({"one/two/three/rope.py": b"1"}, None),
        ({"tests/rope.py": b"1"}, None),
        ({"Rope.py": b"1"}, None),
    ],
)
def test_which_one(files: dict[str, bytes], rope: bytes | None, tmp_path: Path) -> None:
    """one root for all, the one with most solutions; the longest usual path goes first; what was left out is said"""
    for make in (folder, zipped, tarred):
        taken = take(str(make(tmp_path / make.__name__, files)))
        assert taken.sources.get("rope") == rope
        others = [name for name in files if name.endswith(".py") and files[name] != rope]
        assert not (len(files) > 1 or rope is None) or taken.notes
        for name in others if rope is not None else []:
            assert "bpe" in name or any(name in note for note in taken.notes)


def test_a_single_file(tmp_path: Path) -> None:
    """its name tells the kata; with one kata asked for, any name will do"""
    rope = find_kata("rope")
    assert rope is not None
    folder(tmp_path, {"rope.py": ROPE, "mine.py": BPE})
    assert take(str(tmp_path / "rope.py")).sources == {"rope": ROPE}
    assert take(str(tmp_path / "mine.py"), [rope]).sources == {"rope": BPE}
    assert take(str(tmp_path / "rope.py"), [kata for kata in KATAS if kata != rope]).sources == {}


def test_an_archive_in_a_folder(tmp_path: Path) -> None:
    """as Moodle and Gradescope give it: a folder that holds nothing but somebody's archive"""
    inner = zipped(tmp_path / "inner", REPOSITORY)
    folder(tmp_path / "Ann Lee_12_assignsubmission_file_", {"repo.zip": inner.read_bytes()})
    taken = take(str(tmp_path / "Ann Lee_12_assignsubmission_file_"))
    assert taken.sources == {"rope": ROPE, "bpe": BPE}
    assert "taken from repo.zip" in taken.notes
    twice = zipped(tmp_path / "twice", {"repo.zip": inner.read_bytes()})
    assert take(str(twice)).sources == {"rope": ROPE, "bpe": BPE}
    thrice = zipped(tmp_path / "thrice", {"twice.zip": twice.read_bytes()})
    assert take(str(thrice)).sources == {}


def only(name: str, content: bytes, tmp_path: Path) -> Taken:
    return take(str(folder(tmp_path, {name: content})))


def test_what_is_said_of_a_file(tmp_path: Path) -> None:
    """empty, still the stub, not text, a byte order mark: each is said, none stops the rest"""
    rope = find_kata("rope")
    assert rope is not None
    stub = rope.file.read_bytes()
    assert "empty" in only("rope.py", b" \n", tmp_path / "empty").reasons["rope"]
    assert "Not written yet" in only("rope.py", stub.replace(b"\n", b" \r\n"), tmp_path / "stub").reasons["rope"]
    assert only("rope.py", stub + b"\nx = 1\n", tmp_path / "begun").reasons == {}
    taken = only("rope.py", b"\xef\xbb\xbf" + ROPE, tmp_path / "bom")
    assert taken.sources == {"rope": ROPE}
    assert "byte order mark" in taken.notes[0]
    taken = only("rope.py", b"x = '\xe9'\n", tmp_path / "latin")
    assert taken.sources == {"rope": b"x = '\xe9'\n"}
    assert "not text in UTF-8" in taken.notes[0]
    assert "nothing in it is called like a solution" in only("a.txt", b"", tmp_path / "nothing").notes


def test_names_that_platforms_make() -> None:
    """the kata is found in them, and whose file it is; the longer name goes first"""
    found = {
        "rope.py": ("rope", ""),
        "annlee_LATE_12_34_kv_cache.py": ("kv_cache", "annlee_LATE_12_34"),
        "Ann Lee_12_assignsubmission_file_loss_mask (2).py": ("loss_mask", "Ann Lee_12_assignsubmission_file"),
        "tools-3.py": ("tools", ""),
    }
    for name, (kata, owner) in found.items():
        told = kata_and_owner(name)
        assert told is not None
        assert (told[0].name, told[1]) == (kata, owner)
    assert [kata_and_owner(name) for name in ("test_rope.py", "europe.py", "rope.pyc", "rope")] == [None] * 4


def test_safe_names() -> None:
    """no two are equal, also where case does not count, and all can be names of files"""
    names = safe_names(["Ann", "ann", "ANN", "../x", "a/b", "", "é\u0301\n", "\udcff", "x" * 300, "x" * 300, ".."])
    assert len({name.casefold() for name in names}) == len(names)
    assert all(name and "/" not in name and not name.startswith(".") and len(name) < 90 for name in names)
    assert names[:3] == ["Ann", "ann-2", "ANN-3"]
    for name in names:
        os.fsencode(name)

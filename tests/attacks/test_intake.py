"""Submissions that are made to hurt whoever unpacks them (entries 5, 10, 22 and 23 of the list of attacks)."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import stat
import struct
import subprocess
import tarfile
import zipfile
from pathlib import Path
from random import Random

import pytest

from dojo.grading.archives import MEMBERS, SOLUTION_BYTES, UnreadableError
from dojo.grading.intake import take, take_all
from tests.grading.test_intake import BPE, FORMS, ROPE, committed, folder, tarred, zipped

ARCHIVES = [form for form in FORMS if form != "folder"]
SECRET = b"what the grader knows\n"


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, link, size
    return made


def tar_of(where: Path, *members: tuple[tarfile.TarInfo, bytes]) -> str:
    with tarfile.open(where, "w") as archive:
        for info, content in members:
            info.size = info.size or len(content)
            archive.addfile(info, io.BytesIO(content))
    return str(where)


def seen_outside(tmp_path: Path) -> set[str]:
    return {path.name for path in tmp_path.rglob("*")}


@pytest.mark.parametrize("form", ARCHIVES)
@pytest.mark.parametrize("name", ["../rope.py", "/tmp/nanokata-attack/rope.py", "a/../../rope.py", "C:/rope.py"])
def test_names_that_lead_out(form: str, name: str, tmp_path: Path) -> None:
    """zip-slip: nothing is written outside, the member is left out with a note, the honest file beside it counts"""
    (tmp_path / "in").mkdir()
    before = seen_outside(tmp_path)
    archive = FORMS[form](tmp_path / "in" / "ann", {name: b"evil", "katas/bpe/bpe.py": BPE})
    taken = take(str(archive))
    assert taken.sources == {"bpe": BPE}
    assert any("leads out of the submission" in note for note in taken.notes)
    assert seen_outside(tmp_path) == before | {archive.name}
    assert not Path("/tmp/nanokata-attack").exists()


def test_backslashes_that_lead_out(tmp_path: Path) -> None:
    """the separators of Windows lead no further than others do, and do no harm to an honest zip made there"""
    taken = take(str(zipped(tmp_path / "ann", {"..\\..\\rope.py": b"evil", "repo\\katas\\bpe\\bpe.py": BPE})))
    assert taken.sources == {"bpe": BPE}


@pytest.mark.parametrize("target", ["{secret}", "/etc/passwd", "rope.py", "/dev/zero", "nowhere"])
@pytest.mark.parametrize("at", ["katas/rope/rope.py", "katas/rope", "katas"])
def test_links_in_a_folder(at: str, target: str, tmp_path: Path) -> None:
    """a link is not followed, wherever in the path it stands; its kata has no file, and the reason is told"""
    secret = folder(tmp_path / "grader", {"rope.py": SECRET, "rope/rope.py": SECRET})
    submission = folder(tmp_path / "ann", {"mine/bpe.py": BPE})
    place = submission / at
    place.parent.mkdir(parents=True, exist_ok=True)
    name = "rope.py" if at.endswith(".py") else ""
    place.symlink_to(target.format(secret=secret / name))
    taken = take(str(submission))
    assert taken.sources == {"bpe": BPE}
    assert "symbolic link" in taken.reasons["rope"]


def test_a_link_in_the_place_of_a_file(tmp_path: Path) -> None:
    """a single file among others, as Canvas gives them, may not be a link either"""
    (tmp_path / "annlee_1_101_rope.py").symlink_to("/etc/passwd")
    taken = take(str(tmp_path / "annlee_1_101_rope.py"))
    assert taken.sources == {}
    assert "cannot be read" in taken.reasons["rope"]


def test_links_in_archives(tmp_path: Path) -> None:
    """links of both kinds and devices are refused; a link cannot smuggle a later member out either"""
    secret = folder(tmp_path, {"secret.py": SECRET}) / "secret.py"
    for kind, word in [
        (tarfile.SYMTYPE, "symbolic link"),
        (tarfile.LNKTYPE, "hard link"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.FIFOTYPE, "device"),
    ]:
        link = member("rope.py", kind, str(secret))
        taken = take(tar_of(tmp_path / "link.tar", (link, b""), (member("bpe.py"), BPE)))
        assert taken.sources == {"bpe": BPE}
        assert word in taken.reasons["rope"]
    outside = tmp_path / "outside"
    outside.mkdir()
    away = member("katas", tarfile.SYMTYPE, str(outside))
    taken = take(tar_of(tmp_path / "away.tar", (away, b""), (member("katas/rope/rope.py"), ROPE)))
    assert taken.sources == {"rope": ROPE}
    assert list(outside.iterdir()) == []
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        info = zipfile.ZipInfo("rope.py")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, str(secret))
    assert "symbolic link" in take(str(tmp_path / "link.zip")).reasons["rope"]


def test_links_in_a_repository(tmp_path: Path) -> None:
    """git keeps links and submodules as such, and they are not followed; hooks and filters do not run"""
    repository = folder(tmp_path / "ann", {"bpe.py": BPE, ".gitattributes": b"* filter=evil\n"})
    (repository / "rope.py").symlink_to("/etc/passwd")
    committed(repository, {})
    ran = tmp_path / "ran"
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
    hook.chmod(0o755)
    for key in ("smudge", "clean"):
        command = ["git", "config", f"filter.evil.{key}", f"touch {ran}; cat"]
        subprocess.run(command, cwd=repository, check=True)
    taken = take(f"file://{repository}")
    assert taken.sources == {"bpe": BPE}
    assert "symbolic link" in taken.reasons["rope"]
    assert not ran.exists()


def test_a_pipe_and_a_device_in_a_folder(tmp_path: Path) -> None:
    """a named pipe in the place of a solution is not waited for"""
    submission = folder(tmp_path / "ann", {"bpe.py": BPE})
    os.mkfifo(submission / "rope.py")
    taken = take(str(submission))
    assert taken.sources == {"bpe": BPE}
    assert "device" in taken.reasons["rope"]


@pytest.mark.parametrize("form", ["folder", "zip", "tar.gz", "tar.xz"])
def test_a_solution_of_many_megabytes(form: str, tmp_path: Path) -> None:
    """a file that grows when it is unpacked is read no further than a solution can be long"""
    taken = take(str(FORMS[form](tmp_path / "ann", {"rope.py": b"#" * (30 << 20), "bpe.py": BPE})))
    assert taken.sources == {"bpe": BPE}
    assert "larger than 256 KB" in taken.reasons["rope"]
    longest = b"#" * SOLUTION_BYTES
    assert take(str(FORMS[form](tmp_path / "bob", {"rope.py": longest}))).sources == {"rope": longest}


def test_ten_gigabytes(tmp_path: Path) -> None:
    """an archive that unpacks to 10 GB is left after half a gigabyte; the reason says what to hand in instead"""
    bomb = tmp_path / "bomb.tar.gz"
    zeros = bytes(1 << 20)
    with gzip.open(bomb, "wb", compresslevel=1) as stream:
        stream.write(member("video.bin", size=10 << 30).tobuf())
        for _ in range(600):
            stream.write(zeros)
    with pytest.raises(UnreadableError, match=r"more than 512 MB.*git archive"):
        take(str(bomb))


def test_a_list_of_gigabytes(tmp_path: Path) -> None:
    """a header that asks for gigabytes of memory gets none"""
    for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE):
        header = member("x", kind, size=8 << 30).tobuf(tarfile.GNU_FORMAT)
        (tmp_path / "a.tar").write_bytes(header + bytes(4096))
        with pytest.raises(UnreadableError, match="larger than"):
            take(str(tmp_path / "a.tar"))
    whole = zipped(tmp_path / "b", {"rope.py": ROPE}).read_bytes()
    end = whole.rindex(b"PK\5\6")
    lying = whole[: end + 12] + struct.pack("<I", 1 << 30) + whole[end + 16 :]
    (tmp_path / "b.zip").write_bytes(lying)
    with pytest.raises(UnreadableError):
        take(str(tmp_path / "b.zip"))


@pytest.mark.parametrize("size", [-512, -1024, -5120])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_SPARSE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_size_below_zero(kind: bytes, size: int, tmp_path: Path) -> None:
    """a member that leads back to itself does not keep the reader"""
    header = bytearray(member("x", kind).tobuf())
    header[124:136] = size.to_bytes(12, "big", signed=True)
    checksum = sum(header[:148]) + 8 * 32 + sum(header[156:512])
    header[148:156] = b"%06o\0 " % checksum
    (tmp_path / "a.tar").write_bytes(member("y").tobuf() + bytes(header) + bytes(2048))
    with pytest.raises(UnreadableError, match="damaged"):
        take(str(tmp_path / "a.tar"))


def test_notes_without_number(tmp_path: Path) -> None:
    """thousands of odd members make a page of notes and no book; the deepest path is no trouble"""
    odd = [f"../{i}" for i in range(3000)] + ["/".join(["a" * 150] * 60) + "/conftest.py"]
    for make in (zipped, tarred):
        taken = take_all([str(make(tmp_path / "ann", {**dict.fromkeys(odd, b""), "rope.py": ROPE}))])
        assert taken.sources == {"rope": ROPE}
        assert len(taken.notes) <= 31
        assert taken.notes[-1].endswith("notes more")


def test_members_without_number(tmp_path: Path) -> None:
    """more files than any learner has end the reading of an archive"""
    (tmp_path / "a.tar").write_bytes(member("x").tobuf() * (MEMBERS + 1) + bytes(1024))
    entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", *[0] * 9, 1, *[0] * 6) + b"x"
    entries = b"PK\5\6" + bytes(18)  # begins as an empty archive does
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0, 0, len(entry) * (MEMBERS + 1), len(entries), 0)
    (tmp_path / "a.zip").write_bytes(entries + entry * (MEMBERS + 1) + end)
    for name in ("a.tar", "a.zip"):
        with pytest.raises(UnreadableError, match="holds more than 50,000 files"):
            take(str(tmp_path / name))


@pytest.mark.parametrize("form", ARCHIVES)
def test_truncated_and_damaged(form: str, tmp_path: Path) -> None:
    """wherever an upload broke off, it is said that it cannot be checked; half a submission is never graded as one"""
    noise = Random(0)
    sources = {"rope": noise.randbytes(12000).hex().encode(), "bpe": noise.randbytes(12000).hex().encode()}
    archive = FORMS[form](tmp_path / "ann", {f"{name}.py": source for name, source in sources.items()})
    whole = archive.read_bytes()  # in a plain tar the first member fills 24,576 bytes
    assert take(str(archive)).sources == sources
    for length in [0, 1, 5, 100, 512, 24576, len(whole) // 3, len(whole) // 2, len(whole) - len(whole) // 5]:
        archive.write_bytes(whole[:length])
        with pytest.raises(UnreadableError):
            take(str(archive))
    for place in range(0, len(whole) - 8, len(whole) // 23):
        archive.write_bytes(
            whole[:place] + bytes(byte ^ 0xFF for byte in whole[place : place + 8]) + whole[place + 8 :]
        )
        with contextlib.suppress(UnreadableError):  # no other error, that is
            assert take(str(archive)).sources.keys() <= sources.keys()


def test_encrypted_and_uncommon(tmp_path: Path) -> None:
    """an encrypted zip cannot be checked; a compression without a bound on what it unpacks to is not begun"""
    archive = zipped(tmp_path / "ann", {"rope.py": ROPE})
    data = bytearray(archive.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    archive.write_bytes(data)
    with pytest.raises(UnreadableError, match="encrypted"):
        take(str(archive))
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_BZIP2) as other:
        other.writestr("rope.py", bytes(1 << 26))
    with pytest.raises(UnreadableError, match="uncommon"):
        take(str(tmp_path / "b.zip"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_twice_and_in_other_letters(tmp_path: Path) -> None:
    """the last of two members of one name counts, as it would after unpacking; other letters are another name"""
    twice = [(member("rope.py"), b"first"), (member("./rope.py"), ROPE), (member("ROPE.py"), b"loud")]
    taken = take(tar_of(tmp_path / "a.tar", *twice))
    assert taken.sources == {"rope": ROPE}
    assert "rope.py is in it more than once; the last was taken" in taken.notes
    assert any("ROPE.py was left out" in note for note in taken.notes)
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("rope.py", b"first")
        archive.writestr("rope.py", ROPE)
    assert take(str(tmp_path / "b.zip")).sources == {"rope": ROPE}
    inside = [(member("rope.py"), ROPE), (member("rope.py/bpe.py"), BPE)]
    assert take(tar_of(tmp_path / "c.tar", *inside)).sources == {"rope": ROPE}


def test_names_that_are_no_text(tmp_path: Path) -> None:
    """names in other encodings, with control characters, or endless, neither stop the rest nor reach a terminal raw"""
    odd = ["caf\udce9/rope.py", "\x1b[31mred/conftest.py", "a\nb/conftest.py", "x" * 300 + "/rope.py"]
    members = [(member(name), ROPE) for name in odd]
    with tarfile.open(tmp_path / "a.tar", "w", errors="surrogateescape") as archive:
        for info, content in [*members, (member("katas/bpe/bpe.py"), BPE), (member("katas/rope/rope.py"), ROPE)]:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    taken = take(str(tmp_path / "a.tar"))
    assert taken.sources == {"bpe": BPE, "rope": ROPE}
    assert all(note.isprintable() for note in taken.notes)


@pytest.mark.parametrize("form", FORMS)
def test_files_that_would_steer_the_grader(form: str, tmp_path: Path) -> None:
    """conftest.py, sitecustomize.py, .pth, modules that shadow others, results and workflows are told of, not taken"""
    steering = [
        *("conftest.py", "katas/rope/conftest.py", "pytest.ini", "sitecustomize.py", "a.pth", "torch.py"),
        *("json.py", "results.json", "katas/rope/test_rope.py", ".github/workflows/grade.yml"),
        *(".dojo/progress.json", "runs/d4/report.json"),
    ]
    files = dict.fromkeys(steering, b"raise SystemExit('it was run')\n") | {"katas/rope/rope.py": ROPE}
    taken = take(str(FORMS[form](tmp_path / "ann", files)))
    assert taken.sources == {"rope": ROPE}
    (note,) = [note for note in taken.notes if note.startswith("also in it, neither read nor run: ")]
    told = note.partition(": ")[2].partition(" and ")[0].split(", ")
    assert set(told) <= set(steering)
    assert len(told) == 8
    assert note.endswith("and 4 more")

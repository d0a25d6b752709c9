"""Who handed in what: the layouts in which platforms give out a class."""

from __future__ import annotations

from pathlib import Path

import pytest

from dojo.curriculum import KATAS, find_kata
from dojo.grading.intake import take_all
from dojo.grading.roster import Submission, expand
from reference.errors import UserError
from tests.grading.test_intake import BPE, ROPE, folder, tarred, zipped


def roster(tmp_path: Path, *words: object) -> dict[str, Submission]:
    place = tmp_path / "unpacked"
    place.mkdir(exist_ok=True)
    submissions, _ = expand([str(word) for word in words], KATAS, place)
    return {one.name: one for one in submissions}


def sources(found: dict[str, Submission]) -> dict[str, dict[str, bytes]]:
    return {name: take_all(one.where).sources for name, one in found.items()}


LAYOUTS = {
    "GitHub Classroom": {
        "week-1-ann/katas/rope/rope.py": ROPE,
        "week-1-ann/conftest.py": b"",
        "week-1-bob/katas/rope/rope.py": BPE,
    },
    "Moodle": {
        "Ann Lee_12_assignsubmission_file_/rope.py": ROPE,
        "Bob Ode_13_assignsubmission_file_/my work/rope.py": BPE,
    },
    "Gradescope": {
        "submission_metadata.yml": b"",
        "submission_1/rope.py": ROPE,
        "submission_2/rope.py": BPE,
    },
    "Canvas": {
        "annlee_1_101_rope.py": ROPE,
        "bobode_LATE_2_102_rope-1.py": BPE,
    },
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("form", ["folder", "zip", "tar"])
def test_layouts(layout: str, form: str, tmp_path: Path) -> None:
    """a class comes out as two submissions with names of their own, as a folder and as one archive"""
    make = {"folder": folder, "zip": zipped, "tar": tarred}[form]
    found = sources(roster(tmp_path, make(tmp_path / "class", LAYOUTS[layout])))
    assert sorted(map(str, found.values())) == sorted([str({"rope": ROPE}), str({"rope": BPE})])
    assert all(name[:3].lower() in ("ann", "bob", "wee", "sub") for name in found)


def test_a_folder_of_archives(tmp_path: Path) -> None:
    """an archive for each person is a class as well; who handed in nothing useful is still in it"""
    (tmp_path / "class").mkdir()
    zipped(tmp_path / "class" / "ann", {"repo-main/katas/rope/rope.py": ROPE})
    tarred(tmp_path / "class" / "bob", {"rope.py": BPE}, "gz")
    folder(tmp_path / "class" / "cid", {"essay.txt": b""})
    (tmp_path / "class" / "grades.csv").write_text("")
    (tmp_path / "class" / "link").symlink_to("/etc")
    found = roster(tmp_path, tmp_path / "class")
    assert sources(found) == {"ann": {"rope": ROPE}, "bob": {"rope": BPE}, "cid": {}}
    _, passed_over = expand([str(tmp_path / "class")], KATAS, tmp_path / "other")
    assert passed_over == ["grades.csv", "link"]


def test_a_class_archive_keeps_who_has_nothing(tmp_path: Path) -> None:
    """a person without a solution is not lost where the class is one archive"""
    files = {"class/ann/rope.py": ROPE, "class/bob/rope.py": BPE, "class/cid/essay.txt": b""}
    assert sources(roster(tmp_path, zipped(tmp_path / "class", files))) == {
        "ann": {"rope": ROPE},
        "bob": {"rope": BPE},
        "cid": {},
    }


def test_one_submission(tmp_path: Path) -> None:
    """a repository, a folder of solutions, an archive of one, a single file: one submission, named after it"""
    inside = {"repo-main/katas/rope/rope.py": ROPE, "repo-main/notes/a.txt": b"", "repo-main/docs/b.txt": b""}
    words = {
        "ann": folder(tmp_path / "ann", {"katas/rope/rope.py": ROPE, "tools/build.sh": b""}),
        "bob": folder(tmp_path / "bob", {"rope.py": ROPE, "old/rope.py": BPE}),
        "cid": folder(tmp_path / "cid", inside),
        "dan": zipped(tmp_path / "dan", inside),
        "eve": tarred(tmp_path / "eve", {"rope.py": ROPE, "b/c.txt": b""}),
        "rope": folder(tmp_path / "single", {"rope.py": ROPE}) / "rope.py",
    }
    assert sources(roster(tmp_path, *words.values())) == {name: {"rope": ROPE} for name in words}


def test_order_changes_nothing(tmp_path: Path) -> None:
    """names are the same in any order of the arguments, and one place named twice is one submission"""
    places = [folder(tmp_path / where / "ann", {"rope.py": where.encode()}) for where in ("x", "y", "Z")]
    one, other = roster(tmp_path, *places), roster(tmp_path, *reversed(places), places[1])
    assert one == other
    assert sorted(one) == ["ann", "ann-2", "ann-3"]


def test_an_archive_that_is_broken(tmp_path: Path) -> None:
    """it is a submission with a problem and does not stop the others"""
    (tmp_path / "ann.zip").write_bytes(b"PK\3\4 and no more")
    found = roster(tmp_path, tmp_path / "ann.zip", folder(tmp_path / "bob", {"rope.py": ROPE}))
    assert "truncated or damaged" in found["ann"].problem
    assert found["bob"].problem == ""


def test_urls(tmp_path: Path) -> None:
    """addresses of repositories are taken as they are, and named after their last part"""
    words = ["https://github.com/ann/nano.git", "git@github.com:bob/katas.git"]
    found = roster(tmp_path, *words)
    assert {name: one.where for name, one in found.items()} == {"nano": (words[0],), "katas": (words[1],)}


def test_what_is_refused(tmp_path: Path) -> None:
    """a name that is nothing, and a file whose name tells no kata unless one is asked for"""
    with pytest.raises(UserError, match="There is nothing at"):
        expand([str(tmp_path / "none")], KATAS, tmp_path)
    file = folder(tmp_path / "a", {"mine.py": ROPE}) / "mine.py"
    with pytest.raises(UserError, match="--kata"):
        expand([str(file)], KATAS, tmp_path)
    rope = find_kata("rope")
    assert rope is not None
    ((one,), _) = expand([str(file)], [rope], tmp_path)
    assert one.where == (str(file),)

"""The files for other systems: their formats, and that a submission's text stays text in all of them."""

from __future__ import annotations

import base64
import csv
import dataclasses
import io
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from jsonschema import validate
from markdown_it import MarkdownIt

from dojo.curriculum import KATAS, ROOT
from dojo.grading.files import write_whole
from dojo.grading.formats.classroom import LARGEST, encoded, runner_result
from dojo.grading.formats.gradescope import failed_json, results_json
from dojo.grading.formats.junit import junit_xml
from dojo.grading.formats.page import code, fenced, page
from dojo.grading.formats.summary import diagnoses, page_of, summarize
from dojo.grading.formats.tables import cell, class_csv
from dojo.grading.formats.tables import tests_csv as table_of_tests
from dojo.grading.schema import Isolation, KataResult, Status, SubmissionResult, TestResult, to_json

EVIL = (
    "\x1b[31m\x00\ud800\ufffe\u202e]]> </failure> <script>alert(1)</script> &amp;\n# Passed: 100 of 100\n"
    "```\n````````\n~~~\n<h1>done</h1>\n![x](http://a.b/c.png) [y](http://a.b) @octocat #1 http://a.b |x|\n"
    "=cmd|' /C calc'!A0"
)
PASSED = TestResult("test_a[1]", "a holds", 2.0, 2.0, Status.PASSED, seconds=0.25)
FAILED = TestResult("test_b[<&>]", "b holds", 3.0, 0.5, Status.FAILED, "", EVIL, ("neighbors",), hidden=True)
BEYOND = TestResult("test_c", "c is quick", 0.0, 0.0, Status.FAILED, "", "slow", stretch=True)
UNCHECKED = TestResult("test_d", "d holds", 1.0, 0.0, Status.UNCHECKED, "the machine was full")
ROPE = KataResult("03", "rope", "angles", Status.FAILED, "", (PASSED, FAILED, BEYOND), (EVIL,), 1.5, "ab")
TOOLS = KataResult("09", "tools", "a calculator", Status.UNCHECKED, "", (PASSED, UNCHECKED), (), 2.5, "cd")
NOTHING = KataResult("02", "rmsnorm", "size", Status.FAILED, f"no file; {EVIL}")
RESULT = SubmissionResult(
    "=ann",
    (NOTHING, ROPE, TOOLS),
    Isolation("limits", ("cpu time",), ("the network",)),
    4711,
    {"python": "3.11"},
    "2026-01-02T03:04:05+00:00",
    4.0,
    (f"left out: {EVIL}",),
    "key",
)
GOOD = SubmissionResult(
    "bob", (dataclasses.replace(ROPE, status=Status.PASSED, tests=(PASSED,), advisories=()),), Isolation("bubblewrap")
)

VISIBILITY = {"enum": ["hidden", "after_due_date", "after_published", "visible"]}
OUTPUT = {"enum": ["text", "html", "simple_format", "md", "ansi"]}
# After https://gradescope-autograders.readthedocs.io/en/latest/specs/, which gives no schema of its own.
GRADESCOPE = {
    "type": "object",
    "additionalProperties": False,
    "anyOf": [{"required": ["score"]}, {"required": ["tests"]}],
    "properties": {
        "score": {"type": "number"},
        "execution_time": {"type": "number"},
        "output": {"type": "string"},
        "output_format": OUTPUT,
        "test_output_format": OUTPUT,
        "test_name_format": OUTPUT,
        "visibility": VISIBILITY,
        "stdout_visibility": VISIBILITY,
        "extra_data": {"type": "object"},
        "leaderboard": {"type": "array"},
        "tests": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "score": {"type": "number"},
                    "max_score": {"type": "number"},
                    "status": {"enum": ["passed", "failed"]},
                    "name": {"type": "string"},
                    "name_format": OUTPUT,
                    "number": {"type": "string"},
                    "output": {"type": "string"},
                    "output_format": OUTPUT,
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "visibility": VISIBILITY,
                    "extra_data": {"type": "object"},
                },
            },
        },
    },
}
CLASSROOM = {
    "type": "object",
    "required": ["version", "status", "max_score", "tests"],
    "properties": {
        "version": {"const": 1},
        "status": {"enum": ["pass", "fail", "error"]},
        "max_score": {"type": "number"},
        "tests": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["name", "status", "score", "message"],
                "properties": {
                    "name": {"type": "string"},
                    "status": {"enum": ["pass", "fail", "error"]},
                    "score": {"type": "number"},
                    "message": {"type": ["string", "null"]},
                },
            },
        },
    },
}


@pytest.mark.parametrize("text", [results_json(RESULT), results_json(GOOD), failed_json(EVIL)])
def test_gradescope_format(text: str) -> None:
    """results.json keeps to the documented names and types"""
    validate(json.loads(text), GRADESCOPE)
    assert text.isascii()


def test_gradescope_says_what_it_must() -> None:
    """points add up, hidden tests wait until grades are published, the seed is not told, what is unchecked is said"""
    found = json.loads(results_json(RESULT))
    assert found["score"] == sum(test.get("score", 0) for test in found["tests"]) == 4.5
    assert [test.get("visibility") for test in found["tests"]] == [None, "visible", "after_published", *["visible"] * 3]
    assert "4711" not in found["output"] + "".join(test["output"] for test in found["tests"])
    assert found["extra_data"]["hidden_seed"] == 4711
    assert "COULD NOT BE CHECKED" in found["output"]
    assert found["tests"][-1]["name"] == "09 tools: could not be checked: d holds"
    assert found["tests"][-1]["output"] == "the machine was full"
    assert "COULD NOT BE CHECKED" not in json.loads(results_json(GOOD))["output"]
    assert "COULD NOT BE CHECKED" in json.loads(failed_json("x"))["output"]


def test_classroom_format() -> None:
    """the reporter's names and types; scores are the tests', and a long message does not burst a variable"""
    for kata in (NOTHING, ROPE, TOOLS):
        validate(runner_result(kata), CLASSROOM)
    found = json.loads(base64.b64decode(encoded(runner_result(ROPE))))
    assert (found["status"], found["max_score"]) == ("fail", 5.0)
    assert sum(test["score"] for test in found["tests"]) == 2.5
    assert runner_result(TOOLS)["status"] == runner_result(TOOLS)["tests"][1]["status"] == "error"
    many = dataclasses.replace(ROPE, tests=(dataclasses.replace(FAILED, feedback="x\u20ac" * 5000),) * 150)
    small = runner_result(many)
    assert len(encoded(small)) <= LARGEST
    assert len(small["tests"]) == 150
    assert all("left out" in test["message"] for test in small["tests"])


# What junit-10.xsd of the Jenkins xUnit plugin allows: attributes and children of each element.
JUNIT: dict[str, tuple[set[str], set[str]]] = {
    "testsuites": ({"name", "time", "tests", "failures", "disabled", "errors"}, {"testsuite"}),
    "testsuite": (
        {
            "name",
            "tests",
            "failures",
            "errors",
            "time",
            "disabled",
            "skipped",
            "timestamp",
            "hostname",
            "id",
            "package",
        },
        {"properties", "testcase", "system-out", "system-err"},
    ),
    "testcase": ({"name", "assertions", "time", "classname", "status"}, {"skipped", "error", "failure", "system-out"}),
    "failure": ({"type", "message"}, set()),
    "error": ({"type", "message"}, set()),
    "skipped": ({"message"}, set()),
}


def test_junit_format() -> None:
    """well-formed, with the elements, attributes and counts of the schema, and the text of the learner unharmed"""
    text = junit_xml(RESULT)
    root = ET.fromstring(text.encode())
    for element in root.iter():
        attributes, children = JUNIT[element.tag]
        assert set(element.attrib) <= attributes
        assert {child.tag for child in element} <= children
    suites = {suite.get("name"): suite for suite in root}
    assert list(suites) == ["02 rmsnorm", "03 rope", "09 tools"]
    for suite in root:
        assert int(suite.get("tests", "")) == len(suite.findall("testcase"))
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.get(name, "")) == len(suite.findall(f"testcase/{tag}"))
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("6", "2", "1")
    failure = suites["03 rope"].find("testcase/failure")
    assert failure is not None
    assert "<script>alert(1)</script>" in str(failure.text)
    assert "\\x1b[31m\\x00\\ud800" in str(failure.text)
    assert suites["03 rope"].get("timestamp") == "2026-01-02T03:04:05"
    assert suites["09 tools"].find("testcase/error") is not None


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_class_table() -> None:
    """a row for each submission, columns for each kata, also where only some have it, and no cell is a formula"""
    ann, bob = rows(class_csv(lambda: iter([RESULT, GOOD])))
    assert (ann["name"], ann["status"], ann["earned"], ann["points"]) == ("'=ann", "unchecked", "4.5", "8.0")
    assert (bob["percent"], bob["03 rope earned"], bob["09 tools status"]) == ("100.0", "2.0", "")
    for line in csv.reader(io.StringIO(class_csv(lambda: iter([RESULT])))):
        assert all(not value.lstrip().startswith(("=", "+", "-", "@")) for value in line)
        assert all(value.isprintable() for value in line)


def test_table_of_tests() -> None:
    """a column for each test; what was not checked is empty and not 0"""
    ann, bob = rows(table_of_tests(lambda: iter([RESULT, GOOD])))
    assert ann == {
        "name": "'=ann",
        "rope::test_a[1]": "2.0",
        "rope::hidden test_b[<&>]": "0.5",
        "rope::test_c": "0.0",
        "tools::test_a[1]": "2.0",
        "tools::test_d": "",
    }
    assert (bob["rope::test_a[1]"], bob["rope::test_c"]) == ("2.0", "")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\uff1d1", "'x", "|x", "%x"])
def test_no_formulas(text: str) -> None:
    """what a spreadsheet would take for a formula begins with an apostrophe; figures stay figures"""
    assert str(cell(text))[0] in "'\\"
    assert cell(-1.5) == -1.5
    assert cell("x=1") == "x=1"


def text_outside_code(page: str) -> str:
    """What a CommonMark reader takes for text, after making sure that it finds nothing active."""
    outside: list[str] = []
    waiting = list(MarkdownIt("commonmark").enable("table").parse(page))
    while waiting:
        token = waiting.pop()
        assert token.type not in ("html_block", "html_inline", "link_open", "image", "code_block", "lheading_open")
        waiting += token.children or []
        if token.type == "text":
            outside.append(token.content)
    return "\n".join(outside)


def test_pages_hold_foreign_text() -> None:
    """nothing of a submission's text is left once code is taken away: no heading, HTML, link, mention, or table cell"""
    for text in (page(RESULT), page_of(summarize([RESULT, GOOD], (), [EVIL]))):
        outside = text_outside_code(text)
        assert "rope" in outside
        for foreign in ("script", "h1", "octocat", "100 of 100", "http", "a.b", "calc", "#1", "~~~"):
            assert foreign not in outside
    assert "(hidden): 0.5 of 3" in page(RESULT)
    assert "hidden seed 4711" in page(RESULT)
    assert "not held: the network" in page(RESULT)
    assert "**Not everything could be checked.**" in page(RESULT)
    assert "Not everything" not in page(GOOD)


@pytest.mark.parametrize("text", ["", "`", "``", "a`", "`a", "a``b```c", " ", "\\", "a\nb", "|", "x" * 2000])
def test_code_spans(text: str) -> None:
    """any text fits into a code span and a block"""
    assert text_outside_code(code(text)) == ""
    assert text_outside_code("\n".join(fenced(text))) == ""


def test_code_spans_in_tables() -> None:
    """a bar in a name does not end the cell"""
    table = f"| a | b |\n|---|---|\n| {code('x|y')} | z |\n"
    tokens = MarkdownIt("commonmark").enable("table").parse(table)
    cells = [after.content for token, after in pairwise(tokens) if token.type == "td_open"]
    assert cells == ["`x|y`", "z"]


def test_summary() -> None:
    """counts tests and mistakes once for each submission, and leaves what could not be checked out of the figures"""
    none = dataclasses.replace(GOOD, name="cid", katas=(NOTHING,))
    worse = dataclasses.replace(GOOD, name="dan", katas=(ROPE,))
    summary: dict[str, Any] = json.loads(json.dumps(summarize([RESULT, GOOD, none, worse])))
    assert summary["submissions"] == 4
    assert summary["unchecked"] == ["=ann"]
    assert summary["percent"]["most"] == 100.0
    assert summary["percent"]["median"] == 50.0
    assert summary["histogram"] == [1, 0, 0, 0, 0, 1, 0, 0, 0, 1]
    (missed,) = summary["missed"]
    assert (missed["test"], missed["submissions"]) == ("test_b", 2)
    (mistake,) = summary["mistakes"]
    assert (mistake["kata"], mistake["mistake"], mistake["submissions"]) == ("rope", "neighbors", 2)
    assert summary["katas"]["03 rope"]["passed"] == 1
    assert summary["katas"]["03 rope"]["seconds"]["median"] == 1.5
    assert "| 2 | rope |" in page_of(summary)
    assert "# 0 submissions" in page_of(summarize([]))


def test_diagnoses_are_the_katas_own() -> None:
    """what the summary says of a mistake is the docstring in the kata's mistakes.py"""
    found = diagnoses("rope")
    assert len(found) > 10
    assert all(len(text) > 20 for text in found.values())
    assert diagnoses("none") == {}


def test_all_files_are_made_anew_from_the_results(tmp_path: Path) -> None:
    """from checked results alone, with nothing but the standard library; what is no result of the schema is refused"""
    command = [sys.executable, "-S", "-m", "dojo.grading.formats", str(tmp_path)]
    place = tmp_path / "submissions"

    def made() -> tuple[int, str]:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    rope = dataclasses.replace(GOOD.katas[0], title=KATAS[2].title)
    write_whole(place / "bob.json", to_json(dataclasses.replace(GOOD, katas=(rope,))))
    assert made() == (0, "")
    assert "bob" in (tmp_path / "class.csv").read_text()
    assert (tmp_path / "summary.md").read_text().startswith("# 1 submission\n")
    for result, why in [
        (dataclasses.replace(GOOD, name="eve"), "tells of katas that there are not"),
        (dataclasses.replace(GOOD, name="ann", katas=(rope,)), "holds the result of another submission"),
    ]:
        write_whole(place / "eve.json", to_json(result))
        status, said = made()
        assert status == 2
        assert why in said
    write_whole(place / "eve.json", "{}")
    assert "cannot be used: this is not a SubmissionResult" in made()[1]

"""JUnit XML for one submission: a suite for each kata.

As the Jenkins xUnit schema (junit-10.xsd) has it. What could not be checked is an error, a stretch goal that was
missed is skipped.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from dojo.grading.files import printable
from dojo.grading.formats.text import LONGEST, first_line, shortened
from dojo.grading.schema import KataResult, Status, SubmissionResult, TestResult


def junit_xml(result: SubmissionResult) -> str:
    root = ET.Element("testsuites", name=printable(result.name))
    counted = {"tests": 0, "failures": 0, "errors": 0}
    for kata in result.katas:
        suite = _suite(result, kata)
        root.append(suite)
        counted = {name: count + int(suite.get(name, "0")) for name, count in counted.items()}
    root.attrib.update({name: str(count) for name, count in counted.items()}, time=f"{result.seconds:.3f}")
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(result: SubmissionResult, kata: KataResult) -> ET.Element:
    nothing = TestResult(kata.name, kata.title, 0.0, 0.0, kata.status, kata.reason, kata.reason)
    cases = [_case(result, kata, test) for test in kata.tests or (nothing,)]
    kinds = [child.tag for case in cases for child in case]
    suite = ET.Element("testsuite", name=f"{kata.label} {kata.name}", tests=str(len(cases)))
    counts = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    suite.attrib.update({name: str(kinds.count(kind)) for name, kind in counts.items()}, time=f"{kata.seconds:.3f}")
    if len(result.started) >= 19:
        suite.set("timestamp", result.started[:19])
    suite.extend(cases)
    return suite


def _case(result: SubmissionResult, kata: KataResult, test: TestResult) -> ET.Element:
    classname = f"{result.name}.katas.{kata.name}"
    case = ET.Element("testcase", name=printable(test.name), classname=printable(classname), time=f"{test.seconds:.3f}")
    if test.status is Status.PASSED:
        return case
    tag = "error" if test.status is Status.UNCHECKED else "skipped" if test.stretch else "failure"
    about = ET.SubElement(case, tag, message=first_line(test.sentence))
    if tag != "skipped":
        about.set("type", test.mistakes[0] if test.mistakes else test.status.value)
    about.text = shortened(test.reason if tag == "error" else test.feedback, LONGEST)
    return case

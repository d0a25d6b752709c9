"""The report's section on evaluations: every figure at its place, and never a published one for one of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reference.evaluations import note
from reference.report import collect, write_report
from reference.report_evaluations import section
from reference.report_text import markdown
from reference.run import Run

MEASURED: dict[str, dict[str, Any]] = {
    "tokenizer": {"bytes_per_token": {"news": {"ours": 4.5, "gpt2": 4.25}, "korean": {"ours": 1.5}}},
    "base": {
        "bits_per_byte": {"train": 0.75, "val": 0.8125},
        "core": 0.125,
        "core_tasks": {"copa": 0.5},
        "core_questions": 500,
    },
    "sft": {
        "exams": {"gsm8k": {"correct": 3, "total": 8}, "mmlu": {"correct": 1, "total": 4}},
        "chat_core": None,
        "chat_core_five": None,
        "pass_at_k": {"unbiased": {"1": 0.25, "2": 0.375}, "first_k": {"1": 0.125, "2": 0.5}},
    },
}


def cells(text: str, beginning: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {beginning} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def text_of(measured: dict[str, dict[str, Any]], folder: Path) -> str:
    run = Run.create(folder / "runs", "d20", {"preset": "d20", "seed": 0})
    for stage, results in measured.items():
        note(run, stage, **results)
    return markdown(collect(run), set())


def test_every_figure_stands_under_its_stage(tmp_path: Path) -> None:
    """Ours first, then the published ones in columns of their own; what is not measured is left out."""
    text = text_of(MEASURED, tmp_path)
    assert "|  | base | mid | sft | rl | n | d20: base | d20: mid | d20: sft | d20: rl |" in text
    assert cells(text, "CORE")[1:] == ["0.1250", "", "", "", "500 of each", "0.2219", "", "", ""]
    assert cells(text, "GSM8K")[1:] == ["", "", "0.3750", "", "8", "", "0.0250", "0.0455", "0.0758"]
    assert cells(text, "MMLU")[1:] == ["", "", "0.2500", "", "4", "", "0.3111", "0.3151", ""]
    assert "Bits per byte after base: 0.7500 on train, 0.8125 on val." in text
    assert "the first 500 questions of each" in text
    assert "HumanEval" not in text
    assert "| ChatCORE" not in text
    assert cells(text, "after sft, unbiased estimate")[1:] == ["0.250", "0.375"]
    assert cells(text, "after sft, any of the first k")[1:] == ["0.125", "0.500"]
    assert cells(text, "copa")[1:] == ["0.5000"]
    assert cells(text, "news")[1:] == ["4.50", "4.25"]
    assert cells(text, "korean")[1:] == ["1.50", ""]


def test_a_report_without_evaluations_has_no_such_section(tmp_path: Path) -> None:
    """Nor the published figures, alone."""
    text = text_of({}, tmp_path)
    assert "scores" not in text
    assert "nanochat" not in text
    assert section({}, lambda head, rows: "table") == []


def test_the_source_is_named_where_its_figures_stand(tmp_path: Path) -> None:
    """Not where nothing is compared."""
    assert "nanochat" not in text_of({"base": {"bits_per_byte": {"val": 1.0}}}, tmp_path)


def test_report_json_keeps_all_of_it(tmp_path: Path) -> None:
    """As the commands have kept it."""
    run = Run.create(tmp_path / "runs", "d20", {"preset": "d20", "seed": 0})
    for stage, results in MEASURED.items():
        note(run, stage, **results)
    write_report(run)
    assert json.loads((run.path / "report.json").read_text())["evaluations"] == MEASURED


def test_what_was_not_measured_is_said(tmp_path: Path) -> None:
    """At scale: every figure that a complete stage could have, every set it went without, with what would mend it."""
    run = Run.create(tmp_path / "runs", "d20", {"preset": "d20", "seed": 0, "settings": {"curriculum": "hub"}})
    for stage in ("tokenizer", "base", "mid", "sft"):
        (run.path / stage).mkdir()
        run.mark_complete(stage, seconds=1.0, facts={"missing": ["smoltalk"]} if stage == "mid" else {})
    six = ("arc_easy", "arc_challenge", "mmlu", "gsm8k", "humaneval", "spelling_bee")
    note(run, "base", bits_per_byte={"val": 1.0}, core=None)
    note(run, "mid", exams={name: {"correct": 1, "total": 4} for name in six})
    note(run, "sft", exams={name: {"correct": 1, "total": 8} for name in six if name != "humaneval"})
    report = collect(run)
    assert report["not_measured"] == [
        "bytes per token (tok-eval)",
        "CORE after base (base-eval)",
        "HumanEval after sft (chat-eval --stage sft)",
    ]
    text = markdown(report, set())
    assert "**Not measured: bytes per token (tok-eval); CORE after base" in text
    assert "**Left out of mid, for its data set was not there: smoltalk.**" in text
    assert cells(text, "GSM8K")[5] == "4 / 8"
    run.forget(["sft"])
    assert "HumanEval" not in str(collect(run)["not_measured"])
    assert "sft" not in collect(run)["evaluations"], "of a model that is no more"

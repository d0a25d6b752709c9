"""The report of a run at scale: its evaluations beside the published ones, its hardware and what it cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reference.evaluations import note
from reference.report import write_report
from reference.report_evaluations import PUBLISHED
from reference.run import Run

EXAMS = {"mid": {"gsm8k": (33, 1319), "mmlu": (4368, 14042)}, "sft": {"gsm8k": (60, 1319), "mmlu": (4424, 14042)}}


def made_up(root: Path, **machine: Any) -> Run:
    """A run of depth 20 up to sft, with evaluations."""
    run = Run.create(root, "d20", {"preset": "d20", "seed": 0, "data": "/data"})
    run.update(machine={"cpu": "a CPU", "cores": 96, "devices": 8, **machine})
    for stage, seconds in (("tokenizer", 600.0), ("base", 10_800.0), ("mid", 480.0), ("sft", 420.0)):
        for step in range(3 if stage != "tokenizer" else 0):
            run.log(stage, step, loss=3.0 - step, bpb=0.9 - step / 10, tokens_per_second=1e6, mfu=0.41 + step / 100)
        facts = {"bpb_before": 3.2, "bpb_after": 0.81, "parameters": 560_988_160} if stage == "base" else {}
        run.mark_complete(stage, seconds=seconds, facts=facts)
    note(run, "base", core=0.2123, bits_per_byte={"train": 0.8, "val": 0.8125})
    for stage, exams in EXAMS.items():
        counts = {name: {"correct": right, "total": total} for name, (right, total) in exams.items()}
        note(run, stage, exams=counts, chat_core=None, chat_core_five=0.075)
    return run


def row(text: str, name: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_stage_beside_stage(tmp_path: Path) -> None:
    """A row per evaluation, a column per stage, nanochat's published figures in columns that say whose they are."""
    write_report(made_up(tmp_path))
    text = (tmp_path / "d20" / "report.md").read_text()
    assert "|  | base | mid | sft | rl | n | d20: base | d20: mid | d20: sft | d20: rl |" in text
    assert row(text, "CORE") == ["0.2123", "", "", "", "", "0.2219", "", "", ""]
    assert row(text, "GSM8K") == ["", "0.0250", "0.0455", "", "1,319", "", "0.0250", "0.0455", "0.0758"]
    assert row(text, "MMLU") == ["", "0.3111", "0.3151", "", "14,042", "", "0.3111", "0.3151", ""]
    assert row(text, "ChatCORE, five exams") == ["", "0.0750", "0.0750", "", "", "", "0.0730", "0.0884", ""]
    assert "ChatCORE, six exams" not in text
    assert "github.com/karpathy/nanochat/discussions/1" in text
    assert "Bits per byte after base: 0.8000 on train, 0.8125 on val." in text


def test_the_published_figures_agree_with_one_another() -> None:
    """nanochat's ChatCORE is the mean over five exams of accuracy above chance, 1/4 where letters are chosen."""
    for stage in ("mid", "sft"):
        letters = [(PUBLISHED[name][stage] - 0.25) / 0.75 for name in ("arc_challenge", "arc_easy", "mmlu")]
        mean = (sum(letters) + PUBLISHED["gsm8k"][stage] + PUBLISHED["humaneval"][stage]) / 5
        assert mean == pytest.approx(PUBLISHED["chat_core_five"][stage], abs=6e-5)


def test_hardware_and_cost(tmp_path: Path) -> None:
    """On GPUs whose price is known the report says how many they were and what their hours cost; on a CPU not."""
    report = write_report(made_up(tmp_path / "gpu", gpu="NVIDIA H100 80GB HBM3"))
    hours = 8 * (600 + 10_800 + 480 + 420) / 3600
    assert report["cost"] == {
        "gpu_hours": pytest.approx(hours),
        "dollars_per_gpu_hour": 3.0,
        "dollars": pytest.approx(3 * hours),
    }
    text = (tmp_path / "gpu" / "d20" / "report.md").read_text()
    assert "took 205.0 minutes on 8 x NVIDIA H100 80GB HBM3. At about 3.00 dollars per GPU and hour" in text
    assert "have cost 82.00 dollars, evaluations not counted" in text
    assert "| stage | seconds | steps | tokens | tokens/s | MFU | complete |" in text
    assert row(text, "base")[4] == "42.0%"
    report = write_report(made_up(tmp_path / "cpu"))
    assert "cost" not in report
    assert "minutes on 96 cores of a CPU." in (tmp_path / "cpu" / "d20" / "report.md").read_text()
    assert json.loads((tmp_path / "cpu" / "d20" / "report.json").read_text()) == report

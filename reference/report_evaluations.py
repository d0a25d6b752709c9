"""The part of report.md on what the evaluating commands measured, nanochat's published figures beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

STAGES = ("base", "mid", "sft", "rl")
EXAMS = {
    "arc_easy": "ARC-Easy",
    "arc_challenge": "ARC-Challenge",
    "mmlu": "MMLU",
    "gsm8k": "GSM8K",
    "humaneval": "HumanEval",
    "spelling_bee": "SpellingBee",
}
SCORES = {"core": "CORE", "chat_core": "ChatCORE, six exams", "chat_core_five": "ChatCORE, without SpellingBee"}
PUBLISHED = {  # of d20, by stage
    "core": {"base": 0.2219},
    "arc_easy": {"mid": 0.3561, "sft": 0.3876},
    "arc_challenge": {"mid": 0.2875, "sft": 0.2807},
    "mmlu": {"mid": 0.3111, "sft": 0.3151},
    "gsm8k": {"mid": 0.0250, "sft": 0.0455, "rl": 0.0758},
    "humaneval": {"mid": 0.0671, "sft": 0.0854},
    "chat_core_five": {"mid": 0.0730, "sft": 0.0884},
}
SOURCE = (
    "In brackets, for orientation: what is published of nanochat's d20 (2025, https://github.com/karpathy/nanochat, "
    "README), trained on 8 H100 GPUs in four hours. Those are not figures of this run."
)
Table = Callable[[Sequence[str], Sequence[Sequence[Any]]], str]


def section(evaluations: dict[str, dict[str, Any]], table: Table) -> list[str]:
    """Paragraphs of Markdown; none of what has not been measured.

    Args:
        evaluations: see evaluations.py.
        table: makes one of a head and rows.
    """
    return [
        *_scores(evaluations, table),
        *_pass_at_k(evaluations, table),
        *_core_tasks(evaluations, table),
        *_compression(evaluations.get("tokenizer", {}).get("bytes_per_token", {}), table),
    ]


def _scores(evaluations: dict[str, dict[str, Any]], table: Table) -> list[str]:
    stages = [stage for stage in STAGES if _figures(evaluations.get(stage, {}))]
    figures = {stage: _figures(evaluations[stage]) for stage in stages}
    asked = {name: count["total"] for stage in stages for name, count in evaluations[stage].get("exams", {}).items()}
    rows = []
    for key, name in {"bpb": "bits per byte, held-out text", **EXAMS, **SCORES}.items():
        if any(key in figures[stage] for stage in stages):
            of_stages = [_cell(figures[stage].get(key), PUBLISHED.get(key, {}).get(stage)) for stage in stages]
            rows.append([name, *of_stages, f"{asked[key]:,}" if key in asked else ""])
    if not rows:
        return []
    about = (
        "Exams: the share of right answers to n questions, greedy. CORE and ChatCORE: the mean over tasks of accuracy "
        "above chance, 0 for guessing and 1 for all right."
    )
    source = [SOURCE] if any("(" in cell for row in rows for cell in row[1:]) else []
    return [about, table(["", *(f"after {stage}" for stage in stages), "n"], rows), *source]


def _figures(measured: dict[str, Any]) -> dict[str, float]:
    found = {name: count["correct"] / count["total"] for name, count in measured.get("exams", {}).items()}
    found |= {key: measured[key] for key in SCORES if measured.get(key) is not None}
    if "val" in measured.get("bits_per_byte", {}):
        found["bpb"] = measured["bits_per_byte"]["val"]
    return found


def _cell(ours: float | None, published: float | None) -> str:
    return ("" if ours is None else f"{ours:.4f}") + ("" if published is None else f" ({published:.4f})")


def _pass_at_k(evaluations: dict[str, dict[str, Any]], table: Table) -> list[str]:
    by_stage = {stage: evaluations[stage]["pass_at_k"] for stage in STAGES if "pass_at_k" in evaluations.get(stage, {})}
    if not by_stage:
        return []
    ks = sorted({k for found in by_stage.values() for k in found["unbiased"]}, key=int)
    rows = [
        [f"after {stage}, {how}", *(f"{found[kind][k]:.3f}" if k in found[kind] else "" for k in ks)]
        for stage, found in by_stage.items()
        for kind, how in (("unbiased", "unbiased estimate"), ("first_k", "any of the first k"))
    ]
    return [
        "GSM8K problems that at least one of k sampled answers solves:",
        table(["", *(f"k = {k}" for k in ks)], rows),
    ]


def _core_tasks(evaluations: dict[str, dict[str, Any]], table: Table) -> list[str]:
    stages = [stage for stage in STAGES if evaluations.get(stage, {}).get("core_tasks")]
    if not stages:
        return []
    labels = list(dict.fromkeys(label for stage in stages for label in evaluations[stage]["core_tasks"]))
    rows = [[label, *(_cell(evaluations[s]["core_tasks"].get(label), None) for s in stages)] for label in labels]
    limits = {evaluations[stage].get("core_questions", 0) for stage in stages} - {0}
    few = f" (on the first {max(limits)} questions of each, or fewer)" if limits else ""
    return [f"The tasks of CORE, accuracy{few}:", table(["task", *(f"after {stage}" for stage in stages)], rows)]


def _compression(measured: dict[str, dict[str, float]], table: Table) -> list[str]:
    if not measured:
        return []
    names = list(dict.fromkeys(name for row in measured.values() for name in row))
    rows = [[title, *(f"{row[name]:.2f}" if name in row else "" for name in names)] for title, row in measured.items()]
    return ["Bytes of text per token:", table(["text", *names], rows)]

"""The part of report.md on what the evaluating commands measured, nanochat's published figures beside it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from reference.tasks.exams import CHANCE
from reference.tokenizer_evaluation import PEERS

STAGES = ("base", "mid", "sft", "rl")
ROWS = {  # name in evaluations/: what a reader calls it
    "core": "CORE",
    "arc_challenge": "ARC challenge",
    "arc_easy": "ARC easy",
    "gsm8k": "GSM8K",
    "humaneval": "HumanEval",
    "mmlu": "MMLU",
    "spelling_bee": "SpellingBee",
    "chat_core": "ChatCORE, six exams",
    "chat_core_five": "ChatCORE, five exams",
}
# nanochat's d20: https://github.com/karpathy/nanochat/discussions/1, October 2025
PUBLISHED: dict[str, dict[str, float]] = {
    "core": {"base": 0.2219},
    "arc_challenge": {"mid": 0.2875, "sft": 0.2807},
    "arc_easy": {"mid": 0.3561, "sft": 0.3876},
    "gsm8k": {"mid": 0.0250, "sft": 0.0455, "rl": 0.0758},
    "humaneval": {"mid": 0.0671, "sft": 0.0854},
    "mmlu": {"mid": 0.3111, "sft": 0.3151},
    "chat_core_five": {"mid": 0.0730, "sft": 0.0884},
}
MEASURES = {  # of a stage: {key in evaluations/: (what it is, the command)}
    "tokenizer": {"bytes_per_token": ("bytes per token", "tok-eval")},
    "base": {"bits_per_byte": ("bits per byte after base", "base-loss"), "core": ("CORE after base", "base-eval")},
}
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
    ours: dict[str, dict[str, float]] = {}
    asked: dict[str, list[str]] = {name: [] for name in ROWS}
    for stage, results in evaluations.items():
        for name, count in results.get("exams", {}).items():
            ours.setdefault(name, {})[stage] = count["correct"] / count["total"]
            asked[name].append(f"{count['total']:,}")
        if limit := results.get("core_questions"):
            asked["core"].append(f"{limit:,} of each")
        for name in ROWS:
            if results.get(name) is not None:
                ours.setdefault(name, {})[stage] = results[name]
    paragraphs = []
    if ours:
        rows = [
            [
                ROWS[name],
                *_cells(ours[name]),
                " / ".join(dict.fromkeys(asked[name])),
                *_cells(PUBLISHED.get(name, {})),
            ]
            for name in ROWS
            if name in ours
        ]
        paragraphs += [
            "Exams: the fraction of n questions answered rightly, greedy. CORE and ChatCORE: the mean over tasks of "
            "accuracy above chance, 0 for guessing and 1 for knowing all. The columns d20 are nanochat's, as published "
            "for a model of depth 20, trained in 3 h 51 min on eight H100 "
            "(https://github.com/karpathy/nanochat/discussions/1), for orientation.",
            table(["", *STAGES, "n", *(f"d20: {stage}" for stage in STAGES)], rows),
        ]
    for stage, results in evaluations.items():
        if "bits_per_byte" in results:
            bpb = ", ".join(f"{value:.4f} on {split}" for split, value in results["bits_per_byte"].items())
            paragraphs.append(f"Bits per byte after {stage}: {bpb}.")
    return paragraphs


def _cells(by_stage: dict[str, float]) -> list[str]:
    return [f"{by_stage[stage]:.4f}" if stage in by_stage else "" for stage in STAGES]


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
    found = {stage: evaluations[stage]["core_tasks"] for stage in stages}
    rows = [
        [label, *(f"{found[stage][label]:.4f}" if label in found[stage] else "" for stage in stages)]
        for label in labels
    ]
    limits = {evaluations[stage].get("core_questions", 0) for stage in stages} - {0}
    few = f" (on the first {max(limits)} questions of each, or fewer)" if limits else ""
    return [f"The tasks of CORE, accuracy{few}:", table(["task", *(f"after {stage}" for stage in stages)], rows)]


def _compression(measured: dict[str, dict[str, float]], table: Table) -> list[str]:
    if not measured:
        return []
    names = list(dict.fromkeys(name for row in measured.values() for name in row))
    rows = [[title, *(f"{row[name]:.2f}" if name in row else "" for name in names)] for title, row in measured.items()]
    absent = [f"{known_as}'s" for name, known_as in PEERS.items() if name not in names]
    without = f"; {' and '.join(absent)} tokenizer could not be had" if absent else ""
    return [f"Bytes of text per token{without}:", table(["text", *names], rows)]


def not_measured(complete: Collection[str], evaluations: dict[str, dict[str, Any]]) -> list[str]:
    """What no command has measured of the stages that are complete, with the command that does."""
    found = []
    for stage, measures in MEASURES.items():
        results = evaluations.get(stage, {})
        found += [
            f"{what} ({command})"
            for key, (what, command) in measures.items()
            if stage in complete and results.get(key) is None
        ]
    for stage in STAGES[1:]:
        exams = evaluations.get(stage, {}).get("exams", {})
        if stage in complete and (missing := [ROWS[name] for name in CHANCE if name not in exams]):
            found.append(f"{', '.join(missing)} after {stage} (chat-eval --stage {stage})")
    return found

"""The report of a run: report.json with stable keys, report.md to read, plots/*.png.

Keys of report.json; what a run has not done yet is absent:

    format                                1; changes when a key changes its meaning
    tag, preset, seed, data               what was asked for
    total_seconds                         wall time of all stages together
    peak_rss_gib, peak_gpu_gib            most memory a process held, and on its GPU, in GiB
    machine                               {cpu, cores, torch, compute_dtype, ...}
    stages.<stage>.seconds, .complete     <stage>: tokenizer, base, mid, sft, rl, report; the report's own seconds end
                                          when all but its files is made, and time.png leaves them out
    stages.<stage>.steps                  updates made; .tokens_per_second, .mfu: the median over them
    stages.<stage>.<fact>                 what else the stage noted, as stages.base.bpb_before and .bpb_after
    stages.rl.held_out                    at scale {problems, before: {k: pass@k}, after: {k: pass@k}}, of GSM8K's test
    tasks.<task>.<stage>                  right answers after <stage>, a fraction: greedy, held-out problems
    counts.<task>.<stage>                 {correct, total} behind that fraction
    intervals.<task>.<stage>              [low, high]: 95% Wilson score interval of that fraction
    cost                                  {gpu_hours, dollars_per_gpu_hour, dollars} of the stages, on GPUs alone
    pass_at_k.<stage>.<k>                 two-step problems solved by at least one of k samples, a fraction
    not_measured                          at scale, what no command has measured of the complete stages, and which would
    evaluations.<stage>                   what base-loss, base-eval, chat-eval and tok-eval measured, see evaluations.py
    samples                               [{stage, prompt, before, after}]
    parts.<part>                          {whose: "reference" | "learner", file, sha256, calls, stages}: the code that
                                          the last stage to call it ran, and its calls in all stages together
    parts.<part>.stages                   [{stage, whose, file, sha256, calls}]: what ran in every stage that called
                                          it; twice one stage if that was interrupted and went on with other code
"""

from __future__ import annotations

import json
import math
import time
from statistics import median
from typing import Any

from reference.checkpoint import write_atomically
from reference.evaluations import evaluations
from reference.gpus import GPUS
from reference.report_evaluations import not_measured
from reference.report_text import TASKS, markdown
from reference.run import STAGES, Run

FORMAT = 1


def write_report(run: Run, began: float | None = None) -> dict[str, Any]:
    """Write report.json, report.md and plots/*.png of what `run` has done so far.

    Every file is written whole or not at all, report.json last. Raises UserError when the disk is full.

    Args:
        run: is read, not changed.
        began: the time.monotonic() at which the stage report began, which then stands in its own report.

    Returns:
        The content of report.json.
    """
    from reference.plots import draw_all  # matplotlib takes a second to load, and only a report needs it

    plots = draw_all(run.metrics(), collect(run))
    report = collect(run, None if began is None else time.monotonic() - began)
    for name, png in plots.items():
        write_atomically(run.path / "plots" / name, png)
    write_atomically(run.path / "report.md", markdown(report, set(plots)).encode())
    write_atomically(run.path / "report.json", (json.dumps(report, indent=2, allow_nan=False) + "\n").encode())
    return report


def collect(run: Run, report_seconds: float | None = None) -> dict[str, Any]:
    """The content of report.json, from run.json and metrics.jsonl, and from how long the stage report takes."""
    config = run.config
    noted = dict(config["stages"])
    if report_seconds is not None:
        noted["report"] = {"seconds": report_seconds, "complete": True}
    stages = {stage: noted[stage] for stage in STAGES if stage in noted}
    facts = {name: _logged(run.metrics(name)) | stage.get("facts", {}) for name, stage in stages.items()}
    pass_at_k = {name: noted.pop("pass_at_k") for name, noted in facts.items() if "pass_at_k" in noted}
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for task in TASKS:
        answers = {name: stage.get("tasks", {}).get(task) for name, stage in stages.items()}
        counts[task] = {name: count for name, count in answers.items() if count and count["total"]}
    counts = {task: by_stage for task, by_stage in counts.items() if by_stage}
    asked = ("preset", "seed", "data", "peak_rss_gib", "peak_gpu_gib", "machine")
    measured, at_scale = evaluations(run), config.get("settings", {}).get("curriculum") == "hub"
    complete = [name for name, stage in stages.items() if stage.get("complete")]
    return {
        "format": FORMAT,
        "tag": run.tag,
        **{key: config[key] for key in asked if key in config},
        "total_seconds": sum(stage.get("seconds", 0.0) for stage in stages.values()),
        "stages": {
            name: {key: stage[key] for key in ("seconds", "complete") if key in stage} | facts[name]
            for name, stage in stages.items()
        },
        "tasks": _per_count(counts, lambda correct, total: correct / total),
        "counts": counts,
        "intervals": _per_count(counts, wilson_interval),
        **_cost(config.get("machine", {}), sum(stage.get("seconds", 0.0) for stage in stages.values())),
        "pass_at_k": pass_at_k,
        **({"evaluations": measured} if measured else {}),
        **({"not_measured": not_measured(complete, measured)} if at_scale else {}),
        "samples": [{"stage": name, **sample} for name, stage in stages.items() for sample in stage.get("samples", [])],
        "parts": config.get("parts", {}),
    }


def wilson_interval(correct: int, total: int, z: float = 1.959964) -> list[float]:
    """The interval [low, high] in which the true success rate lies with 95% confidence (for the default z).

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22 (1927). Unlike the
    usual p +- z s it is right near 0 and 1 and for few trials.
    """
    p = correct / total
    center = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    return [max(0.0, center - half), min(1.0, center + half)]


def _logged(lines: list[dict[str, Any]]) -> dict[str, Any]:
    steps = {line["step"] for line in lines if "loss" in line or "reward" in line}
    rates = [line["tokens_per_second"] for line in lines if "tokens_per_second" in line]
    shares = [line["mfu"] for line in lines if "mfu" in line]
    speed = {"tokens_per_second": median(rates)} if rates else {}
    return ({"steps": len(steps)} if steps else {}) | speed | ({"mfu": median(shares)} if shares else {})


def _cost(machine: dict[str, Any], seconds: float) -> dict[str, Any]:
    kind = next((kind for kind in GPUS if kind.name in machine.get("gpu", "")), None)
    if kind is None:
        return {}
    hours = seconds / 3600 * machine.get("devices", 1)
    return {"cost": {"gpu_hours": hours, "dollars_per_gpu_hour": kind.dollars, "dollars": hours * kind.dollars}}


def _per_count(counts: dict[str, dict[str, dict[str, int]]], function: Any) -> dict[str, dict[str, Any]]:
    return {
        task: {stage: function(count["correct"], count["total"]) for stage, count in by_stage.items()}
        for task, by_stage in counts.items()
    }

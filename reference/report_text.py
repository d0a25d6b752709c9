"""report.md: the lab report that a learner reads, made from report.json alone.

The numbers decide every sentence that judges: what improved, what stayed at chance, what is not learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reference import report_evaluations
from reference.report_scale import cost, held_out, left_out, where

TASKS = {  # key in report.json: what a reader calls it
    "identity": "identity",
    "capitals": "capitals",
    "opposites": "opposites",
    "colours": "colours",
    "multiple_choice": "multiple choice",
    "multiple_choice_option": "multiple choice, option only",
    "spelling_seen": "spelling, seen words",
    "spelling_new": "spelling, new words",
    "sums": "sums",
    "one_step": "one-step problems",
    "two_step": "two-step problems",
    "two_step_new_templates": "two-step, new wordings",
}
STAGES = {"tokenizer": "the tokenizer", "base": "base", "mid": "mid", "sft": "SFT", "rl": "RL"}
CAPTIONS = {
    "tasks.png": "Right answers after each stage, with 95% intervals",
    "loss.png": "Loss of every stage: each step, and smoothed",
    "bpb.png": "Bits per byte on held-out text during base training",
    "reward.png": "Mean reward of each RL step, and smoothed",
    "pass_at_k.png": "Held-out GSM8K problems solved by at least one of k sampled answers, during RL",
    "time.png": "Seconds per stage",
}
NAMES = {"tokens_per_second": "tokens/s", "mfu": "MFU"}
MASTERED = 0.9
CHANCE = {"multiple_choice": 0.25}
# a task on new ground: the same task on known ground, and what it means to fail the first only
NEW_GROUND = {
    "spelling_new": ("spelling_seen", "It has learned how the words it was shown are spelled, not to spell."),
    "two_step_new_templates": (
        "two_step",
        "It has learned the wordings it saw, with new numbers and names in them, not to reason.",
    ),
}
Report = dict[str, Any]


def markdown(report: Report, plots: set[str]) -> str:
    """The report as Markdown; `plots` names the pictures there are in plots/."""
    pictures = {name: f"![{CAPTIONS[name]}](plots/{name})" for name in CAPTIONS if name in plots}
    of_training = [pictures[name] for name in pictures if name != "tasks.png"]
    of_tasks = [pictures[name] for name in pictures if name == "tasks.png"]
    sections = {
        "What it scores": [
            *report_evaluations.section(report.get("evaluations", {}), _table),
            *([f"**Not measured: {'; '.join(report['not_measured'])}.**"] if report.get("not_measured") else []),
        ],
        "What it can do": [*_tasks(report), *of_tasks, *_pass_at_k(report)],
        "What changed, in its own words": _samples(report),
        "How it was trained": [*_stages(report), *left_out(report), *held_out(report, _table), *of_training],
        "Whose code it ran": _parts(report),
        "What this model cannot do": ["\n".join(f"- {sentence}" for sentence in limits(report))],
    }
    text = [f"# The run {report['tag']}", " ".join(summary(report))]
    for title, paragraphs in sections.items():
        if paragraphs:
            text += [f"## {title}", *paragraphs]
    return "\n\n".join(text) + "\n"


def summary(report: Report) -> list[str]:
    """The first paragraph, in sentences."""
    stages, tasks = report["stages"], report["tasks"]
    asked = ", ".join(f"{key} {report[key]}" for key in ("preset", "seed", "data") if key in report)
    sentences = [f"This run ({asked}) took {report['total_seconds'] / 60:.1f} minutes{where(report)}.", *cost(report)]
    if "peak_rss_gib" in report:
        on_gpu = f", and {report['peak_gpu_gib']:.1f} GiB of each GPU's" if "peak_gpu_gib" in report else ""
        sentences.append(f"It held at most {report['peak_rss_gib']:.2f} GiB of memory{on_gpu}.")
    base = stages.get("base", {})
    if "parameters" in base:
        sentences.append(f"The model has {base['parameters'] / 1e6:.1f} million parameters.")
    if {"bpb_before", "bpb_after"} <= base.keys():
        change = f"from {base['bpb_before']:.2f} to {base['bpb_after']:.2f}"
        sentences.append(f"Base training took the bits per byte on held-out text {change}.")
    last = _last_stage(report)
    good = [TASKS[task] for task, by_stage in tasks.items() if by_stage.get(last, 0) >= MASTERED]
    if good:
        sentences.append(f"After {STAGES[last]} it answers {MASTERED:.0%} or more right in: {'; '.join(good)}.")
    two_step = tasks.get("two_step", {})
    if {"sft", "rl"} <= two_step.keys():
        change = f"from {_percent(two_step['sft'])} to {_percent(two_step['rl'])}"
        sentences.append(f"Reinforcement learning took two-step problems {change}.")
    missing = [title for stage, title in STAGES.items() if not stages.get(stage, {}).get("complete")]
    if missing:
        sentences.append(f"**The run is not finished; still to come: {', '.join(missing)}.**")
    return sentences


def limits(report: Report) -> list[str]:
    """What the numbers say this model cannot do, the specific first."""
    tasks, intervals, last = report["tasks"], report["intervals"], _last_stage(report)
    sentences = []
    for task, by_stage in tasks.items():
        if last not in by_stage:
            continue
        low, high = intervals[task][last]
        told = f"{_capital(task)}: {_percent(by_stage[last])} of {report['counts'][task][last]['total']}"
        known, lesson = NEW_GROUND.get(task, ("", ""))
        if low <= CHANCE.get(task, -1) <= high:
            sentences.append(
                f"{told}. Guessing gives {CHANCE[task]:.0%}, and the 95% interval, {low:.0%} to {high:.0%}, "
                "holds that: it has not learned to bind a letter to its option." + _why_at_chance(report, last)
            )
        elif last in tasks.get(known, {}) and high < intervals[known][last][0]:
            sentences.append(f"{told}, against {_percent(tasks[known][last])} for {TASKS[known]}. {lesson}")
        elif by_stage[last] < MASTERED:
            sentences.append(f"{told}: do not rely on it.")
    for task, by_stage in tasks.items():
        if {"sft", "rl"} <= by_stage.keys() and by_stage["rl"] < by_stage["sft"] - 0.02:
            change = f"from {_percent(by_stage['sft'])} to {_percent(by_stage['rl'])}"
            sentences.append(f"{_capital(task)} fell {change} while RL trained something else.")
    tokens = report["stages"].get("base", {}).get("tokens")
    read = f"It has read {tokens:,} tokens" if tokens else "It has read little"
    return [
        *sentences,
        f"Everything else. {read} of one kind of text; beyond that it makes answers up, as fluently as the right ones.",
    ]


def _why_at_chance(report: Report, stage: str) -> str:
    named = report["tasks"].get("multiple_choice_option", {}).get(stage, 0.0)
    if named < MASTERED:
        return ""
    return (
        f" It says the right option in {_percent(named)}, and then guesses the letter. To read what stands beside a "
        "word in a list takes two attention heads in two layers, each useless without the other (arXiv:2209.11895); "
        "they do not form within the updates of a run this short."
    )


def _tasks(report: Report) -> list[str]:
    stages = [stage for stage in STAGES if any(stage in by_stage for by_stage in report["tasks"].values())]
    if not stages:
        return []
    rows = []
    for task, by_stage in report["tasks"].items():
        last = list(by_stage)[-1]
        low, high = report["intervals"][task][last]
        cells = [_percent(by_stage[stage]) if stage in by_stage else "" for stage in stages]
        rows.append(
            [
                TASKS[task],
                *cells,
                report["counts"][task][last]["total"],
                f"{100 * low:.1f} to {100 * high:.1f}",
            ]
        )
    note = (
        "Right answers, greedy, to n held-out problems. The interval says how far chance in the choice of "
        "the problems may have moved the last figure (95%, Wilson)."
    )
    return [note, _table(["task", *(f"after {STAGES[stage]}" for stage in stages), "n", "interval"], rows)]


def _pass_at_k(report: Report) -> list[str]:
    by_stage = report["pass_at_k"]
    if not by_stage:
        return []
    ks = sorted({k for by_k in by_stage.values() for k in by_k}, key=int)
    rows = [
        [f"after {STAGES[stage]}", *(_percent(by_k[k]) if k in by_k else "" for k in ks)]
        for stage, by_k in by_stage.items()
    ]
    note = "Two-step problems that at least one of k sampled answers solves (temperature 1):"
    return [note, _table(["", *(f"k = {k}" for k in ks)], rows)]


def _samples(report: Report) -> list[str]:
    blocks = []
    for sample in report["samples"]:
        lines = []  # an indented block: nothing in a sample can break out of it
        for label in ("prompt", "before", "after"):
            first, *rest = [_printable(line) for line in sample[label].splitlines()] or [""]
            lines += [f"    {label:8}{first}".rstrip(), *(f"            {line}".rstrip() for line in rest)]
        blocks.append(f"What {STAGES[sample['stage']]} changed:\n\n" + "\n".join(lines))
    return blocks


def _printable(line: str) -> str:
    """With escapes for what nobody can see: an untrained model says zero bytes, which make the page no text."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def _stages(report: Report) -> list[str]:
    columns = {"seconds": ",.1f", "steps": ",", "tokens": ",", "tokens_per_second": ",.0f"}
    if any("mfu" in stage for stage in report["stages"].values()):
        columns["mfu"] = ".1%"
    rows = [
        [
            name,
            *(format(stage[key], how) if key in stage else "" for key, how in columns.items()),
            "yes" if stage.get("complete") else "no",
        ]
        for name, stage in report["stages"].items()
    ]
    paragraphs = [_table(["stage", *(NAMES.get(key, key) for key in columns), "complete"], rows)] if rows else []
    tokenizer = report["stages"].get("tokenizer", {})
    if {"vocab_size", "bytes_per_token"} <= tokenizer.keys():
        vocabulary = f"{tokenizer['vocab_size']:,} tokens, and one holds {tokenizer['bytes_per_token']:.2f} bytes"
        paragraphs.append(f"The vocabulary has {vocabulary} of the text on average.")
    return paragraphs


def _parts(report: Report) -> list[str]:
    parts = report["parts"]
    if not parts:
        return []
    yours = [name for name, part in parts.items() if "yours" in _whose(part)]
    count = f"{len(yours)} of the {len(parts)} parts" if yours else f"None of the {len(parts)} parts"
    rows = [
        [name, _whose(part), f"{part.get('calls', 0):,}", f"`{part['sha256'][:12]}`"] for name, part in parts.items()
    ]
    return [
        f"{count} ran the learner's own code.",
        _table(["part", "whose", "calls", "SHA-256 of the file"], rows),
    ]


def _whose(part: dict[str, Any]) -> str:
    """Whose code a part ran: "yours", "reference", or "reference in base, mid; yours in sft"."""
    stages: dict[str, dict[str, None]] = {}
    for ran in part.get("stages", []):
        stages.setdefault(ran["whose"], {})[ran["stage"]] = None
    words = {"learner": "yours", "reference": "reference"}
    if len(stages) < 2:
        return words[part["whose"]]
    return "; ".join(f"{words[whose]} in {', '.join(names)}" for whose, names in stages.items())


def _last_stage(report: Report) -> str:
    return max(
        (stage for by_stage in report["tasks"].values() for stage in by_stage),
        key=list(STAGES).index,
        default="",
    )


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}%"


def _capital(task: str) -> str:
    return TASKS[task][0].upper() + TASKS[task][1:]


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)

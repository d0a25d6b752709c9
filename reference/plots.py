"""The plots of a report: one style, and Okabe and Ito's colors, which everybody can tell apart.

Each function takes lines of metrics.jsonl or a part of report.json and returns a figure; it needs no display.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from reference.report_text import CHANCE, TASKS

COLORS = {
    "tokenizer": "#999999",
    "base": "#0072B2",
    "mid": "#009E73",
    "sft": "#E69F00",
    "rl": "#D55E00",
}
STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "axes.labelcolor": "#333333",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "font.size": 10,
    "grid.color": "#e4e4e4",
    "text.color": "#222222",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
}
Lines = Sequence[dict[str, Any]]


def draw_all(metrics: Lines, report: dict[str, Any]) -> dict[str, bytes]:
    """The PNG files that this run has the numbers for: {"loss.png": ..., ...}."""
    by_name = {name: [line for line in metrics if name in line] for name in ("loss", "bpb", "reward", "pass_at_1")}
    by_name["bpb"] = [line for line in by_name["bpb"] if line["stage"] == "base"]  # others measure other text
    trained = {stage: facts for stage, facts in report["stages"].items() if stage != "report"}  # which is not over yet
    seconds = {stage: facts["seconds"] for stage, facts in trained.items() if facts.get("seconds")}
    with mpl.rc_context(STYLE):
        figures = {
            "loss.png": by_name["loss"] and loss(by_name["loss"]),
            "bpb.png": by_name["bpb"] and bits_per_byte(by_name["bpb"]),
            "tasks.png": report["tasks"] and tasks(report["tasks"], report["intervals"]),
            "reward.png": by_name["reward"] and reward(by_name["reward"]),
            "pass_at_k.png": by_name["pass_at_1"] and pass_at_k(by_name["pass_at_1"]),
            "time.png": seconds and time(seconds),
        }
        return {name: _png(figure) for name, figure in figures.items() if figure}


def loss(lines: Lines) -> Figure:
    """The loss of all stages side by side, each from its own step 0; RL's policy loss on its own axis."""
    stages = list(dict.fromkeys(line["stage"] for line in lines))
    curves = {stage: [(line["step"], line["loss"]) for line in lines if line["stage"] == stage] for stage in stages}
    widths = [max(curves[stage][-1][0], 1) for stage in stages]
    smallest = 0.3 * max(widths)  # a short stage still gets room for its labels
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, len(stages), width_ratios=[max(width, smallest) for width in widths], squeeze=False)[0]
    shared = [axis for axis, stage in zip(axes, stages, strict=True) if stage != "rl"]
    for axis, stage in zip(axes, stages, strict=True):
        steps, values = zip(*curves[stage], strict=True)
        _curve(axis, steps, values, COLORS[stage])
        axis.set_title(stage, color=COLORS[stage])
        axis.set_xlabel("step")
        axis.locator_params(axis="x", nbins=max(2, round(6 * max(widths[stages.index(stage)], smallest) / max(widths))))
        if stage == "rl":
            axis.axhline(0, color="#888888", linewidth=0.8)
            axis.set_ylabel("policy loss")
        elif axis is shared[0]:
            axis.set_ylabel("loss (nats per token)")
        else:
            axis.sharey(shared[0])
            axis.tick_params(labelleft=False)
    if shared:
        shared[0].set_yscale("log")
        shared[0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        shared[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        shared[0].yaxis.set_minor_formatter(NullFormatter())
    return figure


def bits_per_byte(lines: Lines) -> Figure:
    """Bits per byte on held-out text, over the steps of base training."""
    figure, axis = _single("base training: bits per byte on held-out text", "step", "bits per byte")
    steps, values = zip(*((line["step"], line["bpb"]) for line in lines), strict=True)
    axis.plot(steps, values, color=COLORS["base"], marker="o", markersize=4, linewidth=2)
    axis.set_ylim(0, 1.15 * max(values))
    for step, value in {steps[0]: values[0], steps[-1]: values[-1]}.items():
        axis.annotate(f"{value:.2f}", (step, value), (0, 7), textcoords="offset points", ha="center")
    axis.margins(x=0.06)
    return figure


def tasks(fractions: dict[str, dict[str, float]], intervals: dict[str, dict[str, Sequence[float]]]) -> Figure:
    """A small chart per task: right answers in percent after each stage, with 95% intervals."""
    stages = [stage for stage in COLORS if any(stage in by_stage for by_stage in fractions.values())]
    columns = min(4, len(fractions))
    rows = -(-len(fractions) // columns)
    figure = Figure(figsize=(2.3 * columns, 0.4 + 1.75 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axis, (task, by_stage) in zip(axes, fractions.items(), strict=False):
        for place, stage in enumerate(stages):
            if stage in by_stage:
                percent = 100 * by_stage[stage]
                low, high = (100 * bound for bound in intervals[task][stage])
                axis.bar(place, percent, color=COLORS[stage], width=0.72)
                axis.vlines(place, low, high, color="#333333", linewidth=1)
                axis.text(place, max(percent, high) + 3, f"{percent:.0f}", ha="center", fontsize=9)
        if task in CHANCE:
            axis.axhline(100 * CHANCE[task], color="#333333", linestyle="--", linewidth=1)
        axis.set_title(TASKS[task] + (" (- - luck)" if task in CHANCE else ""), fontsize=9.5)
        axis.set_xticks(range(len(stages)), stages)
        axis.tick_params(axis="x", length=0, labelbottom=True)
        axis.grid(visible=False, axis="x")
        axis.set_ylim(0, 119)
        axis.set_yticks([0, 50, 100])
    for axis in axes[len(fractions) :]:
        axis.remove()
    figure.supylabel("right answers (%)", fontsize=10, color="#333333")
    return figure


def reward(lines: Lines) -> Figure:
    """The mean reward of each RL step, as it came and smoothed."""
    figure, axis = _single("RL: mean reward of the sampled answers", "step", "reward")
    steps, values = zip(*((line["step"], line["reward"]) for line in lines), strict=True)
    _curve(axis, steps, values, COLORS["rl"])
    axis.set_ylim(0, max(1, *values))
    return figure


def pass_at_k(lines: Lines) -> Figure:
    """Held-out problems solved by at least one of k samples, over the steps of rl: k = 1, 2, 4, ... and the largest."""
    figure, axis = _single("RL: held-out problems solved by one of k answers", "step", "pass@k (%)")
    ks = sorted(int(name.removeprefix("pass_at_")) for name in lines[0] if name.startswith("pass_at_"))
    steps = [line["step"] for line in lines]
    for k in (k for k in ks if k & (k - 1) == 0 or k == ks[-1]):
        values = [100 * line[f"pass_at_{k}"] for line in lines]
        strength = 0.3 + 0.7 * k / ks[-1]
        axis.plot(steps, values, color=COLORS["rl"], alpha=strength, marker="o", markersize=3, label=f"k = {k}")
    axis.set_ylim(0, 1.25 * max(1.0, *(100 * line[f"pass_at_{ks[-1]}"] for line in lines)))
    axis.legend(loc="upper center", ncols=len(ks), frameon=False)
    return figure


def time(seconds: dict[str, float]) -> Figure:
    """Where the time went: a bar per stage."""
    total = sum(seconds.values())
    figure, axis = _single(f"where the time went: {total / 60:.1f} minutes", "seconds", "")
    stages = list(seconds)
    bars = axis.barh(stages, list(seconds.values()), color=[COLORS[stage] for stage in stages], height=0.66)
    labels = [f"{value:.0f} s, {value / total:.0%}" for value in seconds.values()]
    axis.bar_label(bars, labels, padding=4)
    axis.invert_yaxis()
    axis.grid(visible=False, axis="y")
    axis.set_xlim(0, 1.25 * max(seconds.values()))
    return figure


def _single(title: str, x: str, y: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axis = figure.subplots()
    axis.set_title(title)
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    return figure, axis


def _curve(axis: Any, steps: Sequence[int], values: Sequence[float], color: str) -> None:
    """The values as they came, pale, and their average over about a twentieth of the steps, strong."""
    half = max(1, len(values) // 40)
    windows = [values[max(0, i - half) : i + half + 1] for i in range(len(values))]
    axis.plot(steps, values, color=color, alpha=0.3, linewidth=1)
    axis.plot(steps, [sum(window) / len(window) for window in windows], color=color, linewidth=2)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()

"""The report of a run: stable keys, right numbers, honest sentences, pictures that show the data."""

from __future__ import annotations

import json
import math
import re
import time
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import colors
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.transforms import Bbox

from reference import plots
from reference.report import collect, wilson_interval, write_report
from reference.report_text import TASKS, limits, markdown
from reference.run import Run

PNGS = {"loss.png", "bpb.png", "tasks.png", "reward.png", "time.png"}
SECONDS = {"tokenizer": 3.25, "base": 200.5, "mid": 70.0, "sft": 60.0, "rl": 90.0, "report": 2.0}
DRAWN = {stage: seconds for stage, seconds in SECONDS.items() if stage != "report"}
RIGHT = {  # of 200, after base, mid, sft, rl
    "identity": (0, 140, 198, 198),
    "capitals": (120, 190, 199, 196),
    "multiple_choice": (0, 48, 50, 52),
    "spelling_seen": (0, 120, 196, 195),
    "spelling_new": (0, 0, 6, 8),
    "two_step": (0, 10, 76, 166),
    "two_step_new_templates": (0, 0, 8, 18),
}
SAMPLE = {"prompt": "Capital of Greece?", "before": "the the\n\n```\n# the", "after": "Athens. | 12"}


def made_up_run(root: Path, last: str = "report") -> Run:
    """A run directory such as the stages leave it, up to the stage `last`."""
    run = Run.create(root, "d4", {"preset": "d4", "seed": 7, "data": "primer"})
    run.update(
        peak_rss_gib=1.25,
        machine={"cpu": "a CPU", "cores": 2, "torch": "2.9", "compute_dtype": "bfloat16"},
        parts={
            "bpe": {"whose": "learner", "file": "katas/bpe/bpe.py", "sha256": "ab" * 32, "calls": 1234},
            "rope": {
                "whose": "reference",
                "file": "reference/parts/rope.py",
                "sha256": "cd" * 32,
                "calls": 56789,
            },
        },
    )
    for place, stage in enumerate(SECONDS):
        noted: dict[str, Any] = {"seconds": SECONDS[stage], "facts": {}}
        if stage == "tokenizer":
            noted["facts"] = {"vocab_size": 2048, "bytes_per_token": 3.8765}
        if 0 < place < 5:
            noted["facts"] = {"tokens": 1_720_320, "parameters": 4_194_304}
            noted["tasks"] = {task: {"correct": right[place - 1], "total": 200} for task, right in RIGHT.items()} | {
                "sums": {"correct": 0, "total": 0}
            }
            noted["samples"] = [SAMPLE]
            for step in range(30):
                run.log(stage, step, loss=8 / (step + place), tokens_per_second=7000.0 + step)
        if stage == "base":
            noted["facts"] |= {"bpb_before": 2.93, "bpb_after": 0.31}
            for step in (0, 15, 30):
                run.log("base", step, bpb=2.93 / (step + 1))
        if stage == "rl":
            noted["facts"]["pass_at_k"] = {"1": 0.5, "16": 0.75}
            for step in range(30):
                run.log("rl", step, reward=step / 40)
        run.mark_complete(stage, **noted)
        if stage == last:
            break
    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run whose report is written."""
    run = made_up_run(tmp_path_factory.mktemp("runs"))
    write_report(run)
    return run


def figures(run: Run) -> dict[str, Any]:
    """The figures of a run as objects."""
    report = collect(run)
    lines = run.metrics()
    with mpl.rc_context(plots.STYLE):
        return {
            "loss": plots.loss([line for line in lines if "loss" in line]),
            "bpb": plots.bits_per_byte([line for line in lines if "bpb" in line]),
            "tasks": plots.tasks(report["tasks"], report["intervals"]),
            "reward": plots.reward([line for line in lines if "reward" in line]),
            "time": plots.time(DRAWN),
        }


def shown_texts(figure: Figure) -> list[tuple[str, Bbox]]:
    """Every text of a drawn figure with the box it fills: titles, labels, numbers on axes and at bars."""
    texts = [figure._supylabel] if figure._supylabel else []
    for axes in figure.axes:
        texts += [*axes.texts, axes._left_title, axes.xaxis.label, axes.yaxis.label]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = axis.get_major_ticks() + axis.get_minor_ticks()
            texts += [tick.label1 for tick in ticks if low <= tick.get_loc() <= high and tick.label1.get_visible()]
    return [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]


def test_the_documented_keys(finished: Run) -> None:
    """report.json holds what was noted under the documented keys."""
    report = json.loads((finished.path / "report.json").read_text())
    assert (report["format"], report["tag"], report["preset"], report["seed"], report["data"]) == (
        1, "d4", "d4", 7, "primer",
    )  # fmt: skip
    assert report["total_seconds"] == sum(SECONDS.values())
    assert report["peak_rss_gib"] == 1.25
    assert report["machine"]["cores"] == 2
    assert {stage: facts["seconds"] for stage, facts in report["stages"].items()} == SECONDS
    assert (report["stages"]["base"]["bpb_before"], report["stages"]["base"]["bpb_after"]) == (2.93, 0.31)
    assert report["stages"]["rl"] == {
        "seconds": 90.0, "complete": True, "steps": 30, "tokens": 1_720_320, "parameters": 4_194_304,
        "tokens_per_second": 7014.5,
    }  # fmt: skip
    assert report["tasks"]["two_step"] == {"base": 0.0, "mid": 0.05, "sft": 0.38, "rl": 0.83}
    assert report["counts"]["two_step"]["rl"] == {"correct": 166, "total": 200}
    assert set(report["tasks"]) == set(RIGHT), "a task without problems has no accuracy"
    assert report["samples"] == [{"stage": stage, **SAMPLE} for stage in ("base", "mid", "sft", "rl")]
    assert report["pass_at_k"] == {"rl": {"1": 0.5, "16": 0.75}}
    assert report["parts"]["rope"] == finished.config["parts"]["rope"]


def test_the_tasks_are_the_public_ones() -> None:
    """The keys of the tasks are a contract."""
    assert list(TASKS) == [
        "identity", "capitals", "opposites", "colours", "multiple_choice", "multiple_choice_option",
        "spelling_seen", "spelling_new", "sums", "one_step", "two_step", "two_step_new_templates",
    ]  # fmt: skip


@pytest.mark.parametrize("last", ["", "tokenizer", "base", "sft"])
def test_a_partial_run_has_a_partial_report(tmp_path: Path, last: str) -> None:
    """Whatever stage a run has reached there is a report of it, which says what is still to come."""
    run = made_up_run(tmp_path, last) if last else Run.create(tmp_path, "d4", {})
    report = write_report(run)
    text = (run.path / "report.md").read_text()
    assert "still to come:" in text
    assert set(report["tasks"].get("two_step", {})) == {"": set(), "tokenizer": set(), "base": {"base"},
                                                        "sft": {"base", "mid", "sft"}}[last]  # fmt: skip
    made = {path.name for path in run.path.glob("plots/*")}
    assert made == {"": set(), "tokenizer": {"time.png"}, "base": PNGS - {"reward.png"},
                    "sft": PNGS - {"reward.png"}}[last]  # fmt: skip
    assert set(re.findall(r"\(plots/(.*?)\)", text)) == made
    assert "None" not in text
    assert "nan" not in text


def test_a_finished_run_says_so(finished: Run) -> None:
    """A finished run has every picture and every section, and nothing still to come."""
    text = (finished.path / "report.md").read_text()
    assert "still to come" not in text
    assert set(re.findall(r"\(plots/(.*?)\)", text)) == PNGS
    assert {path.name for path in finished.path.glob("plots/*")} == PNGS
    sections = [
        "What it can do",
        "What changed",
        "How it was trained",
        "Whose code",
        "What this model cannot do",
    ]
    positions = [text.index(f"\n## {section}") for section in sections]
    assert positions == sorted(positions)


def test_the_numbers_a_reader_sees(tmp_path: Path) -> None:
    """The text shows the same numbers as the JSON, rounded: rows of tasks, stages, parts and pass at k."""
    text = markdown(collect(made_up_run(tmp_path)), set())
    for row in (
        "| two-step problems | 0.0% | 5.0% | 38.0% | 83.0% | 200 | 77.2 to 87.6 |",
        "| base | 200.5 | 30 | 1,720,320 | 7,014 | yes |",
        "| tokenizer | 3.2 |  |  |  | yes |",
        "| bpe | yours | 1,234 | `abababababab` |",
        "| rope | reference | 56,789 | `cdcdcdcdcdcd` |",
        "| after RL | 50.0% | 75.0% |",
    ):
        assert f"\n{row}\n" in text
    assert "1 of the 2 parts ran the learner's own code." in text
    assert "took 7.1 minutes on 2 cores of a CPU, in bfloat16." in text
    assert "from 2.93 to 0.31." in text
    assert "The model has 4.2 million parameters." in text
    assert "The vocabulary has 2,048 tokens, and one holds 3.88 bytes of the text on average." in text
    assert "two-step problems from 38.0% to 83.0%." in text
    assert "After RL it answers 90% or more right in: identity; capitals; spelling, seen words." in text


def test_whose_code_a_part_ran(tmp_path: Path) -> None:
    """A part that was the learner's in some stages alone is told as such, and counts as the learner's."""
    run = made_up_run(tmp_path)
    ran = [{"stage": "base", "whose": "reference"}, {"stage": "mid", "whose": "reference"}]
    run.update(parts={"rope": {"stages": [*ran, {"stage": "sft", "whose": "learner"}]}, "bpe": {"stages": []}})
    text = markdown(collect(run), set())
    assert "| rope | reference in base, mid; yours in sft | 56,789 | `cdcdcdcdcdcd` |" in text
    assert "| bpe | yours | 1,234 |" in text
    assert "2 of the 2 parts ran the learner's own code." in text
    run.update(parts={"rope": {"stages": ran}})
    assert "| rope | reference | 56,789 |" in markdown(collect(run), set())


def test_a_sample_cannot_break_the_text(tmp_path: Path) -> None:
    """Every line of a sample stays in its indented block, empty lines, fences and headings too."""
    text = markdown(collect(made_up_run(tmp_path, "base")), set())
    block = "    prompt  Capital of Greece?\n    before  the the\n\n            ```\n            # the\n"
    assert f"What base changed:\n\n{block}    after   Athens. | 12\n" in text


def test_a_sample_that_nobody_can_see(tmp_path: Path) -> None:
    """Zero bytes and the like, which an untrained model says, are escaped: report.md stays a text; letters stay."""
    report = collect(made_up_run(tmp_path, "base"))
    report["samples"] = [{"stage": "base", "prompt": "Größe 中", "before": "\0\x1b[31m\n\x7f", "after": ""}]
    text = markdown(report, set())
    assert "    prompt  Größe 中\n    before  \\x00\\x1b[31m\n            \\x7f\n    after\n" in text


# (correct, total): interval as printed by R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3
@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_against_a_published_table(correct: int, total: int, low: float, high: float) -> None:
    """The interval is the one in Newcombe's comparison of methods, to its four digits."""
    assert wilson_interval(correct, total) == pytest.approx([low, high], abs=5e-5)
    mirrored = wilson_interval(total - correct, total)
    assert mirrored == pytest.approx([1 - high, 1 - low], abs=5e-5)


def judged(**right: dict[str, int]) -> str:
    """What the section on limits says of these answers, out of 200 each."""
    counts = {
        task: {stage: {"correct": correct, "total": 200} for stage, correct in by_stage.items()}
        for task, by_stage in right.items()
    }
    per = {task: {s: c["correct"] / 200 for s, c in by_stage.items()} for task, by_stage in counts.items()}
    intervals = {task: {s: wilson_interval(**c) for s, c in by_stage.items()} for task, by_stage in counts.items()}
    return "\n".join(limits({"tasks": per, "counts": counts, "intervals": intervals, "stages": {}}))


def test_multiple_choice_is_judged_by_its_interval() -> None:
    """At chance only where the interval holds 25%; another sentence above that, and none when mastered."""
    for correct, at_chance in ((50, True), (60, True), (39, True), (80, False), (20, False)):
        text = judged(multiple_choice={"rl": correct})
        assert ("Guessing gives 25%" in text) == at_chance, correct
        assert ("do not rely on it" in text) != at_chance, correct
    assert "ultiple choice" not in judged(multiple_choice={"rl": 190})


def test_new_ground_is_judged_against_known_ground() -> None:
    """Failing on new words or wordings is told as such only when the difference is more than chance."""
    for new, known, lesson in (
        ("two_step_new_templates", "two_step", "not to reason"),
        ("spelling_new", "spelling_seen", "not to spell"),
    ):
        assert lesson in judged(**{new: {"rl": 20}, known: {"rl": 170}})
        assert lesson not in judged(**{new: {"rl": 160}, known: {"rl": 170}})
        assert lesson not in judged(**{new: {"rl": 20}})
    assert "20" not in judged(two_step_new_templates={"rl": 199}, two_step={"rl": 200})


def test_only_the_last_stage_is_judged() -> None:
    """What was bad before and is good now is no limit; what RL made worse by over two points is one."""
    assert "apitals" not in judged(capitals={"base": 0, "mid": 20, "sft": 199, "rl": 196})
    assert "Capitals fell from 99.5% to 97.0%" in judged(capitals={"sft": 199, "rl": 194})
    assert "Capitals: 75.0% of 200: do not rely on it." in judged(capitals={"sft": 199, "rl": 150})


def test_writing_again_gives_the_same_bytes(finished: Run) -> None:
    """The same run gives the same files, pictures included, and the return value is the JSON file."""

    def written() -> dict[str, bytes]:
        files = [*finished.path.glob("report.*"), *finished.path.glob("plots/*")]
        return {path.name: path.read_bytes() for path in files}

    before = written()
    report = write_report(finished)
    assert written() == before
    assert json.loads(before["report.json"]) == report


def test_a_report_stands_in_itself(tmp_path: Path) -> None:
    """Written as a stage, the report has its own seconds at once, and is the same when it is written again later."""
    run = made_up_run(tmp_path, "rl")
    began = time.monotonic() - 100
    report = write_report(run, began)
    seconds = report["stages"]["report"]["seconds"]
    assert 100 < seconds < time.monotonic() - began
    assert report["stages"]["report"] == {"seconds": seconds, "complete": True}
    assert report["total_seconds"] == pytest.approx(sum(DRAWN.values()) + seconds)
    assert "report" not in Run.open(tmp_path, "d4").config["stages"]
    files = {path: path.read_bytes() for path in run.path.rglob("*") if path.suffix in (".md", ".png")}
    run.mark_complete("report", seconds=seconds)
    assert write_report(run) == report
    assert {path: path.read_bytes() for path in files} == files


def test_the_loss_picture_shows_every_stage(tmp_path: Path) -> None:
    """One panel per stage with that stage's numbers; RL's policy loss may be negative: its own scale."""
    panels = figures(made_up_run(tmp_path))["loss"].axes
    assert [panel.get_title(loc="left") for panel in panels] == ["base", "mid", "sft", "rl"]
    for place, panel in enumerate(panels, start=1):
        steps, values = panel.lines[0].get_data()
        assert list(steps) == list(range(30))
        assert list(values) == [8 / (step + place) for step in range(30)]
        assert panel.get_yscale() == ("linear" if place == 4 else "log")
    assert panels[0].get_ylim() == panels[1].get_ylim() == panels[2].get_ylim() != panels[3].get_ylim()


def test_the_task_picture_shows_the_fractions(tmp_path: Path) -> None:
    """One panel per task, a bar per stage of the right height and color, the interval around its end."""
    run = made_up_run(tmp_path)
    panels = figures(run)["tasks"].axes
    assert len(panels) == len(RIGHT)
    for panel, (task, right) in zip(panels, RIGHT.items(), strict=True):
        assert panel.get_title(loc="left").startswith(TASKS[task])
        assert [bar.get_height() for bar in panel.patches] == pytest.approx([correct / 2 for correct in right])
        used = [colors.to_hex(bar.get_facecolor()).upper() for bar in panel.patches]
        assert used == [plots.COLORS[stage] for stage in ("base", "mid", "sft", "rl")]
        low, high = panel.collections[-1].get_segments()[0][:, 1]
        assert (low, high) == pytest.approx([100 * bound for bound in wilson_interval(right[-1], 200)])
    dashed = [panel.get_title(loc="left") for panel in panels for line in panel.lines if line.get_linestyle() == "--"]
    assert dashed == ["multiple choice (- - luck)"]


def test_the_other_pictures_show_their_numbers(tmp_path: Path) -> None:
    """Bits per byte, reward and seconds are drawn as logged."""
    drawn = figures(made_up_run(tmp_path))
    assert list(drawn["bpb"].axes[0].lines[0].get_ydata()) == [2.93, 2.93 / 16, 2.93 / 31]
    assert list(drawn["reward"].axes[0].lines[0].get_ydata()) == [step / 40 for step in range(30)]
    assert [bar.get_width() for bar in drawn["time"].axes[0].patches] == list(DRAWN.values())


def test_no_text_runs_into_another(tmp_path: Path) -> None:
    """No two labels of a picture overlap, and none is cut off at its edge."""
    for name, figure in figures(made_up_run(tmp_path)).items():
        plots.FigureCanvasAgg(figure).draw()
        texts = shown_texts(figure)
        assert len(texts) > 8
        for index, (one, box) in enumerate(texts):
            assert box.x0 >= 0, (name, one)
            assert box.y0 >= 0, (name, one)
            assert box.x1 <= figure.bbox.x1, (name, one)
            assert box.y1 <= figure.bbox.y1, (name, one)
            for other, second in texts[index + 1 :]:
                assert not box.padded(2).overlaps(second), (name, one, other)


def test_the_pictures_are_pictures(finished: Run) -> None:
    """Each PNG can be read, is of a size for a page, and has some of the colors of the stages in it."""
    for name in PNGS:
        pixels = imread(finished.path / "plots" / name)
        height, width, _ = pixels.shape
        assert 300 < height < 1200, name
        assert 600 < width < 1400, name
        color = colors.to_rgb(plots.COLORS["rl" if name == "reward.png" else "base"])
        near = np.abs(pixels[..., :3] - np.array(color)).max(axis=-1) < 0.01
        assert near.mean() > 1e-3, name


def test_the_smoothed_curve_is_the_mean_around_each_step() -> None:
    """The strong line is the average over a twentieth of the steps on both sides, also at the ends."""
    values = [math.sin(step) for step in range(200)]
    lines = [{"step": step, "reward": value} for step, value in enumerate(values)]
    smooth = plots.reward(lines).axes[0].lines[1].get_ydata()
    expected = [np.mean(values[max(0, step - 5) : step + 6]) for step in range(200)]
    assert list(smooth) == pytest.approx(expected)

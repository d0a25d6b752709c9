"""The plan of a large run: figures known from others' runs, and refusals before money is spent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from reference.cli import main
from reference.errors import UserError
from reference.memory import training_bytes
from reference.parts import Parts
from reference.plan import check_disk, make_plan
from reference.presets import at_scale, override


def test_the_hundred_dollar_run() -> None:
    """d20 on eight H100: 11.2 billion tokens, about 240 shards, under four hours, about a hundred dollars."""
    plan = make_plan(at_scale(20), 8, "auto", "H100", None)
    assert plan.tokens == 21_400 * 524_288
    assert 210 < plan.shards < 240
    assert plan.flops == pytest.approx(3.92e19, rel=1e-3)
    assert 2.7 < plan.hours < 3.3
    text = "\n".join(plan.lines())
    for words in ("560,988,160 parameters", "21,400 updates of 524,288 tokens", "32 rows of 2,048 tokens on each of 8"):
        assert words in text
    dollars = float(text.split("cost      about ")[1].split()[0])
    assert 85 < dollars < 115


def test_larger_runs() -> None:
    """The batches that nanochat's d26 and d32 took on 80 GB; d32 took 31.3 hours of base training at 51%."""
    assert make_plan(at_scale(26), 8, "auto", "H100", None).device_rows == 16
    d32 = make_plan(at_scale(32), 8, "auto", "H100", None)
    assert d32.device_rows == 8
    assert d32.hours * 0.45 / 0.509 == pytest.approx(31.3, rel=0.02)


def test_the_learners_parts() -> None:
    """In blocks they keep more of every token, so that fewer rows fit; the plan says so and that it is slower."""
    its = make_plan(at_scale(20), 8, "auto", "H100", None)
    mine = make_plan(at_scale(20), 8, "auto", "H100", None, ("rmsnorm", "rope"))
    assert mine.device_rows < its.device_rows
    text = "\n".join(mine.lines())
    gigabytes = training_bytes(mine.config, mine.device_rows, 8, compiled=False) / 1e9
    assert f"{mine.device_rows} rows of 2,048 tokens on each of 8" in text
    assert f"memory    about {gigabytes:.0f} GB on each device" in text
    assert "parts     yours: rmsnorm, rope. With them blocks are not compiled: that takes more memory" in text
    assert not any(line.startswith("parts") for line in its.lines())
    with pytest.raises(UserError, match=rf"^32 rows .* take {mine.device_rows}: --device-batch {mine.device_rows}"):
        make_plan(at_scale(20), 8, "auto", "H100", 32, ("rope",))
    small = override(at_scale(2), {"batch_rows": "8", "sequence_len": "64", "base_steps": "3"})
    assert not any(line.startswith("parts") for line in make_plan(small, 2, "cpu", None, None, ("rope",)).lines())


@pytest.mark.parametrize(("part", "told"), [("rope", "parts     yours: rope."), ("grpo", ""), ("", "")])
def test_the_command_knows_whose_parts_they_are(tmp_path: Path, part: str, told: str) -> None:
    """Given the learner's parts it plans for those of them that stand in blocks."""
    (tmp_path / "mine.py").write_text("")
    mine = SimpleNamespace(**{**vars(getattr(Parts(), part)), "__file__": str(tmp_path / "mine.py")}) if part else None
    arguments = ["plan", "--depth", "20", "--gpu", "H100", "--nproc", "8"]
    result = CliRunner().invoke(main, arguments, obj=replace(Parts(), **{part: mine}) if part else None)
    assert result.exit_code == 0
    lines = [line for line in result.output.splitlines() if line.startswith("parts")]
    assert [line[: len(told)] for line in lines] == [told] * bool(told)


def test_without_a_gpu() -> None:
    """Where there is none, a sentence says so and what to do; the processor has to be asked for."""
    with pytest.raises(UserError, match=r"^There is no CUDA GPU here, .* SMOKE=1, or .* \./noxw -s d4\.$"):
        make_plan(at_scale(20), 8, "auto", None, None)
    small = override(at_scale(2), {"batch_rows": "8", "sequence_len": "64", "base_steps": "3"})
    plan = make_plan(small, 2, "cpu", None, None)
    assert plan.device_rows == 4
    assert not any(line.startswith(("time", "cost")) for line in plan.lines())


def test_a_disk_that_is_too_small(tmp_path: Path) -> None:
    """What is there already is not needed again; what does not fit is refused with what would help."""
    plan = make_plan(at_scale(20), 8, "auto", "H100", None)
    folder = tmp_path / "not" / "yet"
    check_disk(plan, folder, free=48 * 10**9)
    with pytest.raises(UserError, match=r"need 47 GB more, and the disk of .* has 46 GB free; .*: DATA=DIR"):
        check_disk(plan, folder, free=46 * 10**9)
    (folder / "base_data").mkdir(parents=True)
    with (folder / "base_data" / "shard_00000.parquet").open("wb") as file:
        file.truncate(2 * 10**9)
    check_disk(plan, folder, free=46 * 10**9)


@pytest.mark.parametrize(
    ("depth", "nproc", "gpu", "rows", "sentence"),
    [
        (20, 8, "H100", 64, r"^64 rows at a time need about \d+ GB, and a H100 has 85; take 32: --device-batch 32"),
        (20, 6, "H100", None, r"^An update of 256 rows does not divide into 6 processes; .* 252 or 258"),
        (20, 8, "H100", 12, r"^The 32 rows that each of 8 .* of 12; take 8 or 16 with --device-batch"),
        (32, 1, "4090", None, r"^A model of depth 32 needs about \d+ GiB .* there are 24 GiB; take a smaller depth"),
        (20, 8, "TPU", None, r"^No figures are known for a GPU 'TPU', only for B200, "),
    ],
)
def test_what_cannot_be(depth: int, nproc: int, gpu: str, rows: int | None, sentence: str) -> None:
    """What does not fit or divide is refused with what would."""
    with pytest.raises(UserError, match=sentence):
        make_plan(at_scale(depth), nproc, "auto", gpu, rows)

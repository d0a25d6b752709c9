"""Checkpoints come back bit for bit; a damaged one is one clear sentence. For crashes see test_crashes.py."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint, write_atomically
from reference.errors import UserError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.int32, torch.uint8)


def random_bits(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    """A tensor whose bytes are random: NaNs with payloads, subnormals, negative zeros and all."""
    generator = torch.Generator().manual_seed(len(shape))
    count = torch.empty(shape, dtype=dtype).numel() * dtype.itemsize
    data = torch.randint(0, 256, (count,), dtype=torch.uint8, generator=generator)
    return data.view(dtype).view(shape)


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def saved(directory: Path, step: int = 1, value: float = 0.5) -> Path:
    tensors = {
        "model": {"w": torch.full((3, 5), value), "s": torch.tensor(step)},
        "optimizer": {"w.m": torch.ones(7)},
    }
    save_checkpoint(directory, step, tensors, {"step": step, "loader": {"document": 3, "offset": 17}})
    path = latest_checkpoint(directory)
    assert path is not None
    return path


def content(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0, 4), (5,), (3, 4, 2)], ids=str)
def test_tensors_come_back_bit_for_bit(tmp_path: Path, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    """Every dtype and shape, scalars and empty tensors too, comes back with the same bits."""
    tensor = random_bits(dtype, *shape)
    save_checkpoint(tmp_path, 1, {"model": {"x": tensor}}, {})
    back = load_checkpoint(tmp_path / "step_000001")[0]["model"]["x"]
    assert (back.dtype, back.shape, bits(back)) == (dtype, tensor.shape, bits(tensor))


def test_views_parameters_and_shared_storage(tmp_path: Path) -> None:
    """Transposes, slices, parameters and tensors that share memory are saved as the values they show."""
    base = torch.arange(12.0).view(3, 4)
    group = {"base": base, "same": base, "t": base.t(), "row": base[1], "p": torch.nn.Parameter(base[:, 2])}
    save_checkpoint(tmp_path, 1, {"model": group}, {})
    back = load_checkpoint(tmp_path / "step_000001")[0]["model"]
    assert back.keys() == group.keys()
    for name, tensor in group.items():
        assert torch.equal(back[name], tensor), name
    back["base"].zero_()
    assert torch.equal(back["same"], base), "loaded tensors must not share memory"


def test_files_are_plain_safetensors_and_json(tmp_path: Path) -> None:
    """Another program reads the same numbers with nothing but safetensors, numpy and json."""
    weights = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    save_checkpoint(tmp_path, 400, {"model": {"w": weights}, "optimizer": {}}, {"lr": 0.1})
    path = tmp_path / "step_000400"
    assert sorted(p.name for p in path.iterdir()) == [
        "model.safetensors",
        "optimizer.safetensors",
        "state.json",
    ]
    with safetensors.safe_open(path / "model.safetensors", framework="np") as file:
        assert np.array_equal(file.get_tensor("w"), weights.numpy())
    assert json.loads((path / "state.json").read_text())["state"] == {"lr": 0.1}


@settings(max_examples=60, deadline=None)
@given(state=st.dictionaries(st.text(), JSON, max_size=5))
def test_state_comes_back_exactly(tmp_path_factory: pytest.TempPathFactory, state: dict[str, object]) -> None:
    """Every JSON state returns the same, floats to the last bit and negative zero included."""
    directory = tmp_path_factory.mktemp("state")
    save_checkpoint(directory, 1, {}, state)
    assert repr(load_checkpoint(directory / "step_000001")[1]) == repr(state)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_state_that_json_cannot_hold_is_refused(tmp_path: Path, value: float) -> None:
    """NaN and infinity are no JSON: the save is refused before the old checkpoint is touched."""
    saved(tmp_path)
    before = content(tmp_path)
    with pytest.raises(ValueError, match="JSON"):
        save_checkpoint(tmp_path, 2, {}, {"loss": value})
    assert content(tmp_path) == before


def test_only_the_newest_is_kept(tmp_path: Path) -> None:
    """A save removes the checkpoints before it and what a killed process left, and nothing else."""
    (tmp_path / ".step_000002.999.tmp").mkdir()
    (tmp_path / ".step_000002.999.tmp" / "model.safetensors").write_bytes(b"half")
    (tmp_path / "tokenizer.json").write_text("{}")
    for step in (1, 2, 30):
        saved(tmp_path, step)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step_000030", "tokenizer.json"]


def test_leftovers_go_before_the_save(tmp_path: Path) -> None:
    """What a killed process left is removed first: it may be what fills the disk; the checkpoint stays."""
    saved(tmp_path)
    (tmp_path / ".step_000002.999.tmp").mkdir()
    with pytest.raises(AttributeError):
        save_checkpoint(tmp_path, 2, {"model": {"w": "no tensor"}}, {})  # type: ignore[dict-item]
    assert [path.name for path in tmp_path.iterdir()] == ["step_000001"]


def test_latest_is_by_number_and_ignores_the_rest(tmp_path: Path) -> None:
    """Step 1000000 is later than 999999; temporary folders and other names do not count."""
    assert latest_checkpoint(tmp_path / "absent") is None
    names = ("step_999999", "step_1000000", ".step_2000000.7.tmp", "step_next", "step_3000000.old")
    for name in names:
        (tmp_path / name).mkdir()
    assert latest_checkpoint(tmp_path) == tmp_path / "step_1000000"


def test_the_same_step_can_be_saved_again(tmp_path: Path) -> None:
    """Saving a step once more replaces it, as often as wanted."""
    for value in (1.0, 2.0, 3.0):
        path = saved(tmp_path, 7, value)
        assert load_checkpoint(path)[0]["model"]["w"].unique().item() == value
        assert len(list(tmp_path.iterdir())) == 1


def assert_refused(path: Path, *words: str) -> None:
    """Loading is one clear sentence with the words, and leaves every file as it was."""
    before = content(path)
    with pytest.raises(UserError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    for word in (str(path.parent), "--tag NEW", *words):
        assert word in message
    assert content(path) == before


def test_a_flip_of_any_bit_is_noticed(tmp_path: Path) -> None:
    """Bit rot at any byte of any file is found on load."""
    path = saved(tmp_path)
    for file in sorted(path.iterdir()):
        good = file.read_bytes()
        for position in range(0, len(good), 1 if file.suffix == ".json" else 5):
            file.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
            assert_refused(path)
        file.write_bytes(good)
    load_checkpoint(path)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "longer", "a folder", "text"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, damage: str) -> None:
    """Whatever happened to a file, loading says which file it is and what to do."""
    path = saved(tmp_path)
    file = path / name
    good = file.read_bytes()
    file.unlink()
    if damage == "a folder":
        file.mkdir()
    elif damage != "missing":
        bad = {"empty": b"", "cut": good[:-9], "longer": good + b"?", "text": b"[1, 2]\n"}
        file.write_bytes(bad[damage])
    assert_refused(path, name)


def test_a_checkpoint_that_does_not_exist(tmp_path: Path) -> None:
    """A path with nothing at it is a clear sentence too."""
    assert_refused(tmp_path / "base" / "step_000009", "state.json")


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    """A pickle in place of the tensors, even with a fitting checksum, is refused and not run."""
    path = saved(tmp_path)
    pickled = b"cbuiltins\nexit\n(tR."  # by hand: loading it would end this process
    (path / "model.safetensors").write_bytes(pickled)
    state = json.loads((path / "state.json").read_text())
    state["sha256"]["model.safetensors"] = hashlib.sha256(pickled).hexdigest()
    (path / "state.json").write_text(json.dumps(state))
    assert_refused(path, "model.safetensors")


def test_another_format_names_both(tmp_path: Path) -> None:
    """A checkpoint of a later version says its format and ours, even when all else about it is unknown."""
    path = saved(tmp_path)
    (path / "state.json").write_text('{"format": 7}')
    assert_refused(path, "format 7", "format 1")


def test_write_atomically_replaces_and_makes_folders(tmp_path: Path) -> None:
    """The new content replaces the old whole, in folders that need not exist, with nothing left beside it."""
    path = tmp_path / "a" / "b" / "run.json"
    for data in (b"long old content", b"new"):
        write_atomically(path, data)
        assert content(tmp_path) == {"a/b/run.json": data}


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """A file where a folder must be gives the one sentence, for files and for checkpoints."""
    (tmp_path / "runs").write_text("not a folder")
    with pytest.raises(UserError, match=r"^Cannot write .*run\.json \(.*\); make that place writable.*\.$"):
        write_atomically(tmp_path / "runs" / "run.json", b"{}")
    with pytest.raises(UserError, match=r"^Cannot write .*base \(.*\); make that place writable.*\.$"):
        saved(tmp_path / "runs" / "base")
    assert content(tmp_path) == {"runs": b"not a folder"}

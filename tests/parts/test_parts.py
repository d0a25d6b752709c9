"""`Parts`, the counting of calls, and the record of whose code each part is."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import inspect
from pathlib import Path
from types import ModuleType

import pytest
import torch

import reference.parts
from reference.parts import PART_NAMES, Parts
from reference.parts.provenance import CONTRACT_NAMES, counted, provenance

SPECIAL = dict.fromkeys(("bos", "assistant_end", "python_start", "python_end", "output_start", "output_end"), 1)


def load(path: Path, source: str) -> ModuleType:
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_nine_parts_in_the_order_of_the_katas():
    """the names are public: graders and run directories use them"""
    expected = ["bpe", "rmsnorm", "rope", "attention", "muon", "loss_mask", "grpo", "kv_cache", "tools"]
    assert list(PART_NAMES) == [field.name for field in dataclasses.fields(Parts)] == expected


def test_each_part_has_the_names_of_its_contract_and_no_other():
    """what a learner must write is exactly what the reference offers"""
    for part in PART_NAMES:
        module = getattr(Parts(), part)
        public = {
            name
            for name, value in vars(module).items()
            if getattr(value, "__module__", None) == module.__name__ and not name.startswith("_")
        }
        assert public == set(CONTRACT_NAMES[part])


def test_one_part_can_be_exchanged():
    """Parts(rope=mine) differs from Parts() in rope alone, and is frozen"""
    mine = object()
    parts = Parts(rope=mine)
    assert parts.rope is mine
    assert [part for part in PART_NAMES if getattr(parts, part) is not getattr(Parts(), part)] == ["rope"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        parts.rope = None


def test_calls_are_counted_per_part():
    """every call counts once, where it was made, and the results are the part's own"""
    parts, calls = counted(Parts())
    assert calls == dict.fromkeys(PART_NAMES, 0)
    x = torch.ones(2, 3, 4, 8)
    for _ in range(3):
        assert torch.equal(parts.rmsnorm.rms_norm(x, eps=0.5), Parts().rmsnorm.rms_norm(x, 0.5))
    parts.rope.apply_rotary(x, *parts.rope.rotary_tables(3, 8))
    parts.bpe.train({b"ab": 1}, 257)
    assert parts.tools.calculate("6*7") == "42"
    assert {part: n for part, n in calls.items() if n} == {"rmsnorm": 3, "rope": 2, "bpe": 1, "tools": 1}


def test_calls_that_fail_count_and_fail():
    """a call is a call, and its exception comes through"""
    parts, calls = counted(Parts())
    with pytest.raises(ValueError, match="vocab_size"):
        parts.bpe.train({}, 3)
    assert calls["bpe"] == 1


def test_two_counts_are_separate():
    """counting the same parts twice gives two counters, and the reference itself counts nothing"""
    (first, calls_1), (second, calls_2) = counted(Parts()), counted(Parts())
    first.tools.calculate("1")
    second.tools.calculate("1")
    Parts().tools.calculate("1")
    assert calls_1["tools"] == calls_2["tools"] == 1


def test_counted_caches_are_real_caches():
    """making, inserting, expanding and resetting count; instances stay instances of the part's class"""
    parts, calls = counted(Parts())
    cache = parts.kv_cache.KVCache(1, 1, 2, 4, capacity=8)
    k = torch.ones(1, 2, 3, 4)
    keys, _ = cache.insert(0, k, k)
    assert torch.equal(keys, k)
    assert calls["kv_cache"] == 2
    three = cache.expand(3)
    three.insert(0, k.expand(3, -1, -1, -1), k.expand(3, -1, -1, -1))
    three.reset()
    assert calls["kv_cache"] == 5
    assert (cache.length, three.length, three.capacity) == (3, 0, 8)
    for each in (cache, three):
        assert isinstance(each, Parts().kv_cache.KVCache)
        assert isinstance(each, parts.kv_cache.KVCache)
    assert type(Parts().kv_cache.KVCache(1, 1, 2, 4, 8)) is Parts().kv_cache.KVCache


def test_a_learners_cache_with_slots_is_counted(tmp_path):
    """whatever the learner's class looks like inside"""
    source = """
class KVCache:
    __slots__ = ("length",)
    def __init__(self): self.length = 0
    def insert(self): self.length += 1
    def expand(self, batch):
        new = KVCache()
        new.length = batch
        return new
    def reset(self): self.length = 0
"""
    parts, calls = counted(Parts(kv_cache=load(tmp_path / "kv_cache.py", source)))
    cache = parts.kv_cache.KVCache().expand(7)
    cache.insert()
    assert cache.length == 8
    assert calls["kv_cache"] == 3


def test_counted_dispatchers_work():
    """making one and each of its steps count; its state is its own"""
    parts, calls = counted(Parts())
    dispatcher = parts.tools.Dispatcher(SPECIAL | {"assistant_end": 2}, list, str)
    assert [dispatcher.next(token) for token in (5, 2)] == [(5, 1), (2, 1)]
    assert dispatcher.done
    assert calls["tools"] == 3


def test_counted_parts_keep_their_names_and_signatures():
    """what is printed about a counted part is what would be printed about the part"""
    parts, _ = counted(Parts())
    for part, names in CONTRACT_NAMES.items():
        for name in names:
            original, wrapped = getattr(getattr(Parts(), part), name), getattr(getattr(parts, part), name)
            assert wrapped.__name__ == name
            assert wrapped.__doc__ == original.__doc__
            assert inspect.signature(wrapped) == inspect.signature(original)


def test_the_reference_is_the_reference():
    """every default part is ours, and its hash is the file's"""
    found = provenance(Parts())
    assert list(found) == list(PART_NAMES)
    for part, record in found.items():
        assert record["whose"] == "reference"
        file = Path(record["file"])
        assert file == Path(reference.parts.__file__).with_name(f"{part}.py")
        assert record["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_learners_part_is_the_learners(tmp_path):
    """a file elsewhere is the learner's, also under the same name, and counting does not hide it"""
    mine = load(tmp_path / "rope.py", "def rotary_tables(): ...\ndef apply_rotary(): ...\n")
    for parts in (Parts(rope=mine), counted(Parts(rope=mine))[0]):
        found = provenance(parts)
        assert found["rope"] == {
            "whose": "learner",
            "file": str((tmp_path / "rope.py").resolve()),
            "sha256": hashlib.sha256((tmp_path / "rope.py").read_bytes()).hexdigest(),
        }
        assert {part for part, record in found.items() if record["whose"] == "learner"} == {"rope"}

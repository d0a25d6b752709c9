"""What an untrusted process may answer: all that the executor says, and nothing on which a grader would choke."""

from __future__ import annotations

import json
import struct
from io import BytesIO
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dojo.border import checked
from dojo.curriculum import find_kata
from dojo.executor import Outcome, Request
from dojo.values import Codec, Handle
from dojo.wire import WireError, receive, send

KATA = find_kata("kv_cache")
assert KATA is not None
CALL = Request("call", "f")


def nested(depth: int) -> Any:
    return [nested(depth - 1)] if depth else []


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(None),
        Outcome([1, 2.5, "x", b"y", True, None, (), {"a": [3]}, {(1, 2): 3}]),
        Outcome(torch.ones(2, 3)),
        Outcome(torch.ones(2, 0)),
        Outcome((torch.zeros(2, dtype=torch.int64), torch.zeros(1, dtype=torch.bfloat16), torch.float16)),
        Outcome(torch.empty(10**6, 10**6, device="meta")),
        Outcome(Handle(0, "KVCache")),
        Outcome((torch.ones(1), 2, torch.ones(1)), tape=3, differentiable=(True, False)),
        Outcome(error=ValueError("no"), frames=("line 1",)),
        Outcome(broken="it changed its argument"),
        Outcome(stopped="was stopped after 5 s of computing", frames=("line 1",)),
        Outcome(-(2**4000)),
        Outcome(nested(19)),
    ],
    ids=lambda outcome: str(outcome)[:40],
)
def test_what_is_honest_passes(outcome: Outcome) -> None:
    """whatever honest code can have answered is taken as it is"""
    assert checked(outcome, CALL, KATA) is outcome


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (None, "no outcome"),
        (Request("call", "f"), "no outcome"),
        (Outcome(Request("call", "f")), "Request is no plain value"),
        (Outcome([Outcome(1)]), "Outcome is no plain value"),
        (Outcome(Codec("encode")), "Codec is no plain value"),
        (Outcome([ValueError("x")]), "ValueError is no plain value"),
        (Outcome(2**5000), "bits"),
        (Outcome({2**5000: 1}), "bits"),
        (Outcome(nested(30)), "deep"),
        (Outcome(Handle(0, "Dispatcher")), "no such object"),
        (Outcome(Handle(True, "KVCache")), "no such object"),
        (Outcome(torch.ones(1).expand(10**6, 10**6)), "memory that its shape needs"),
        (Outcome(torch.ones(3, 2).t()), "memory that its shape needs"),
        (Outcome(torch.ones(2, requires_grad=True)), "part of a graph"),
        (Outcome(torch.ones(2).to(torch.float8_e5m2)), "nobody has asked"),
        (Outcome(1, tape=3), "promised"),
        (Outcome(torch.ones(1), tape=True, differentiable=(True,)), "promised"),
        (Outcome(torch.ones(1), tape=3, differentiable=(True, True)), "promised"),
        (Outcome(torch.ones(1), differentiable=(True,)), "promised"),
        (Outcome(torch.ones(1), differentiable=(1,)), "differentiable"),
        (Outcome(error="ValueError"), "an error is none"),
        (Outcome(error=ValueError("x"), frames=["line 1"]), "traceback"),
        (Outcome(error=ValueError("x"), frames=("x" * 5000,)), "traceback"),
        (Outcome(broken=["x"]), "promise"),
        (Outcome(stopped=5), "stop"),
        (Outcome(stopped="x" * 5000), "stop"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_odd_is_refused(outcome: Any, words: str) -> None:
    """values that are none, lie about their size, or belong to no honest answer are not looked at any further"""
    with pytest.raises(WireError, match=words):
        checked(outcome, CALL, KATA)


def test_gradients_are_a_list() -> None:
    """the answer to a request for gradients is a list of them"""
    with pytest.raises(WireError, match="no list"):
        checked(Outcome(1), Request("backward", target=1), KATA)
    stopped = Outcome(stopped="was stopped after 5 s of computing")
    assert checked(stopped, Request("backward", target=1), KATA) is stopped


def message(text: str, numbers: bytes = b"") -> BytesIO:
    return BytesIO(struct.pack("<QQ", len(text.encode()), len(numbers)) + text.encode() + numbers)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text(max_size=6)
    | st.sampled_from("int float bytes list tuple dict handle codec request outcome error tensor dtype device".split()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=12,
)


@given(JSON)
def test_any_text_is_read_or_refused(value: Any) -> None:
    """any JSON at all is either an honest outcome or ends in a WireError"""
    with pytest.raises(WireError):
        checked(receive(message(json.dumps(value))), CALL, KATA)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '["int", "' + "f" * 100 + '", 1]',
        '["float", "0x1p99999"]',
        '["dtype", "nn"]',
        '["dtype", "no_such"]',
        '["device", "cpu:99:1"]',
        '["error", ["ValueError", 1]]',
        '["dict", [[["list", []], null]]]',
        '["tensor", ["0", [1], [1], false]]',
        '["tensor", ["", [-1], "float32", false]]',
        "7",
        '{"a": 1}',
    ],
    ids=lambda text: text[:30],
)
def test_malformed_messages(text: str) -> None:
    """a message of the wrong form is refused, whatever goes wrong in reading it"""
    with pytest.raises(WireError):
        receive(message(text))


def test_too_long_a_message_is_not_read() -> None:
    """a message that announces gigabytes is refused before it is read"""
    for lengths in ((2**40, 0), (0, 2**40)):
        with pytest.raises(WireError, match="too long"):
            receive(BytesIO(struct.pack("<QQ", *lengths)))


@pytest.mark.parametrize(
    ("name", "known"),
    [("ValueError", ValueError), ("TypeError", TypeError), ("NotImplementedError", NotImplementedError)],
)
def test_errors_of_python_keep_their_class(name: str, known: type) -> None:
    """the errors that tests ask for arrive as what they are"""
    assert type(receive(message(json.dumps(["error", [name, "x"]])))) is known


@pytest.mark.parametrize(
    "name", ["StopIteration", "SystemExit", "KeyboardInterrupt", "UnicodeDecodeError", "Skipped", "print", "type"]
)
def test_other_errors_are_runtime_errors(name: str) -> None:
    """what would steer the test run, or is no error at all, arrives as a RuntimeError that names it"""
    error = receive(message(json.dumps(["error", [name, "x"]])))
    assert (type(error), str(error)) == (RuntimeError, f"{name}: x")


def test_messages_of_errors_are_text() -> None:
    """halves of characters and endless messages do not come through"""
    stream = BytesIO()
    send(stream, ValueError("\ud800" + "x" * 10**6))
    stream.seek(0)
    text = str(receive(stream))
    text.encode()
    assert len(text) <= 2000

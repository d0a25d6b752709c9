"""Requests and outcomes as bytes: nothing is lost, and what is no message is refused."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dojo.executor import Outcome, Request
from dojo.values import Codec, Handle, same
from dojo.wire import WireError, receive, send

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.builds(Handle, st.integers(0, 9), st.text())
    | st.builds(Codec, st.text())
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.binary() | st.tuples(st.integers()), inner)
    ),
    max_leaves=20,
)


def crossed(value: Any) -> Any:
    stream = io.BytesIO()
    send(stream, value)
    stream.seek(0)
    return receive(stream)


@given(VALUES)
def test_values_come_back(value: Any) -> None:
    """any tree of plain values comes back equal, with its types"""
    assert same(crossed(value), value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool, torch.uint8])
def test_tensors_come_back(dtype: torch.dtype) -> None:
    """a tensor comes back with its bits, strides and wish for a gradient"""
    base = torch.arange(24).view(2, 3, 4).to(dtype)
    for tensor in (base, base.transpose(0, 2), base[:, 1:, ::2], base[0, 0, 0], base[:1].expand(5, 3, 4), base[:0]):
        back = crossed((tensor,))[0]
        assert same(back, tensor)
        assert tensor.numel() == 0 or back.stride() == tensor.stride()
    odd = torch.tensor([float("nan"), -0.0, float("-inf")], requires_grad=True)
    assert same(crossed(odd), odd)
    assert crossed(odd).requires_grad


def test_requests_and_outcomes_come_back() -> None:
    """so do requests, and outcomes with their errors"""
    request = Request("call", "rms_norm", (1, "x"), {"eps": 0.5, "dtype": torch.float16}, 3, True)
    assert crossed(request) == request
    outcome = crossed(Outcome(error=ValueError("eps is bad"), frames=("line 1",)))
    assert (type(outcome.error), str(outcome.error), outcome.frames) == (ValueError, "eps is bad", ("line 1",))
    strange = crossed(Outcome(error=type("Mine", (Exception,), {})("why"))).error
    assert (type(strange), str(strange)) == (RuntimeError, "Mine: why")


@given(st.binary(max_size=60))
def test_noise_is_refused(noise: bytes) -> None:
    """bytes that are no message end in a WireError, whatever they are"""
    with pytest.raises(WireError):
        receive(io.BytesIO(noise))


@pytest.mark.parametrize(
    "text", [b'["exec", "rm"]', b'["int", 5]', b'["tensor", ["0", [1], [1], false]]', b"[]", b"{", b'["dtype", 1]']
)
def test_messages_of_another_form_are_refused(text: bytes) -> None:
    """so does a message whose content is of no known kind"""
    import struct

    with pytest.raises(WireError):
        receive(io.BytesIO(struct.pack("<QQ", len(text), 0) + text))

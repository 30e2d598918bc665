"""The frames' JSON decoder takes and refuses the same with orjson as with the standard library alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cometchat._transport import _json_decoder as json_decoder

FRAMES = json.loads((Path(__file__).parents[1] / "data" / "frames.json").read_text(encoding="utf-8"))

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def test_it_is_orjson_here():
    """The tests' environment has ``cometchat[speed]``: what is tested below is the fast way."""
    assert json_decoder.loads is not json.loads


@pytest.mark.parametrize("name", sorted(FRAMES["server_to_client"]))
def test_recorded_frames(name):
    """Every recorded frame."""
    frame = FRAMES["server_to_client"][name]
    assert json_decoder.loads(json.dumps(frame).encode()) == frame


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(JSON)
def test_any_value(value):
    """Any value comes out as it went in, in raw UTF-8 and in escapes."""
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        try:
            expected = json.loads(text)
        except ValueError:
            with pytest.raises(ValueError):
                json_decoder.loads(text)
        else:
            assert json_decoder.loads(text) == expected


def test_what_only_the_standard_library_takes():
    """NaN and half a surrogate pair are taken all the same."""
    (number,) = json_decoder.loads(b"[NaN]")
    assert number != number
    assert json_decoder.loads(b'"\\ud800"') == "\ud800"


@pytest.mark.parametrize("text", [b"", b"no", b"{", b"\xff", b"[1,]"])
def test_what_is_no_json(text):
    """ValueError, as from the standard library."""
    with pytest.raises(ValueError):
        json_decoder.loads(text)

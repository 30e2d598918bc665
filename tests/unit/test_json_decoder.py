"""The frames' JSON decoder accepts and refuses the same texts with orjson and with the standard library alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import each_row

from cometchat._transport import _json_decoder as json_decoder

FRAMES = json.loads((Path(__file__).parents[1] / "data" / "frames.json").read_text(encoding="utf-8"))

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.mark.skipif(sys.implementation.name == "pypy", reason="orjson has no wheel for PyPy")
def test_it_is_orjson_here():
    """The tests' environment has ``cometchat[speed]``, so these tests use the fast decoder."""
    assert json_decoder.loads is not json.loads


@each_row("name", sorted(FRAMES["server_to_client"]))
def test_recorded_frames(name):
    """Every recorded frame."""
    frame = FRAMES["server_to_client"][name]
    assert json_decoder.loads(json.dumps(frame).encode()) == frame


@given(JSON)
def test_any_value(value):
    """Any value comes out unchanged, in raw UTF-8 and in escapes."""
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        try:
            expected = json.loads(text)
        except ValueError:
            with pytest.raises(ValueError):
                json_decoder.loads(text)
        else:
            assert json_decoder.loads(text) == expected


def test_values_that_only_the_standard_library_accepts():
    """NaN and half a surrogate pair are accepted."""
    (number,) = json_decoder.loads(b"[NaN]")
    assert number != number
    assert json_decoder.loads(b'"\\ud800"') == "\ud800"


@pytest.mark.parametrize("text", [b"", b"no", b"{", b"\xff", b"[1,]"])
def test_wrong_json(text):
    """The error is a ValueError, as from the standard library."""
    with pytest.raises(ValueError):
        json_decoder.loads(text)


BOTH = pytest.mark.parametrize("loads", [json_decoder.loads, json_decoder.plain_loads], ids=["orjson", "json"])


@BOTH
@pytest.mark.parametrize("digits", [4300, 4301, 100_000])
def test_long_integers(loads, digits):
    """An integer of more digits than Python accepts becomes a float. The values around it do not change."""
    (number, rest) = loads(b"[" + b"9" * digits + b', {"a": 1}]')
    assert rest == {"a": 1}
    assert type(number) is (int if digits <= 4300 else float)
    assert loads(b'{"n": -' + b"9" * 5000 + b"}") == {"n": float("-inf")}


@BOTH
@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_json_nested_too_deep(loads, opening):
    """The error is a ValueError like any other unreadable text, with few frames attached."""
    with pytest.raises(ValueError) as caught:
        loads(opening * 100_000)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@BOTH
@pytest.mark.parametrize("levels", [1_500, 100_000])
def test_one_deep_value_of_a_page(loads, levels):
    """The others are read, and so are the values around it: a peer must not make a page unreadable by one message."""
    deep = '{"a":[' * levels + '"}"' + "]}" * levels
    first, second, third = loads(f'[1, {{"id": "2", "x": {deep}, "y": "]}}[\\"{{"}}, [3]]'.encode())
    assert (first, second["id"], second["y"], third) == (1, "2", ']}[\"{', [3])


@BOTH
@pytest.mark.parametrize("levels", [500, 599, 601, 900, 985, 1_010, 1_019])
def test_a_value_can_be_written_again(loads, levels):
    """Down to the most levels that a decoder reads. The inbox takes a message's size from its text, and processes that
    share a connection pass messages on as JSON: a message that is too deep for that must not stop the history.
    """
    seen = []
    page = loads(b'[{"id": "2", "x": ' + b"[" * levels + b"1" + b"]" * levels + b"}, [3]]", seen.append)
    assert json.loads(json.dumps(page)) == page and str(page).endswith("}, [3]]")
    assert seen == ([] if levels + 2 <= 600 else [["2"]])


@BOTH
def test_the_truncated_objects_are_named(loads):
    """By the id of the outermost object that has one; whole objects and an inner null are not named."""
    deep = "[" * 100_000 + "]" * 100_000
    seen = []
    first, others = f'{{"id":"1","x":{{"id":"9","y":{deep}}}}}', f'{{"id":3,"x":{deep}}},{{"x":{deep}}}'
    page = f'{{"data":[{first},{{"id":2,"x":null}},{others}]}}'
    value = loads(page.encode(), seen.append)
    assert seen == [["1", "3", ""]]
    assert value["data"][1] == {"id": 2, "x": None}
    loads(f'{{"id":"a\\nb{"c" * 100}","x":{deep}}}'.encode(), seen.append)
    assert seen[1] == ["a\\nb" + "c" * 61]
    loads(b'{"id":"1","x":' + b"[" * 200 + b"]" * 200 + b"}", seen.append)
    assert len(seen) == 2


@BOTH
def test_a_deep_text_that_is_not_json(loads):
    """The time is proportional to its length, also for unfinished texts and brackets."""
    for tail in (b'"\\"' * 100_000, b'"' + b'\\"' * 100_000, b"]" * 100_000, b"\\" * 100_000):
        with pytest.raises(ValueError):
            loads(b"[" * 5_000 + tail)


@BOTH
def test_a_deep_text_with_many_escapes(loads):
    """The memory is proportional to its length, with a small factor: a peer may send a text of 16 MiB."""
    tracemalloc = pytest.importorskip("tracemalloc", reason="PyPy cannot count what is allocated")
    data = b"[" * 700 + b'"' + rb"\n\\\"" * 100_000 + b'"' + b"]" * 700
    tracemalloc.start()
    try:
        loads(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * len(data)


@BOTH
def test_escapes_before_the_end_of_a_text(loads):
    """A text ends at the first quotation mark after an even number of backslashes."""
    deep = "[" * 700 + "]" * 700
    for text in ("\\", '"', '\\"', '"\\', '\\\\"]', "]\\", '"\\\\\\'):
        assert loads(f'[{json.dumps(text)}, {deep}, {json.dumps(text)}, [3]]'.encode())[::2] == [text, text]


@BOTH
def test_encodings_and_white_space(loads):
    """Bytes are read as in the standard library."""
    for text in ('{"a": "grüße"}', ' {"a": "grüße"} '):
        for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"):
            assert loads(text.encode(encoding)) == {"a": "grüße"}

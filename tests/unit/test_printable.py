"""A server's text in errors and logs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import each_row

from cometchat._transport._printable import printable
from cometchat._transport.net import network_reason


@pytest.mark.parametrize("text", ["", "plain", "grüße, 日本, 👩‍👧, עברית", 'a "quoted" \\ text', "tab-free"])
def test_text_that_stays_as_it_is(text: str) -> None:
    """Letters of any language, emoji, and backslashes stay."""
    assert printable(text) == text


@each_row(
    "text, shown",
    [
        ("a\nb", r"a\nb"),
        ("a\r\tb", r"a\r\tb"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x9b31m", r"\x9b31m"),
        ("a\u202eb\u2066c\u200fd", r"a\u202eb\u2066c\u200fd"),
        ("a\u2028b\u2029c\x85d", r"a\u2028b\u2029c\x85d"),
        ("a\u200bb\ufeff\x00", r"a\u200bb\ufeff\x00"),
        ("\ud800", r"\ud800"),
    ],
)
def test_text_that_is_escaped(text: str, shown: str) -> None:
    """Line breaks, ANSI, marks of direction, invisible characters, and halves of pairs are escaped."""
    assert printable(text) == shown


@given(st.text())
def test_any_text_is_one_line_that_can_be_written(text: str) -> None:
    """A second call changes nothing."""
    shown = printable(text)
    assert len(shown.splitlines()) <= 1 and shown.encode() and printable(shown) == shown or not text


def test_the_network_s_reason_is_printable() -> None:
    """A host's name may come from a server."""
    assert network_reason(ConnectionRefusedError(), "evil\n.example:1") == r"connection refused by evil\n.example:1"

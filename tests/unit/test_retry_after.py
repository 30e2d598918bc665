"""Retry-After: seconds, dates in the three forms of RFC 9110, and nonsense."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rows import each_row

from cometchat._transport.net._http_head import LONGEST_RETRY_AFTER, retry_after_seconds

#: Sun, 06 Nov 1994 08:49:37 GMT, RFC 9110's example.
MOMENT = 784_111_777.0


@each_row(
    "value, seconds",
    [
        ("0", 0.0),
        ("7", 7.0),
        ("  7 ", 7.0),
        ("007", 7.0),
        ("1.5", 1.5),
        ("3600", 3600.0),
        ("3601", LONGEST_RETRY_AFTER),
        ("9" * 5000, LONGEST_RETRY_AFTER),
    ],
)
def test_seconds(value, seconds):
    """A number means seconds, at most an hour."""
    assert retry_after_seconds(value, MOMENT) == seconds


FORMS = ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]


@pytest.mark.parametrize("value", [*FORMS, "Sun, 06 Nov 1994 08:49:37 -0000", "Sun, 06 Nov 1994 09:49:37 +0100"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_dates(value, zone, monkeypatch):
    """A date counts from now, in all of its forms and in any time zone of the machine."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert retry_after_seconds(value, MOMENT - 30) == 30.0
    finally:
        monkeypatch.undo()
        time.tzset()


def test_dates_out_of_range():
    """A date in the past means 0, and one far away an hour."""
    assert retry_after_seconds(FORMS[0], MOMENT + 1) == 0.0
    assert retry_after_seconds(FORMS[0], MOMENT - 1e6) == LONGEST_RETRY_AFTER


NONSENSE = [None, "", "  ", "soon", "-5", "1.", ".5", "1e3", "\u0663", "\u00b2", "NaN", "Sun, 99 Nov 1994 08:49:37 GMT"]


@each_row("value", NONSENSE)
def test_nonsense_is_nothing(value):
    """Any other text counts as absent."""
    assert retry_after_seconds(value, MOMENT) is None


DATE_LIKE = st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,6} \d{1,3}:\d{1,3}(:\d{1,3})? .*")


@given(st.one_of(st.text(), DATE_LIKE))
@example("Mon, 01 Jan 0001 00:00:00 +2359")
@example("Fri, 31 Dec 9999 23:59:59 -2359")
@example("Sun, 06 Nov 1994 08:49:37 +99999999999999")
def test_any_text_gives_a_wait_or_nothing(value):
    """For any text the result is None or 0 to 3600 s."""
    seconds = retry_after_seconds(value, MOMENT)
    assert seconds is None or 0.0 <= seconds <= LONGEST_RETRY_AFTER

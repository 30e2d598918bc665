"""Taps get each event before the listeners, and cannot end the connection."""

from __future__ import annotations

from typing import List

import pytest

from cometchat._protocol import Self, ServerEvent
from cometchat._runtime.connection import Received, Taps

ME = Self("mine", "u1")


class Tap:
    def __init__(self, error: bool = False) -> None:
        self.heard: List[object] = []
        self._error = error

    def opened(self) -> None:
        self.heard.append("opened")
        if self._error:
            raise RuntimeError("a tap's mistake")

    def received(self, received: Received) -> None:
        self.heard.append(received.message_id)
        if self._error:
            raise RuntimeError("a tap's mistake")


def message(message_id: str) -> ServerEvent:
    return ServerEvent("message", {"id": message_id}, "u2", "u1", "user", "theirs")


def test_a_tap_that_raises_is_logged_and_the_others_are_called(caplog: pytest.LogCaptureFixture) -> None:
    """Each call of a tap that raises is an error of the log."""
    taps = Taps(lambda: "client 7")
    broken, sound = Tap(error=True), Tap()
    for tap in (broken, sound):
        taps.add(tap)
    taps.opened()
    taps.received(message("5"), ME, b"")
    assert broken.heard == sound.heard == ["opened", "5"]
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]


def test_a_removed_tap_gets_no_more_events() -> None:
    """Without a tap the collection is false, so that the router does no work for it."""
    taps, tap = Taps(lambda: "client 7"), Tap()
    assert not taps
    taps.add(tap)
    assert taps
    taps.remove(tap)
    taps.remove(tap)
    taps.opened()
    assert tap.heard == [] and not taps

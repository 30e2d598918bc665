"""Taps get each event before the listeners, and cannot end the connection."""

from __future__ import annotations

import threading
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


@pytest.mark.usefixtures("quick_switches")
def test_taps_that_threads_add_and_remove_at_once() -> None:
    """Each of two streams that begin and end at once is added and removed, and the others stay."""
    taps, others = Taps(lambda: "client 7"), [Tap() for _ in range(30)]
    for tap in others:
        taps.add(tap)
    begun: List[Tap] = []

    def come_and_go() -> None:
        for _ in range(3000):
            tap = Tap()
            taps.add(tap)
            taps.remove(tap)
        begun.append(tap)
        taps.add(tap)

    threads = [threading.Thread(target=come_and_go, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taps.opened()
    assert [len(tap.heard) for tap in (*others, *begun)] == [1] * 34
    for tap in (*others, *begun):
        taps.remove(tap)
    assert not taps

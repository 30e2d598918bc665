"""Taps get each event before the listeners, and cannot end the connection."""

from __future__ import annotations

import json
import threading
from types import SimpleNamespace
from typing import Any, List

import pytest

from cometchat._protocol._delivery import Self
from cometchat._runtime.connection import FrameRouter, Generation, Received
from cometchat._runtime.connection._counters import Counters


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


class Station:
    """A router, with nothing behind it."""

    def __init__(self) -> None:
        inbox: Any = SimpleNamespace(begin=lambda number: None, take=lambda *message: True)
        account: Any = SimpleNamespace(me=Self("mine", "u1"), client_name=lambda: "client 7")
        nothing: Any = None
        self.router = FrameRouter(account, nothing, inbox, Counters(), None)
        self._generation = Generation(1, threading.RLock())

    def open(self) -> None:
        """Begin a connection."""
        self.router.begin(self._generation)

    def receive(self, message_id: str) -> None:
        """Receive a message."""
        frame = {"type": "message", "body": {"id": message_id}, "sender": "u2", "receiver": "u1"}
        self.router.take(self._generation, [json.dumps(frame).encode()])


@pytest.fixture
def station() -> Station:
    return Station()


def test_a_tap_that_raises_is_logged_and_the_others_are_called(
    station: Station, caplog: pytest.LogCaptureFixture
) -> None:
    """Each call of a tap that raises is an error of the log."""
    broken, sound = Tap(error=True), Tap()
    for tap in (broken, sound):
        station.router.add_tap(tap)
    station.open()
    station.receive("5")
    assert broken.heard == sound.heard == ["opened", "5"]
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]


def test_a_removed_tap_gets_no_more_events(station: Station) -> None:
    """A second removal is a no-op."""
    tap = Tap()
    station.router.add_tap(tap)
    station.receive("5")
    station.router.remove_tap(tap)
    station.router.remove_tap(tap)
    station.open()
    station.receive("6")
    assert tap.heard == ["5"]


@pytest.mark.usefixtures("quick_switches")
def test_taps_that_threads_add_and_remove_at_once(station: Station) -> None:
    """Each of two streams that begin and end at once is added and removed, and the others stay."""
    router, others = station.router, [Tap() for _ in range(30)]
    for tap in others:
        router.add_tap(tap)
    begun: List[Tap] = []

    def come_and_go() -> None:
        for _ in range(3000):
            tap = Tap()
            router.add_tap(tap)
            router.remove_tap(tap)
        begun.append(tap)
        router.add_tap(tap)

    threads = [threading.Thread(target=come_and_go, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    station.open()
    assert [len(tap.heard) for tap in (*others, *begun)] == [1] * 34
    for tap in (*others, *begun):
        router.remove_tap(tap)
    station.open()
    assert [len(tap.heard) for tap in (*others, *begun)] == [1] * 34

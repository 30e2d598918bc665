"""The refresh of the service's settings: when a client requests them, and when it uses those of another one."""

from __future__ import annotations

import math
import threading
from types import SimpleNamespace
from typing import Any, Iterator, List, Optional

import pytest

from cometchat._protocol import Signal
from cometchat._runtime._shared_settings import SETTINGS
from cometchat._runtime.connection import Generation, SettingsRefresh

KEY = ("app-of-test-settings-refresh", "https://api")
INTERVAL = 60.0


class FakeAccount:
    """The part of an account that a refresh needs."""

    settings_key = KEY
    mode = "DEFAULT"

    def __init__(self) -> None:
        self.shared_mode: Optional[str] = None
        self.settings_paused_until = 0.0
        self.new_settings = False
        self.shared_at: Optional[float] = None

    def client_name(self) -> str:
        return "client 1"

    def take_new_settings(self) -> bool:
        return self.new_settings

    def use_shared_settings(self, since: Optional[float]) -> bool:
        return since is not None and self.shared_at is not None and self.shared_at >= since


class House:
    """A refresh without threads. ``requests`` holds the value of ``replace_token`` of each request."""

    def __init__(self, interval: float = INTERVAL) -> None:
        self.account, self.now = FakeAccount(), 1000.0
        self.requests: List[bool] = []
        self.generation = Generation(1, threading.RLock())
        self.signals: List[Signal] = []
        state: Any = SimpleNamespace(signal=lambda generation, signal, **more: self.signals.append(signal))
        account: Any = self.account
        outbox: Any = None
        self.refresh = SettingsRefresh(
            state,
            account=account,
            outbox=outbox,
            sharing=None,
            interval=interval,
            thread_name="cometchat-{}-0",
            clock=lambda: self.now,
        )


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    made = House()

    def note(self: SettingsRefresh, generation: Generation, replace_token: bool) -> None:
        made.requests.append(replace_token)
        generation.settings_known.set()

    class ThreadAtOnce:
        def __init__(self, name: str, work: Any, **more: Any) -> None:
            self.start = work

    monkeypatch.setattr(SettingsRefresh, "_request", note)
    monkeypatch.setattr("cometchat._runtime.connection._settings_refresh.ServiceThread", ThreadAtOnce)
    yield made
    SETTINGS.release(KEY)


def test_an_opening_uses_the_settings_of_a_new_login(house: House) -> None:
    """They came with the jwt, so nothing is requested, and nothing is waited for."""
    house.account.new_settings = True
    house.generation.settings_known.clear()  # an earlier attempt has requested them
    house.refresh.opened(house.generation)
    assert house.requests == [] and house.generation.settings_known.is_set()


@pytest.mark.parametrize(
    "lost_at, shared_at, requests", [(None, 990.0, [False]), (980.0, 990.0, []), (995.0, 990.0, [False])]
)
def test_an_opening_uses_the_settings_that_another_client_got_after_the_loss(
    house: House, lost_at: Optional[float], shared_at: float, requests: List[bool]
) -> None:
    """Older ones may be those of before the loss. The handshake replaces a refused token, not this request."""
    house.account.shared_at, house.generation.lost_at = shared_at, lost_at
    house.refresh.opened(house.generation)
    assert house.requests == requests


@pytest.mark.parametrize("interval, at", [(INTERVAL, 1060.0), (0.0, math.inf)])
def test_the_interval_begins_with_the_acceptance(interval: float, at: float) -> None:
    """With 0 the settings are never requested again."""
    house = House(interval)
    house.refresh.accepted(house.generation)
    assert house.generation.refresh_at == at


def test_one_client_of_a_process_requests_the_settings(house: House) -> None:
    """The first one to claim it does. Another one checks soon for the answer, and uses it until it is old."""
    house.refresh.keep_fresh(house.generation, house.now)
    assert (house.requests, house.generation.refresh_at) == ([True], 1060.0)
    house.refresh.keep_fresh(house.generation, house.now)  # as the other one
    assert (house.requests, house.generation.refresh_at) == ([True], 1001.0)
    house.account.shared_at, house.account.mode = house.now, "NO_TRANSIENT"
    house.refresh.keep_fresh(house.generation, house.now + 1.0)
    assert (house.requests, house.generation.refresh_at) == ([True], 1031.0)
    assert house.signals == [Signal.THROTTLED]


def test_a_pause_that_the_service_asked_for_is_kept(house: House) -> None:
    """The next request is at its end."""
    house.account.settings_paused_until = 1500.0
    house.refresh.keep_fresh(house.generation, house.now)
    house.refresh.request(house.generation)
    assert (house.requests, house.generation.refresh_at) == ([], 1500.0)


def test_a_follower_leaves_the_request_to_other_clients(house: House) -> None:
    """The MODE of its leader counts. A client of the process that needs the settings can request them at once."""
    house.account.shared_mode = "DEFAULT"
    house.refresh.keep_fresh(house.generation, house.now)
    house.refresh.request(house.generation)
    assert (house.requests, house.generation.refresh_at) == ([], 1060.0)
    assert SETTINGS.claim(KEY, house.now)


def test_a_generation_makes_one_request_at_a_time(house: House) -> None:
    """A request in progress is enough."""
    house.generation.settings_known.clear()
    house.refresh.request(house.generation)
    assert house.requests == []

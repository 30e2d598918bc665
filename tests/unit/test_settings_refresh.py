"""The refresh of the service's settings: when a client requests them, and when it uses those of another one."""

from __future__ import annotations

import math
import threading
from types import SimpleNamespace
from typing import Any, List, Mapping, Optional, Union

import pytest

from cometchat import CometChatException
from cometchat._protocol._states import Phase, Step
from cometchat._runtime._threads import Wakeup
from cometchat._runtime.account._shared_settings import SharedSettings
from cometchat._runtime.connection import Generation, SettingsRefresh

KEY = ("app-of-test-settings-refresh", "https://api")
INTERVAL = 60.0


class FakeAccount:
    """The part of an account that a refresh needs."""

    settings_key = KEY
    mode = "DEFAULT"

    def __init__(self) -> None:
        self.shared_mode: Optional[str] = None
        self.settings_came_at = -math.inf
        self.used: List[Mapping[str, Any]] = []
        self.answer: Union[Mapping[str, Any], CometChatException] = {}

    def client_name(self) -> str:
        return "client 1"

    def take_new_settings(self, since: float) -> bool:
        return self.settings_came_at >= since

    def use_settings(self, settings: Mapping[str, Any]) -> None:
        self.used.append(settings)

    def is_throttled(self) -> bool:
        return self.mode != "DEFAULT"

    def refresh_settings(self, replace_token: bool) -> Mapping[str, Any]:
        if isinstance(self.answer, CometChatException):
            raise self.answer
        self.use_settings(self.answer)
        return self.answer


class House:
    """A refresh without threads. ``requests`` holds the value of ``replace_token`` of each request."""

    def __init__(self, interval: float = INTERVAL) -> None:
        self.account, self.now = FakeAccount(), 1000.0
        self.requests: List[bool] = []
        self.generation = Generation(1, threading.RLock())
        self.throttled: List[bool] = []  # as reported to the state
        state: Any = SimpleNamespace(apply_mode=self._apply_mode)
        account: Any = self.account
        self.refresh = SettingsRefresh(
            state,
            account=account,
            retry_outbox=lambda: None,
            sharing=None,
            interval=interval,
            thread_name="cometchat-{}-0",
            clock=lambda: self.now,
        )

    def _apply_mode(self, generation: Generation) -> None:
        self.throttled.append(self.account.is_throttled())


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> SharedSettings:
    """Return the settings that the clients share, and start no thread for a request."""

    class ThreadAtOnce:
        def __init__(self, name: str, work: Any, *, wanted: Any, wait: Any) -> None:
            self.work, self.wanted = work, wanted

        def start(self) -> None:
            assert self.wanted()  # without memory for its first call it runs again
            self.work()
            assert not self.wanted()

    made = SharedSettings()
    monkeypatch.setattr("cometchat._runtime.connection._settings_refresh.SETTINGS", made)
    monkeypatch.setattr("cometchat._runtime.connection._settings_refresh.ServiceThread", ThreadAtOnce)
    return made


@pytest.fixture
def house(shared: SharedSettings, monkeypatch: pytest.MonkeyPatch) -> House:
    made = House()

    def note(self: SettingsRefresh, generation: Generation, replace_token: bool) -> None:
        made.requests.append(replace_token)
        generation.settings_known.set()

    monkeypatch.setattr(SettingsRefresh, "_request", note)
    return made


@pytest.mark.parametrize("age, requests", [(0.0, []), (10.0, []), (10.1, [False])])
def test_an_opening_uses_the_settings_of_a_new_login(house: House, age: float, requests: List[bool]) -> None:
    """They came with the jwt, so nothing is requested, and nothing is waited for.

    ``connect()`` may be called hours after the login. Until then the service may have begun to throttle the app.
    """
    house.account.settings_came_at = house.now - age
    if not requests:
        house.generation.settings_known.clear()  # an earlier attempt has requested them
    house.refresh.opened(house.generation)
    assert house.requests == requests and house.generation.settings_known.is_set()


@pytest.mark.parametrize(
    "lost_at, shared_at, requests",
    [(None, 990.0, [False]), (980.0, 990.0, []), (995.0, 990.0, [False]), (980.0, 989.9, [False])],
)
def test_an_opening_uses_the_settings_that_another_client_got_after_the_loss(
    house: House, shared: SharedSettings, lost_at: Optional[float], shared_at: float, requests: List[bool]
) -> None:
    """Older ones may be those of before the loss, or out of date after a long outage.

    The handshake replaces a refused token, not this request.
    """
    shared.put(KEY, shared_at, {"MODE": "X"})
    house.generation.lost_at = lost_at
    house.refresh.opened(house.generation)
    assert house.requests == requests and house.account.used == ([] if requests else [{"MODE": "X"}])


@pytest.mark.parametrize("interval, at", [(INTERVAL, 1060.0), (0.0, math.inf)])
def test_the_interval_begins_with_the_acceptance(
    interval: float, at: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 0 the settings are never requested again. The acceptance waits for an answer, but not for long."""
    house, waits = House(interval), []
    monkeypatch.setattr(Wakeup, "wait", lambda self, seconds: waits.append((self, seconds)))
    house.refresh.accepted(house.generation)
    assert house.generation.refresh_at == at and waits == [(house.generation.settings_known, 2.0)]


def test_one_client_of_a_process_requests_the_settings(house: House, shared: SharedSettings) -> None:
    """The first one to claim it does. Another one checks soon for the answer, and uses it until it is old."""
    house.refresh.keep_fresh(house.generation, house.now)
    assert (house.requests, house.generation.refresh_at) == ([True], 1060.0)
    house.refresh.keep_fresh(house.generation, house.now)  # as the other one
    assert (house.requests, house.generation.refresh_at) == ([True], 1001.0)
    shared.put(KEY, house.now, {"MODE": "X"})
    house.account.mode = "NO_TRANSIENT"
    house.refresh.keep_fresh(house.generation, house.now + 1.0)
    assert (house.requests, house.generation.refresh_at) == ([True], 1031.0)
    assert house.account.used == [{"MODE": "X"}] and house.throttled == [True]
    house.refresh.keep_fresh(house.generation, house.now + 30.1)
    assert house.account.used == [{"MODE": "X"}]


def test_the_check_for_an_answer_keeps_to_a_short_interval(shared: SharedSettings) -> None:
    """The settings must not become older than the interval."""
    house = House(1.0)
    assert shared.claim(KEY, house.now)
    house.refresh.keep_fresh(house.generation, house.now)
    assert house.generation.refresh_at == 1000.5


def test_a_pause_that_the_service_asked_for_is_kept(house: House, shared: SharedSettings) -> None:
    """The next request is at its end."""
    shared.pause(KEY, 1500.0)
    house.refresh.keep_fresh(house.generation, house.now)
    house.refresh.request(house.generation)
    assert (house.requests, house.generation.refresh_at) == ([], 1500.0)


def test_a_follower_leaves_the_request_to_other_clients(house: House, shared: SharedSettings) -> None:
    """The MODE of its leader counts. A client of the process that needs the settings can request them at once."""
    house.account.shared_mode = "DEFAULT"
    house.refresh.keep_fresh(house.generation, house.now)
    house.refresh.request(house.generation)
    assert (house.requests, house.generation.refresh_at) == ([], 1060.0)
    assert shared.claim(KEY, house.now)


def test_an_answer_is_shared_with_the_other_clients(shared: SharedSettings) -> None:
    """Its time is that of the request. The next client may make the next request. This one uses the answer at once."""
    house = House()
    house.account.answer = {"MODE": "X"}
    house.refresh.keep_fresh(house.generation, house.now)
    assert shared.get(KEY, house.now) == {"MODE": "X"} and shared.get(KEY, house.now + 1) is None
    assert shared.claim(KEY, house.now) and house.generation.settings_known.is_set() and house.throttled == [False]


@pytest.mark.parametrize("retry_after, until", [(7.0, 1007.0), (None, 0.0)])
def test_a_refusal_of_the_service_counts_for_all_clients(
    shared: SharedSettings, retry_after: Optional[float], until: float, caplog: pytest.LogCaptureFixture
) -> None:
    """None of them asks before the end of a ``Retry-After``. Without one, the next client may ask."""
    house = House()
    house.account.answer = CometChatException("ERR_TOO_MANY_REQUESTS", "Wait.")
    house.account.answer.retry_after = retry_after
    house.refresh.keep_fresh(house.generation, house.now)
    assert shared.paused_until(KEY) == until and shared.get(KEY, 0.0) is None and caplog.text == ""
    assert shared.claim(KEY, house.now) and house.generation.settings_known.is_set()


def test_a_generation_makes_one_request_at_a_time(house: House) -> None:
    """A request in progress is enough."""
    house.generation.settings_known.clear()
    house.refresh.request(house.generation)
    assert house.requests == []


@pytest.mark.parametrize(
    "step, effects",
    [
        (None, []),
        (Step(Phase.ONLINE, Phase.THROTTLED), ["publish"]),
        (Step(Phase.THROTTLED, Phase.ONLINE), ["publish", "retry"]),
    ],
)
def test_a_change_of_the_mode_reaches_the_other_processes_and_the_outbox(
    step: Optional[Step], effects: List[str]
) -> None:
    """The outbox keeps receipts while the app is throttled."""
    done: List[str] = []
    sharing: Any = SimpleNamespace(publish=lambda: done.append("publish"))
    state: Any = SimpleNamespace(apply_mode=lambda generation: step)
    account: Any = FakeAccount()
    SettingsRefresh(
        state,
        account=account,
        retry_outbox=lambda: done.append("retry"),
        sharing=sharing,
        interval=INTERVAL,
        thread_name="cometchat-{}-0",
    ).apply_mode(Generation(1, threading.RLock()))
    assert done == effects


def test_settings_without_memory_for_a_thread_are_not_waited_for(
    shared: SharedSettings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The old settings are still used. Another client may make the request."""

    class NoThread:
        def __init__(self, name: str, work: Any, *, wanted: Any, wait: Any) -> None:
            pass

        def start(self) -> None:
            raise MemoryError("no room")

    monkeypatch.setattr("cometchat._runtime.connection._settings_refresh.ServiceThread", NoThread)
    house = House()
    house.refresh.keep_fresh(house.generation, house.now)
    assert "The settings can't be refreshed: no room" in caplog.text
    assert house.generation.settings_known.is_set() and shared.claim(KEY, house.now)

"""Turns: the number of threads that reconnect at the same moment, and the settings that clients of one process share.
"""

from __future__ import annotations

import threading
from typing import Callable, List, Optional

import pytest

from cometchat import _turns as module
from cometchat._runtime._threads import Wakeup
from cometchat._runtime.account._shared_settings import SharedSettings
from cometchat._turns import TURNS, Ticket, Turns

DEADLINE = 10.0


class Crowd:
    """Threads that take a turn, report it, and release it when the test says so."""

    def __init__(self, turns: Turns, count: int) -> None:
        self._turns = turns
        self.running = threading.Semaphore(0)
        self.end = threading.Semaphore(0)
        self.most = self.now = 0
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, name=f"test-turn-{each}") for each in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        self._turns.take()
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.running.release()
        assert self.end.acquire(timeout=DEADLINE)
        with self._lock:
            self.now -= 1
        self._turns.give_back()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()


class Clock:
    """Seconds that only the test changes."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Order:
    """The order in which threads get their turns. Each thread gives its turn back at once."""

    def __init__(self) -> None:
        self._threads: List[threading.Thread] = []
        self._names: List[str] = []
        self._turns: List[Turns] = []

    def start(self, name: str, call: Callable[[], object]) -> None:
        """Start a thread that waits in ``call`` for its turn."""
        thread = threading.Thread(target=self._run, args=(name, call), name=f"test-order-{name}")
        self._threads.append(thread)
        thread.start()

    def _run(self, name: str, call: Callable[[], object]) -> None:
        call()
        self._names.append(name)
        self.wait_until(lambda: self._turns != [])
        self._turns[0].give_back()

    @staticmethod
    def wait_until(is_so: Callable[[], bool]) -> None:
        for _ in range(int(DEADLINE / 0.001)):
            if is_so():
                return
            threading.Event().wait(0.001)
        raise AssertionError("not in time")

    def join(self, turns: Turns, count: Optional[int] = None) -> List[str]:
        """Let the threads give back their turns. Returns the names of the first threads in order, of all by default."""
        self._turns = [turns]
        count = len(self._threads) if count is None else count
        self.wait_until(lambda: len(self._names) >= count)
        if count == len(self._threads):
            for thread in self._threads:
                thread.join(DEADLINE)
                assert not thread.is_alive()
        return self._names[:]


def test_so_many_threads_have_a_turn_at_most() -> None:
    """The others follow, each when another one releases its turn."""
    crowd = Crowd(Turns(2, DEADLINE), 7)
    for _ in range(7):
        assert crowd.running.acquire(timeout=DEADLINE)
        assert crowd.now <= 2
        if crowd.now == 2 or crowd.most == 2:
            crowd.end.release()
    crowd.end.release(7)
    crowd.join()
    assert crowd.most == 2


def test_a_thread_has_one_turn() -> None:
    """Taking it twice is one turn. A second release is a no-op."""
    turns = Turns(1, 0.0)
    turns.take()
    turns.take()
    assert turns.give_back() and not turns.give_back()
    turns.take()
    assert turns.give_back()


def test_another_thread_uses_the_turn_of_a_thread_that_hangs() -> None:
    """The thread that hangs continues without a turn, and so has no turn to give back. There is still one turn."""
    clock = Clock()
    turns = Turns(1, 0.01, clock)
    turns.take()
    crowd = Crowd(turns, 2)
    assert not crowd.running.acquire(timeout=0.1)  # the time of a turn is counted from its beginning
    clock.now = 0.02
    assert crowd.running.acquire(timeout=DEADLINE)
    assert not turns.give_back()
    crowd.end.release(2)
    crowd.join()
    assert crowd.most == 1
    turns.take()
    assert turns.give_back()


def test_threads_that_wait_do_not_take_the_turn_of_a_thread_that_works() -> None:
    """A long queue is not a sign of a thread that hangs: each thread of the queue waits until its turn comes."""
    turns = Turns(1, 0.001, lambda: 0.0)
    turns.take()
    crowd = Crowd(turns, 5)
    assert not crowd.running.acquire(timeout=0.1)
    assert turns.give_back()
    crowd.end.release(5)
    crowd.join()
    assert crowd.most == 1


@pytest.mark.parametrize("waiting, seconds", [(0, 10.1), (99, 20.0), (9899, 1000.0)])
def test_many_threads_that_wait_check_for_a_hanging_holder_one_after_the_other(
    waiting: int, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Together they make at most a hundred checks in the 10 s after which a holder counts as hanging."""
    waits: List[float] = []

    class Granted(Ticket):
        def __init__(self) -> None:
            self.holder, self.granted = -1, self  # type: ignore[assignment]

        def acquire(self, timeout: float) -> bool:
            waits.append(timeout)
            return True

    monkeypatch.setattr(module, "Ticket", Granted)
    turns = Turns(0, 10.0, Clock())
    turns._others.extend(Granted() for _ in range(waiting))
    turns.take()
    assert waits == [pytest.approx(seconds)]


def test_a_thread_that_continues_comes_before_the_others_and_a_first_attempt_before_a_repeated_one() -> None:
    """A thread that the socket watch woke continues too, if it lends its turn."""
    turns, order = Turns(1, DEADLINE), Order()

    def wake(lends: bool) -> None:
        ticket = Ticket()
        if lends:
            turns._lent[ticket.holder] = 0.0
        turns.request(ticket)
        assert ticket.granted.acquire(timeout=DEADLINE)

    turns.take()
    order.start("again", turns.take)
    order.wait_until(lambda: len(turns._others) == 1)
    order.start("woken for the first time", lambda: wake(False))
    order.wait_until(lambda: len(turns._others) == 2)
    order.start("first", lambda: turns.take(is_first=True))
    order.wait_until(lambda: len(turns._first) == 1)
    order.start("continues", turns.resume)
    order.wait_until(lambda: len(turns._continuing) == 1)
    order.start("woken", lambda: wake(True))
    order.wait_until(lambda: len(turns._continuing) == 2)
    assert turns.give_back()
    assert order.join(turns) == ["continues", "woken", "first", "again", "woken for the first time"]
    assert not turns._lent


def test_only_some_attempts_are_in_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that wait for the network count for a second. Then their server is silent, and others may begin."""
    monkeypatch.setattr(module, "_MOST_BEGUN", 2)
    clock = Clock()
    turns, order = Turns(1, DEADLINE, clock), Order()
    turns._lent = {-1: 0.0, -2: 0.5}
    order.start("begins", turns.take)
    order.wait_until(lambda: len(turns._others) == 1)
    order.start("continues", turns.resume)
    assert order.join(turns, 1) == ["continues"]
    clock.now = 1.0
    order.start("begins too", turns.take)
    assert order.join(turns, 3) == ["continues", "begins", "begins too"]


def test_an_attempt_that_waits_for_the_network_is_in_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread lends its turn. Another attempt does not begin with it before this one continues."""
    monkeypatch.setattr(module, "_MOST_BEGUN", 1)
    turns, order = Turns(2, DEADLINE, Clock()), Order()
    turns.take()
    with turns.lent():
        order.start("begins", turns.take)
        order.wait_until(lambda: len(turns._others) == 1)
        with turns._lock:
            assert len(turns._others) == 1 and turns._free == 2
    assert order.join(turns) == ["begins"] and turns.give_back()


def test_a_turn_is_lent_for_the_time_of_a_wait() -> None:
    """Another thread has it then. A thread without a turn gets none by that."""
    turns = Turns(1, DEADLINE)
    turns.take()
    with turns.lent():
        crowd = Crowd(turns, 1)
        assert crowd.running.acquire(timeout=DEADLINE)
        crowd.end.release()
    crowd.join()
    assert turns.give_back()
    with turns.lent():
        pass
    assert not turns.give_back()


def test_a_wait_for_a_wakeup_gives_the_turn_away() -> None:
    """The wait between two attempts may last an hour."""
    wake = Wakeup()
    TURNS.take()
    try:
        assert not wake.wait(0.0)
        assert TURNS.give_back()  # it was taken again
    finally:
        TURNS.give_back()


def test_the_child_of_a_fork_has_all_turns() -> None:
    turns = Turns(1, 0.0)
    turns.take()
    turns.reset_after_fork()
    assert not turns.give_back()
    turns.take()
    assert turns.give_back()


def test_one_client_requests_the_settings_for_all() -> None:
    """The others wait for its answer, unless the request ends without one, or takes longer than 10 s."""
    shared = SharedSettings()
    assert shared.claim(("app", "https://a"), 5.0)
    assert not shared.claim(("app", "https://a"), 14.9)
    assert shared.claim(("other", "https://a"), 5.0) and shared.claim(("app", "https://b"), 5.0)
    assert shared.claim(("app", "https://a"), 15.0)
    shared.release(("app", "https://a"))
    assert shared.claim(("app", "https://a"), 15.1)
    shared.reset_after_fork()
    assert shared.claim(("app", "https://a"), 15.2)


def test_clients_of_an_app_keep_equal_settings_once() -> None:
    """The newest settings of each app are remembered, those of 64 apps at most."""
    shared = SharedSettings()
    first, equal, other = {"MODE": "DEFAULT"}, {"MODE": "DEFAULT"}, {"MODE": "NO_TRANSIENT"}
    assert shared.intern("app", first) is first and shared.intern("app", equal) is first
    assert shared.intern("second app", equal) is equal
    assert shared.intern("app", other) is other and shared.intern("app", equal) is equal
    for number in range(64):
        shared.intern(f"app{number}", {})
    assert shared.intern("app", first) is first


@pytest.mark.parametrize("since, is_shared", [(9.0, True), (10.0, True), (10.5, False)])
def test_settings_are_shared_if_they_were_asked_for_since(since: float, is_shared: bool) -> None:
    """A client that lost its connection later asks itself: the service may have changed its mode in between."""
    shared = SharedSettings()
    shared.put(("app", "https://a"), 10.0, {"MODE": "DEFAULT"})
    assert (shared.get(("app", "https://a"), since) is not None) is is_shared
    assert shared.get(("other", "https://a"), since) is shared.get(("app", "https://b"), since) is None


def test_the_apps_that_are_remembered_are_bounded() -> None:
    shared = SharedSettings()
    for number in range(200):
        shared.put((f"app{number}", "https://a"), float(number), {})
    kept = [number for number in range(200) if shared.get((f"app{number}", "https://a"), 0.0) is not None]
    assert kept == list(range(136, 200))
    shared.reset_after_fork()
    assert shared.get(("app199", "https://a"), 0.0) == {}


def test_a_wait_that_the_service_asks_for_is_for_one_api_of_one_app() -> None:
    """The longest wait counts. Those of 64 apps at most are remembered."""
    settings, key = SharedSettings(), ("app", "https://api")
    assert settings.paused_until(key) == 0.0
    settings.pause(key, 20.0)
    settings.pause(key, 10.0)
    assert settings.paused_until(key) == 20.0
    assert settings.paused_until(("app", "https://other")) == settings.paused_until(("other", "https://api")) == 0.0
    for number in range(64):
        settings.pause((f"app{number}", "https://api"), 5.0)
    assert settings.paused_until(key) == 0.0 and settings.paused_until(("app63", "https://api")) == 5.0


def test_late_settings_do_not_replace_newer_ones() -> None:
    """The answer to the earlier of two requests arrives last."""
    settings, key = SharedSettings(), ("app", "https://api")
    settings.put(key, 10.0, {"MODE": "newer"})
    settings.put(key, 5.0, {"MODE": "older"})
    assert settings.get(key, 6.0) == {"MODE": "newer"}

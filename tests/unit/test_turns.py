"""Turns: the number of threads that reconnect at the same moment, and the settings that clients of one process share.
"""

from __future__ import annotations

import threading
from typing import List

import pytest

from cometchat._runtime._shared_settings import SharedSettings
from cometchat._runtime._threads import Wakeup
from cometchat._turns import TURNS, Turns

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


def test_a_blocked_turn_does_not_block_the_others_forever() -> None:
    """After its patience a thread continues without a turn, and so has no turn to release."""
    turns, went_on = Turns(1, 0.01), Wakeup()
    turns.take()
    without: List[bool] = []

    def other() -> None:
        turns.take()
        without.append(turns.give_back())
        went_on.set()

    threading.Thread(target=other, name="test-other", daemon=True).start()
    assert went_on.wait(DEADLINE) and without == [False]
    assert turns.give_back()


def test_a_turn_is_given_away_during_a_wait() -> None:
    """Another thread has it then. A thread without a turn does not get one by that."""
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


@pytest.mark.parametrize("since, is_shared", [(9.0, True), (10.0, True), (10.5, False)])
def test_settings_are_shared_if_they_were_asked_for_since(since: float, is_shared: bool) -> None:
    """A client that lost its connection later asks itself: the service may have changed its mode in between."""
    shared = SharedSettings()
    shared.put("app", "https://a", 10.0, {"MODE": "DEFAULT"})
    assert (shared.get("app", "https://a", since) is not None) is is_shared
    assert shared.get("other", "https://a", since) is shared.get("app", "https://b", since) is None


def test_the_apps_that_are_remembered_are_bounded() -> None:
    shared = SharedSettings()
    for number in range(200):
        shared.put(f"app{number}", "https://a", float(number), {})
    kept = [number for number in range(200) if shared.get(f"app{number}", "https://a", 0.0) is not None]
    assert kept == list(range(136, 200))
    shared.reset_after_fork()
    assert shared.get("app199", "https://a", 0.0) == {}

"""Bell: an event that is set for each frame. It loses no wake-up, and leaves no waiting thread behind."""

from __future__ import annotations

import threading
from typing import List

from cometchat._runtime._threads import Bell

PATIENCE = 20.0


def test_a_set_bell_lets_through_until_it_is_cleared() -> None:
    """One clear() is enough, also if it was set many times."""
    bell = Bell()
    assert not bell.wait(0)
    for _ in range(3):
        bell.set()
    assert bell.wait(0) and bell.wait()
    bell.clear()
    assert not bell.wait(0)
    bell.set()
    assert bell.wait(0)


def test_one_set_wakes_all_waiters() -> None:
    """A waiter that is released leaves the bell set for the next one."""
    bell, through = Bell(), threading.Semaphore(0)

    def wait() -> None:
        if bell.wait(PATIENCE):
            through.release()

    threads = [threading.Thread(target=wait, name="test-waiter", daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    bell.set()
    assert all(through.acquire(timeout=PATIENCE) for _ in threads)
    for thread in threads:
        thread.join(PATIENCE)


def test_a_ring_that_is_left_over_wakes_no_waiter_for_good() -> None:
    """A ring may come after a clear(): the waiter reads the flag, and waits again."""
    now = [0.0]

    def clock() -> float:
        now[0] += 0.5
        return now[0]

    bell = Bell(clock)
    bell._rings.put(None)
    assert not bell.wait(1.0)
    bell.set()
    assert bell.wait(1.0)


def test_no_set_is_lost_between_two_threads() -> None:
    """Ten thousand items each have a set(). The other thread clears, looks and waits, and gets them all."""
    bell, taken = Bell(), 0
    items: List[int] = []

    def give() -> None:
        for number in range(10_000):
            items.append(number)
            bell.set()

    thread = threading.Thread(target=give, name="test-giver", daemon=True)
    thread.start()
    while taken < 10_000:
        bell.clear()
        if len(items) == taken:
            assert bell.wait(PATIENCE), taken
        taken = len(items)
    thread.join(PATIENCE)

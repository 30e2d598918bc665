"""Wakeup: an event for several waiting threads, which a signal handler may set at any moment."""

from __future__ import annotations

import itertools
import signal
import sys
import threading
from types import FrameType
from typing import Any, Callable, List, Optional

import pytest
from interruption import Interruption

from cometchat._runtime import _threads as _wakeup
from cometchat._runtime._threads import Wakeup

DEADLINE = 10.0


def in_thread(work: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True, name="test-wakeup")
    thread.start()
    return thread


def ended(thread: threading.Thread) -> bool:
    thread.join(DEADLINE)
    return not thread.is_alive()


def test_set_and_clear() -> None:
    """A wakeup is set until it is cleared. Both calls may be repeated."""
    wakeup = Wakeup()
    assert not wakeup.is_set() and not wakeup.wait(0)
    wakeup.set()
    wakeup.set()
    assert wakeup.is_set() and wakeup.wait() and wakeup.wait(0)
    wakeup.clear()
    wakeup.clear()
    assert not wakeup.is_set() and not wakeup.wait(0)
    assert not wakeup.wait(-1.0)


def test_it_wakes_all_waiters() -> None:
    """One set() wakes each of several threads."""
    wakeup = Wakeup()
    results: List[bool] = []
    threads = [in_thread(lambda: results.append(wakeup.wait(DEADLINE))) for _ in range(8)]
    wakeup.set()
    assert all(ended(thread) for thread in threads)
    assert results == [True] * 8


def test_a_wait_without_limit() -> None:
    """wait() returns at a later set()."""
    wakeup = Wakeup()
    thread = in_thread(wakeup.wait)
    assert thread.is_alive()
    wakeup.set()
    assert ended(thread)


def test_a_limit_beyond_what_the_system_takes() -> None:
    """Any number of seconds is a limit."""
    wakeup = Wakeup()
    thread = in_thread(lambda: wakeup.wait(1e300))
    wakeup.set()
    assert ended(thread)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="this system can't signal a thread")
@pytest.mark.parametrize("limit", [None, 600.0])
def test_a_signal_that_ends_no_wait(limit: Optional[float]) -> None:
    """Its handler runs soon, although the system's wait goes on: on Windows, and if another thread gets the signal."""
    wakeup, receives = Wakeup(), threading.Event()
    receiver = in_thread(receives.wait)
    main = threading.get_ident()

    def signal_once_it_waits() -> None:
        while sys._current_frames()[main].f_code is not Wakeup.wait.__code__:
            continue
        signal.pthread_kill(receiver.ident or 0, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, lambda *_: wakeup.set())
    try:
        sender = in_thread(signal_once_it_waits)
        assert wakeup.wait(limit)
    finally:
        signal.signal(signal.SIGUSR1, before)
        receives.set()
    assert ended(sender) and ended(receiver)


def test_the_limit_counts_from_the_start() -> None:
    """A waiter that wakes up too early does not start its limit again."""
    times = iter([0.0, 0.0, 5.0, 20.0])
    wakeup = Wakeup(clock=lambda: next(times))
    wakeup._gate.release()  # like after a set() and a clear() in between
    assert not wakeup.wait(0.001)


def test_a_set_during_a_clear_is_kept() -> None:
    """A waiter that has just found it cleared passes the gate."""
    wakeup = Wakeup()
    wakeup.set()
    gate = wakeup._gate

    class Gate:
        """Sets the event once, just before ``clear()`` closes the gate."""

        release = gate.release

        def acquire(self, blocking: bool) -> bool:
            wakeup.set()
            return gate.acquire(blocking)

    wakeup._gate = Gate()  # type: ignore[assignment]
    wakeup.clear()
    assert wakeup.is_set() and gate.acquire(blocking=False)


def test_no_wake_up_is_lost() -> None:
    """Two threads answer each other through two Wakeups, 2,000 times."""
    ping, pong = Wakeup(), Wakeup()

    def answer() -> None:
        for _ in range(2000):
            assert ping.wait(DEADLINE)
            ping.clear()
            pong.set()

    thread = in_thread(answer)
    for _ in range(2000):
        ping.set()
        assert pong.wait(DEADLINE)
        pong.clear()
    assert ended(thread)


class _AtLine:
    """Calls a function once, before line number ``line`` of the module that runs under it."""

    def __init__(self, line: int, call: Callable[[], Any]) -> None:
        self.left, self._call = line, call

    def __call__(self, frame: FrameType, event: str, _: Any) -> Optional[Any]:
        if frame.f_code.co_filename != _wakeup.__file__:
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                self._call()
        return self


def under(hook: _AtLine, work: Callable[[], Any]) -> None:
    sys.settrace(hook)
    try:
        work()
    finally:
        sys.settrace(None)


@pytest.mark.parametrize("work", ["set", "clear", "is_set", "wait"])
def test_set_at_any_line(work: str) -> None:
    """A set() in the middle of any call, as in a signal handler, neither hangs nor gets lost."""
    for start_set in (False, True):
        for line in range(1, 40):
            wakeup = Wakeup()
            if start_set:
                wakeup.set()
            hook = _AtLine(line, wakeup.set)
            call = getattr(wakeup, work)
            thread = in_thread(lambda: under(hook, lambda: call(0.01) if work == "wait" else call()))
            assert ended(thread)
            if hook.left > 0:
                break
            if work != "clear" or wakeup.is_set():  # clear() came last, or set() did
                assert wakeup.is_set() and wakeup.wait(0)
            wakeup.clear()
            assert not wakeup.wait(0)
            wakeup.set()
            assert wakeup.wait(0)
        assert hook.left > 0  # the last round found no such line


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer signals on this system")
def test_an_interrupted_wait_does_not_block_the_others() -> None:
    """A KeyboardInterrupt comes at any point of a wait that has just ended. Another thread waits in the same way."""
    for at in itertools.count(1):
        looks = itertools.count(1)

        def set_at_the_second_look() -> float:
            if next(looks) == 2:  # after the check whether it is set
                wakeup.set()
            return 0.0

        wakeup = Wakeup(set_at_the_second_look)
        was_interrupted = Interruption(at).happens_in(lambda: wakeup.wait(DEADLINE))
        assert wakeup._gate.locked() is not wakeup.is_set(), at
        if not was_interrupted:
            return


def test_set_in_a_signal_handler_ends_the_wait() -> None:
    """The main thread waits without limit, and its own signal handler ends the wait."""
    wakeup = Wakeup()
    before = signal.signal(signal.SIGALRM, lambda *_: wakeup.set())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert wakeup.wait()
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_wait_of_the_main_thread_goes_on_after_each_of_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts let signal handlers run. They do not end the wait."""
    monkeypatch.setattr(_wakeup, "_STRETCH", 0.001)
    times = itertools.count()
    assert not Wakeup(lambda: float(next(times))).wait(10.0)
    assert next(times) > 10

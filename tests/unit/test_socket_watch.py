"""The watch over idle sockets: many threads wait, and a few run at the same moment."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import select
import socket
import subprocess
import sys
import threading
import time
import types
from typing import Any, Callable, Iterator, List, Optional, Tuple

import pytest

from cometchat import _turns as module
from cometchat._transport.net import _stream
from cometchat._turns import SocketWatch, Ticket, Turns

DEADLINE = 10.0

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="only Linux has epoll")


class Crowd:
    """Threads that wait with a watch, each for its own socket. Each thread that wakes runs until the test ends it."""

    def __init__(self, watch: SocketWatch, turns: Turns, count: int, timeout: float = DEADLINE) -> None:
        self._watch, self._turns, self._timeout = watch, turns, timeout
        self.pairs = [socket.socketpair() for _ in range(count)]
        self.descriptors = [ours.fileno() for ours, _ in self.pairs]
        self.results: List[Optional[List[int]]] = [None] * count
        self.running = threading.Semaphore(0)
        self.end = threading.Semaphore(0)
        self.threads = [threading.Thread(target=self._run, args=(n,), name=f"test-watch-{n}") for n in range(count)]
        for thread in self.threads:
            thread.start()

    def _run(self, number: int) -> None:
        self.results[number] = self._watch.wait([self.descriptors[number]], self._timeout)
        self.running.release()
        assert self.end.acquire(timeout=DEADLINE)
        self._turns.give_back()

    def wait_until_watched(self) -> None:
        for _ in range(int(DEADLINE / 0.001)):
            if len(self._watch._waiters) == len(self.pairs):
                return
            threading.Event().wait(0.001)
        raise AssertionError("not all are watched")

    def write(self, *numbers: int) -> None:
        for number in numbers:
            self.pairs[number][1].send(b"x")

    def close(self) -> None:
        self.end.release(len(self.threads))
        for thread in self.threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()
        for pair in self.pairs:
            for each in pair:
                each.close()


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the thread of a watch end as soon as no thread waits. No such thread is left after a test."""
    monkeypatch.setattr(module, "_LINGER", 0.02)
    yield
    end_of_watches()


def end_of_watches() -> None:
    for thread in threading.enumerate():
        if thread.name == "cometchat-sockets":
            thread.join(DEADLINE)
            assert not thread.is_alive()


def new_watch(turns: int = 2, most_alone: int = 0) -> Tuple[SocketWatch, Turns]:
    made = Turns(turns, DEADLINE)
    return SocketWatch(made, most_alone), made


def test_a_few_threads_run_at_the_same_moment() -> None:
    """All sockets are ready at once. As many threads wake as there are turns, and each that ends wakes another.

    The thread of the watch does not keep a program alive.
    """
    watch, turns = new_watch()
    crowd = Crowd(watch, turns, 7)
    crowd.wait_until_watched()
    daemons = [thread.daemon for thread in threading.enumerate() if thread.name == "cometchat-sockets"]
    crowd.write(*range(7))
    for _ in range(2):
        assert crowd.running.acquire(timeout=DEADLINE)
    for _ in range(5):
        assert not crowd.running.acquire(timeout=0.01)
        crowd.end.release()
        assert crowd.running.acquire(timeout=DEADLINE)
    crowd.close()
    assert crowd.results == [[each] for each in crowd.descriptors] and daemons == [True]


def test_a_timeout_wakes_without_a_turn(caplog: pytest.LogCaptureFixture) -> None:
    watch, turns = new_watch()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for _ in range(2):  # the descriptor can be watched again
            assert watch.wait([ours.fileno()], 0.01) == []
    assert not turns.give_back()
    end_of_watches()
    assert caplog.records == []


def test_the_descriptor_that_is_ready() -> None:
    """With several descriptors, each waiting thread gets its own. The end of the other side counts as readable."""
    watch, turns = new_watch()
    (one, its_peer), (two, other_peer) = socket.socketpair(), socket.socketpair()
    with one, two, other_peer:
        its_peer.close()
        assert watch.wait([two.fileno(), one.fileno()], DEADLINE) == [one.fileno()]
        assert turns.give_back()
        assert watch._waiters == {}


def test_descriptors_that_it_can_not_watch() -> None:
    """For a closed descriptor, or one of another waiting thread, the caller looks itself, and no entry is left."""
    watch, turns = new_watch()
    crowd = Crowd(watch, turns, 1)
    crowd.wait_until_watched()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        (descriptor,) = crowd.descriptors
        assert watch.wait([ours.fileno(), descriptor], DEADLINE) is None
        assert list(watch._waiters) == [descriptor]
    assert watch.wait([ours.fileno()], DEADLINE) is None
    crowd.write(0)
    crowd.close()
    assert crowd.results == [[descriptor]]


def test_a_descriptor_that_is_ready_in_time_is_returned_when_the_turn_comes_later() -> None:
    """The pong of a server is not missed because other threads have the turns. The thread asks for one turn only."""
    watch, turns = new_watch(turns=1)
    turns.take()
    crowd = Crowd(watch, turns, 1, timeout=0.05)
    crowd.write(0)
    assert not crowd.running.acquire(timeout=0.2)
    turns.give_back()
    assert crowd.running.acquire(timeout=DEADLINE)
    crowd.close()
    assert crowd.results == [crowd.descriptors] and turns._free == 1


def test_an_exception_during_the_wait_loses_no_turn() -> None:
    """After a KeyboardInterrupt, for example, the turn that the watch has taken for the thread can be released."""
    watch, turns = new_watch(turns=1)
    ours, theirs = socket.socketpair()

    class Interrupted:
        def __init__(self, lock: Any) -> None:
            self._lock = lock
            self.release = lock.release

        def acquire(self, timeout: float) -> bool:
            assert self._lock.acquire(timeout=timeout)
            raise KeyboardInterrupt

    class Waiter(module._Waiter):
        def __init__(self, descriptors: Any) -> None:
            super().__init__(descriptors)
            self.granted = Interrupted(self.granted)  # type: ignore[assignment]

    with ours, theirs, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_Waiter", Waiter)
        theirs.send(b"x")
        with pytest.raises(KeyboardInterrupt):
            watch.wait([ours.fileno()], DEADLINE)
        assert watch._waiters == {} and turns.give_back()


def test_an_error_of_the_watch_wakes_all(caplog: pytest.LogCaptureFixture) -> None:
    """Each thread then looks itself, before the error is logged: a handler may hang. The next wait starts a watch."""
    woken = threading.Event()

    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            assert woken.wait(2 * DEADLINE)

    class Broken(Turns):
        def request(self, ticket: Ticket) -> None:
            raise RuntimeError("broken")

    turns = Broken(1, DEADLINE)
    watch = SocketWatch(turns, 0)
    crowd = Crowd(watch, turns, 3)
    crowd.wait_until_watched()
    slow, log = Slow(), logging.getLogger("cometchat.connection")
    log.addHandler(slow)
    try:
        crowd.write(1)
        for _ in range(3):
            assert crowd.running.acquire(timeout=DEADLINE / 2)
    finally:
        woken.set()
        crowd.close()
        for thread in threading.enumerate():
            if thread.name == "cometchat-sockets":
                thread.join(DEADLINE)
        log.removeHandler(slow)
    assert crowd.results == [[each] for each in crowd.descriptors]
    assert watch._epoll is None and "Unexpected error of the socket watch" in caplog.text


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()], ids=repr)
def test_a_system_without_threads_or_descriptors(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    watch, _ = new_watch()

    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(module.threading, "Thread", refuse)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert watch.wait([ours.fileno()], DEADLINE) is None and watch._epoll is None
        monkeypatch.delattr(module.select, "epoll")
        assert watch.wait([ours.fileno()], DEADLINE) is None


def test_the_system_finds_a_waiting_thread_quickly() -> None:
    """Linux 6.16 and later has 16 lists of waiting threads on two cores. The watch asks for more, once."""
    code = """if True:
        import ctypes, os, socket
        from cometchat._turns import SocketWatch
        prctl = ctypes.CDLL(None).prctl
        lists = lambda: prctl(78, 2, 0, 0, 0)
        prctl(78, 1, 16, 0, 0)
        before = lists()
        ours, theirs = socket.socketpair()
        theirs.send(b"x")
        assert SocketWatch().wait([ours.fileno()], 10.0) == [ours.fileno()]
        print(before, lists())
    """
    answer = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, timeout=60, check=True).stdout
    before, after = map(int, answer.split())
    if before != 16:
        pytest.skip("this system has no such lists")
    assert after == module._FUTEX_SLOTS


def test_a_system_without_prctl(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The watch works there too."""
    ctypes = types.SimpleNamespace(CDLL=lambda name: object())
    monkeypatch.setitem(sys.modules, "ctypes", ctypes)
    caplog.set_level("DEBUG", "cometchat")
    module.spread_waiting_threads()
    assert "waking a thread takes longer" in caplog.text


def test_few_threads_wait_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number of threads do. Further ones use the watch, only for long waits to read."""
    watch, turns = new_watch(most_alone=1)
    monkeypatch.setattr(_stream, "WATCH", watch)
    monkeypatch.setattr(_stream, "TURNS", turns)
    asked: List[List[int]] = []
    monkeypatch.setattr(watch, "wait", lambda descriptors, timeout: asked.append(list(descriptors)))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"x")
        descriptor = ours.fileno()
        wait_ready = functools.partial(_stream.wait_ready, watched=True)
        assert wait_ready([descriptor], [], DEADLINE) == [descriptor] and asked == []
        watch._alone[0] = None
        assert wait_ready([descriptor], [], 0.5) == [descriptor]
        assert wait_ready([], [descriptor], DEADLINE) == [descriptor]
        assert wait_ready([descriptor], [], 0.0) == [descriptor]
        assert _stream.wait_ready([descriptor], [], DEADLINE) == [descriptor] and asked == []
        assert wait_ready([descriptor], [], DEADLINE) == [descriptor] and asked == [[descriptor]]
        assert list(watch._alone) == [0]


def test_the_threads_that_wait_alone_are_counted() -> None:
    """A thread may wait alone again once another one has ended its wait."""
    watch, _ = new_watch(most_alone=1)
    entered: List[bool] = []

    def enter_on_another_thread() -> None:
        thread = threading.Thread(target=lambda: entered.append(watch.enter_alone()), name="test-alone")
        thread.start()
        thread.join(DEADLINE)

    assert watch.enter_alone()
    enter_on_another_thread()
    watch.leave_alone()
    enter_on_another_thread()
    assert entered == [False, True]


@pytest.mark.parametrize("is_http", [True, False])
def test_a_call_over_http_ends_without_a_turn(monkeypatch: pytest.MonkeyPatch, is_http: bool) -> None:
    """Only a connection thread gives back the turn with which the watch wakes it.

    An HTTP call waits for the answer of a proxy. Its thread may be the user's, and would keep the turn.
    """
    watch, turns = new_watch(most_alone=0)
    monkeypatch.setattr(_stream, "WATCH", watch)
    monkeypatch.setattr(_stream, "TURNS", turns)
    ours, theirs = socket.socketpair()
    wake = None if is_http else _stream.Interrupter()
    stream = _stream.BufferedStream(ours, wake)
    stream.read_deadline = time.monotonic() + DEADLINE

    def answered(wait: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: (theirs.send(b"HTTP/1.1 200 OK"), wait(*args))[1]

    monkeypatch.setattr(watch, "wait", answered(watch.wait))
    monkeypatch.setattr(_stream, "_poll", answered(_stream._poll))
    with ours, theirs, contextlib.ExitStack() as at_end:
        if wake is not None:
            at_end.callback(wake.close)
        assert stream.recv(100) == b"HTTP/1.1 200 OK"
    assert turns.give_back() is not is_http


def test_the_child_of_a_fork_has_a_new_watch() -> None:
    """The parent's threads wait on. The child watches its own descriptors."""
    watch, turns = new_watch()
    crowd = Crowd(watch, turns, 2)
    crowd.wait_until_watched()
    child = os.fork()
    if child == 0:
        try:
            watch.reset_after_fork()
            ours, theirs = socket.socketpair()
            theirs.send(b"x")
            os._exit(0 if watch.wait([ours.fileno()], DEADLINE) == [ours.fileno()] else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    crowd.write(0, 1)
    crowd.close()
    assert all(crowd.results)

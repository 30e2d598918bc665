"""Promise 11: a fork is safe while other threads create, use and close clients."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
import traceback
from typing import Callable, Iterator, List

import pytest

from cometchat import AppSettings, Client, CometChat, ConnectionListener, TextMessage

from .harness import DEADLINE, World, eventually

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

#: Number of clients that exist at the fork, and number of forks.
CLIENTS, FORKS = 40, 12


class Light(ConnectionListener):
    """Counts its changes to green in this process."""

    def __init__(self) -> None:
        self.green = 0

    def on_connected(self) -> None:
        self.green += 1


def _in_child(check: Callable[[], None], limit: int = 60) -> int:
    """Fork, and run a check in the child, for at most ``limit`` seconds. Returns the child's exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(limit)
            check()
            code = 0
        except BaseException:
            traceback.print_exc(file=sys.stderr)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class _Busy:
    """Threads that create, use and close clients."""

    def __init__(self, world: World, clients: List[Client]) -> None:
        self._world = world
        self._clients = clients
        self._over = threading.Event()
        works = (self._create_and_close, self._create_and_close, self._use)
        self._threads = [threading.Thread(target=work, daemon=True) for work in works]
        for thread in self._threads:
            thread.start()

    def _create_and_close(self) -> None:
        while not self._over.is_set():
            with Client("app", self._world.settings(session_store=None)) as other:
                other.login("u2", "key")

    def _use(self) -> None:
        while not self._over.is_set():
            for client in self._clients:
                client.outbox.pending()
                client.stats()
                client.get_logged_in_user()

    def end(self) -> None:
        """End the threads."""
        self._over.set()
        for thread in self._threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()


@pytest.mark.skipif(
    sys.implementation.name == "pypy", reason="PyPy 7.3.11 itself crashes in such a child, unless its JIT is off"
)
def test_forks_while_other_threads_create_use_and_close_clients(world: World, tmp_path: object) -> None:
    """Each child connects all clients, and calls its listeners.

    The parent's clients continue, and every outbox is unlocked.
    """
    lights = [Light() for _ in range(CLIENTS)]
    clients = [Client("app", world.settings(session_store=None, outbox_path=f"{tmp_path}/box")) for _ in lights]
    for client, light in zip(clients, lights):
        client.add_connection_listener("light", light)
        client.login("u1", "key")
        client.connect(DEADLINE)
    busy = _Busy(world, clients)

    def check() -> None:
        for client in clients:
            assert client.wait_for_status("connected", DEADLINE)
        assert eventually(lambda: all(light.green == 2 for light in lights)), "once in the parent, once here"
        client = clients[0]
        client.outbox.put(TextMessage(receiver_id="u2", receiver_type="user", text="from the child"))
        client.disconnect()
        assert client.get_connection_status() == "disconnected"

    for _ in range(FORKS):
        assert _in_child(check) == 0
    busy.end()
    for client in clients:
        assert client.get_connection_status() == "connected"
        client.outbox.put(TextMessage(receiver_id="u2", receiver_type="user", text="from the parent"))
    assert clients[0].outbox.flush(DEADLINE)
    for client in clients:
        client.close()


def test_a_fork_while_another_thread_holds_the_lock_of_a_client(world: World) -> None:
    """The fork continues after a moment, and neither the child nor the parent finds the lock held."""
    client = Client("app", world.settings(session_store=None))
    client.login("u1", "key")
    client.connect(DEADLINE)
    began = time.monotonic()
    with _held(client._registry.lock):
        code = _in_child(lambda: _must(client.wait_for_status("connected", DEADLINE)))
        assert code == 0 and time.monotonic() - began < DEADLINE
    client.disconnect()
    assert client.get_connection_status() == "disconnected"
    client.close()


def test_a_fork_while_another_thread_holds_a_lock_without_an_open_client() -> None:
    """Listeners can be added before ``init()`` and removed after ``close()``. The child finds both locks free."""
    closed = Client("app", AppSettings(region="us"))
    closed.close()

    def check() -> None:
        CometChat.remove_connection_listener(CometChat.add_connection_listener(ConnectionListener()))
        closed.remove_connection_listener("light")

    for lock in (CometChat._registry.lock, closed._registry.lock):
        with _held(lock):
            assert _in_child(check, 10) == 0


def test_a_client_that_the_parent_closed_does_not_warn_in_the_child() -> None:
    """The fork ran Python's hooks, so nothing is wrong."""
    client = Client("app", AppSettings(region="us"))
    client.close()

    def check() -> None:
        logged: List[str] = []
        handler = logging.Handler(logging.WARNING)
        handler.emit = lambda record: logged.append(record.getMessage())  # type: ignore[method-assign]
        logging.getLogger("cometchat").addHandler(handler)
        assert client.get_connection_status() == "disconnected"
        client.close()
        assert logged == []

    assert _in_child(check) == 0


def _must(answer: object) -> None:
    assert answer


@contextlib.contextmanager
def _held(lock: threading.RLock) -> Iterator[None]:
    """Hold a lock on another thread for the duration of a block."""
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            over.wait(2 * DEADLINE)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    assert held.wait(DEADLINE)
    yield
    over.set()
    thread.join(DEADLINE)


def test_one_client_that_fails_does_not_stop_the_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that fails stops the others neither in the parent nor in the child."""
    clients: List[Client] = [Client("app", world.settings(session_store=None)) for _ in range(3)]
    for client in clients:
        client.login("u1", "key")
        client.connect(DEADLINE)
    broken = clients[1]._core

    def fail() -> None:
        raise RuntimeError("a part of this client is broken")

    monkeypatch.setattr(broken, "pause_for_fork", fail)
    monkeypatch.setattr(broken, "reset_after_fork", fail)

    def check() -> None:
        for client in (clients[0], clients[2]):
            assert client.wait_for_status("connected", DEADLINE)

    assert _in_child(check) == 0
    for client in clients:
        assert client.get_connection_status() == "connected"
        client.close()

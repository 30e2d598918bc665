"""Waits for descriptors by select(), on a system without poll(): Windows, and a process that eventlet has patched."""

from __future__ import annotations

import errno
import select
import socket
import threading
from typing import Any, List, Sequence, Tuple

import pytest

from cometchat._transport.net import Address
from cometchat._transport.net import _stream as stream_module
from cometchat._transport.net._host_probe import HostProbe
from cometchat._transport.net._stream import wait_ready
from cometchat._turns import Turns

DEADLINE = 10.0


@pytest.fixture(autouse=True)
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """No poll(), and Windows's select(): it refuses to wait for nothing, and reports some sockets in two lists."""
    real_select = select.select

    def select_(
        reading: Sequence[int], writing: Sequence[int], failing: Sequence[int], timeout: float
    ) -> Tuple[List[Any], ...]:
        if not (reading or writing or failing):
            raise OSError(errno.EINVAL, "An invalid argument was supplied")
        readable, writable, _ = real_select(reading, writing, [], timeout)
        return readable, writable, list(writable)

    monkeypatch.setattr(select, "select", select_)
    monkeypatch.setattr(stream_module, "_POLLS", False)


def test_a_wait_for_nothing() -> None:
    """It finds nothing, and raises nothing."""
    assert wait_ready([], [], 0.0) == []


def test_each_descriptor_is_found_once() -> None:
    """A descriptor in two of the system's lists is one in the result."""
    one, other = socket.socketpair()
    with one, other:
        other.send(b".")
        found = wait_ready([one.fileno()], [other.fileno(), one.fileno()], DEADLINE)
        assert sorted(found) == sorted([one.fileno(), other.fileno()])
        assert wait_ready([other.fileno()], [], 0.0) == []


def test_the_probe_of_a_host() -> None:
    """A host that answers is found. The first check has no open connection yet."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        probe = HostProbe([Address(socket.AF_INET, socket.SOCK_STREAM, 0, listener.getsockname())])
        try:
            assert wait_until(probe.is_back)
        finally:
            probe.close()


def wait_until(reached: Any) -> bool:
    """Check each time that the peer could have answered."""
    tries = threading.Event()
    return any(reached() or tries.wait(0.01) for _ in range(int(DEADLINE * 100)))


def test_a_thread_that_waits_lends_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts that wait for a silent host do not hold up those of other clients."""
    turns = Turns(count=1, patience=10 * DEADLINE)
    monkeypatch.setattr(stream_module, "TURNS", turns)
    one, other = socket.socketpair()
    has_turn = threading.Event()
    found: List[List[int]] = []

    def wait_with_a_turn() -> None:
        turns.take()
        has_turn.set()
        found.append(wait_ready([one.fileno()], [], DEADLINE))
        turns.give_back()

    def take_a_turn() -> None:
        assert has_turn.wait(DEADLINE)
        turns.take()
        turns.give_back()
        other.send(b".")

    threads = [threading.Thread(target=work, daemon=True) for work in (wait_with_a_turn, take_a_turn)]
    with one, other:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * DEADLINE)
        assert found == [[one.fileno()]]

"""The probe of a host: events that count as an answer, silence, and the sockets that stay open."""

from __future__ import annotations

import errno
import socket
import time
from typing import Callable, Iterator, List, Optional

import pytest
from rows import each_row

from cometchat._transport.net import _host_probe as probe_module
from cometchat._transport.net._host_probe import (
    EVERY,
    LOOK,
    Address,
    HostProbe,
    Hosts,
    SharedProbe,
    host_probe_for,
    is_silence,
    remember_unanswered,
)

DEADLINE = 10.0


def address(port: int) -> Address:
    return Address(socket.AF_INET, socket.SOCK_STREAM, 0, ("127.0.0.1", port))


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Silence:
    """A listening port that answers no SYN while its queue is full."""

    def __init__(self) -> None:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        self.address = address(self._listener.getsockname()[1])
        self._fillers: List[socket.socket] = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(self.address.address)
            self._fillers.append(filler)

    def end(self) -> None:
        """Accept all waiting connections."""
        self._listener.listen(64)

    def close(self) -> None:
        for one in (*self._fillers, self._listener):
            one.close()


@pytest.fixture
def silence() -> Iterator[Silence]:
    made = Silence()
    yield made
    made.close()


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> List[socket.socket]:
    """All sockets that the probe makes."""
    made: List[socket.socket] = []
    original = socket.socket

    class Known(original):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: int) -> None:
            super().__init__(*arguments)
            made.append(self)

    class Module:
        socket = Known

        def __getattr__(self, name: str) -> object:
            return getattr(socket, name)

    monkeypatch.setattr(probe_module, "socket", Module())
    return made


def eventually(look: Callable[[], bool], clock: Optional[Clock] = None) -> bool:
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if clock is not None:
            clock.now += EVERY
        if look():
            return True
    return False


def test_a_refusal_is_an_answer(sockets: List[socket.socket]) -> None:
    """No server listens on the port, but the host exists."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    probe = HostProbe([address(port)])
    assert eventually(probe.is_back)
    probe.close()
    assert [one.fileno() for one in sockets] == [-1]


def test_a_connection_is_an_answer_and_is_closed(sockets: List[socket.socket]) -> None:
    """The listening server gets a connection that ends without a byte."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE)
        probe = HostProbe([address(server.getsockname()[1])])
        assert eventually(probe.is_back)
        connection, _ = server.accept()
        with connection:
            connection.settimeout(DEADLINE)
            assert connection.recv(1) == b""
        assert [one.fileno() for one in sockets] == [-1]


def test_silence_and_then_an_answer(silence: Silence) -> None:
    """The host is not back while no address answers, and is back after the first answered SYN."""
    clock = Clock()
    probe = HostProbe([silence.address], clock)
    for _ in range(10):
        assert not probe.is_back()
        clock.now += EVERY / 4
    silence.end()
    assert eventually(probe.is_back, clock)
    probe.close()


def test_one_syn_a_second_and_four_open_at_the_most(silence: Silence, sockets: List[socket.socket]) -> None:
    """More calls do not send more SYNs. The oldest socket makes room. At the end no socket is open."""
    clock = Clock()
    probe = HostProbe([silence.address], clock)
    for second in range(10):
        for _ in range(4):
            assert not probe.is_back()
        assert len(sockets) == second + 1
        assert [one.fileno() >= 0 for one in sockets] == [place > second - 4 for place in range(second + 1)]
        clock.now += EVERY
    probe.close()
    assert {one.fileno() for one in sockets} == {-1}


def test_a_network_without_a_way_is_not_an_answer(monkeypatch: pytest.MonkeyPatch, silence: Silence) -> None:
    """If connect() fails at once, raises, or has no descriptor, the host is not back, and is asked again later."""
    clock = Clock()
    probe = HostProbe([silence.address], clock)
    codes: List[int] = [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EPERM]

    class Fake:
        def __init__(self, *_: int) -> None:
            if not codes:
                raise OSError(errno.EMFILE, "no descriptors left")

        def setblocking(self, _: bool) -> None: ...

        def close(self) -> None: ...

        def connect_ex(self, _: object) -> int:
            code = codes.pop(0)
            if code == errno.EPERM:
                raise PermissionError(code, "not permitted")
            return code

    monkeypatch.setattr(socket, "socket", Fake)
    for left in (2, 1, 0, 0):
        assert not probe.is_back()
        assert len(codes) == left
        clock.now += EVERY
    monkeypatch.undo()
    silence.end()
    assert eventually(probe.is_back, clock)
    probe.close()


def test_each_family_has_its_turn_each_second(silence: Silence) -> None:
    """If IPv6 leads nowhere, IPv4 is still asked. Within a family the addresses take turns."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        nowhere = Address(socket.AF_INET6, socket.SOCK_STREAM, 0, ("100::1", 9, 0, 0))
        clock = Clock()
        probe = HostProbe([nowhere, silence.address, address(server.getsockname()[1])], clock)
        assert not probe.is_back()  # the silent port
        clock.now += EVERY
        probe.is_back()  # the server, which may answer at once or a moment later
        assert eventually(probe.is_back)
        probe.close()


def test_the_waits_of_a_process_share_a_probe(silence: Silence, sockets: List[socket.socket]) -> None:
    """A thousand waits send one SYN per second. Each checks less often, so that they end one after the other."""
    clock, hosts = Clock(), Hosts()
    probes = [SharedProbe([silence.address], hosts, clock) for _ in range(1000)]
    assert probes[0].every == LOOK
    assert not any([probe.is_back() for probe in probes]) and len(sockets) == 1
    assert probes[0].every == 10.0
    clock.now += EVERY
    assert not any([probe.is_back() for probe in probes]) and len(sockets) == 2
    silence.end()
    assert eventually(probes[0].is_back, clock)
    count = len(sockets)
    clock.now += EVERY
    assert all([probe.is_back() for probe in probes]) and len(sockets) == count
    for probe in probes:
        probe.close()
        probe.close()
    assert {one.fileno() for one in sockets} == {-1} and hosts._by_addresses == {}


def test_an_answer_to_an_earlier_wait_does_not_end_a_later_one(silence: Silence) -> None:
    """The host may have gone away again in between."""
    clock, hosts = Clock(), Hosts()
    first = SharedProbe([silence.address], hosts, clock)
    assert not first.is_back()
    silence.end()
    assert eventually(first.is_back, clock)
    clock.now += 0.1
    second = SharedProbe([silence.address], hosts, clock)
    assert first.is_back() and not second.is_back()
    assert eventually(second.is_back, clock)
    first.close()
    second.close()


def test_a_thread_does_not_wait_for_the_thread_that_probes(silence: Silence) -> None:
    """It returns at once, and looks again later. In the child of a fork no wait is left."""
    hosts = Hosts()
    probe = SharedProbe([silence.address], hosts)
    assert not probe.is_back()
    (host,) = hosts._by_addresses.values()
    with host._turn:
        assert not probe.is_back()
    probe.close()
    hosts.enter((silence.address,), time.monotonic)
    hosts.reset_after_fork()
    assert hosts._by_addresses == {}


@each_row(
    "error, silent",
    [
        (socket.timeout("timed out"), True),
        (OSError(errno.EHOSTUNREACH, ""), True),
        (OSError(errno.ENETUNREACH, ""), True),
        (OSError(errno.ETIMEDOUT, ""), True),
        (OSError(errno.EADDRNOTAVAIL, ""), True),
        (ConnectionRefusedError(errno.ECONNREFUSED, ""), False),
        (ConnectionResetError(errno.ECONNRESET, ""), False),
        (OSError(errno.EMFILE, ""), False),
        (PermissionError(errno.EACCES, ""), False),
        (OSError("of some library"), False),
    ],
)
def test_the_meaning_of_silence(error: OSError, silent: bool) -> None:
    """Neither a refusal nor a lack of this machine counts as silence."""
    assert is_silence(error) is silent


def test_the_addresses_come_with_the_cause() -> None:
    """The cause may be wrapped in other errors. Without addresses there is no probe."""
    inner, outer = OSError("silence"), ValueError("wrapped")
    outer.__cause__ = inner
    assert host_probe_for(outer) is None and host_probe_for(None) is None
    remember_unanswered(inner, [])
    assert host_probe_for(outer) is None
    remember_unanswered(inner, [address(9)])
    assert host_probe_for(outer) is not None and host_probe_for(inner) is not None

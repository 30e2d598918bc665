"""From a name to a TCP connection: the order of the addresses, the race between them, and the open sockets."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
import time
from types import FrameType
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

import pytest

from cometchat._transport.net import Address, Connector, DeadlineReached, Interrupted, Interrupter
from cometchat._transport.net import _dial as dial_module
from cometchat._transport.net import host_probe_for
from cometchat._transport.net._dial import STAGGER, Ranking, in_turns

DEADLINE = 10.0


def v4(number: int) -> Address:
    return Address(socket.AF_INET, socket.SOCK_STREAM, 6, (f"192.0.2.{number}", 80))


def v6(number: int) -> Address:
    return Address(socket.AF_INET6, socket.SOCK_STREAM, 6, (f"2001:db8::{number}", 80, 0, 0))


class Network:
    """Stands in for the system: a clock that only waits move, and addresses that answer after some seconds.

    An address that is not in the table never answers. A negative number is that of an error.
    """

    def __init__(self, answers: Dict[Address, Tuple[float, int]]) -> None:
        self.now = 100.0
        self.answers = answers
        self.syns: List[Tuple[float, Address]] = []
        self.open: Dict[int, Tuple[float, Address]] = {}
        self.most_open = 0
        self.takes_options = True
        self.lacks: List[int] = []  # the families that the system does not have
        self._number = 1000

    def clock(self) -> float:
        return self.now

    def begin(self, address: Address) -> int:
        self._number += 1
        self.syns.append((round(self.now - 100.0, 3), address))
        self.open[self._number] = (self.now, address)
        self.most_open = max(self.most_open, len(self.open))
        return self._number

    def wait_ready(self, reading: Sequence[int], writing: Sequence[int], timeout: float) -> List[int]:
        """Move the clock to the first answer, or to the end of the wait."""
        ends = self.now + timeout
        due = []
        for number in writing:
            began, address = self.open[number]
            if address in self.answers:
                due.append((max(began + self.answers[address][0], self.now), number))
        first = [(moment, number) for moment, number in due if moment <= ends]
        if not first:
            self.now = ends
            return []
        self.now = min(first)[0]
        return [number for moment, number in first if moment == self.now]

    def code(self, number: int) -> int:
        return self.answers[self.open[number][1]][1]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    made = Network({})

    class Raw:
        def __init__(self, family: int, kind: int, protocol: int) -> None:
            if family in made.lacks:
                raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
            self._kind = (family, kind, protocol)
            self._number = -1

        def setblocking(self, flag: bool) -> None:
            assert not flag

        def connect_ex(self, address: Any) -> int:
            self._number = made.begin(Address(*self._kind, address))
            return errno.EINPROGRESS

        def fileno(self) -> int:
            return self._number

        def getsockopt(self, *_: int) -> int:
            return made.code(self._number)

        def setsockopt(self, *_: int) -> None:
            """Accept the option that switches Nagle's algorithm off, or refuse it like macOS."""
            if not made.takes_options:
                raise OSError(errno.EINVAL, "Invalid argument")

        def close(self) -> None:
            made.open.pop(self._number, None)

    class Module:
        socket = Raw

        def __getattr__(self, name: str) -> object:
            return getattr(socket, name)

    monkeypatch.setattr(dial_module, "socket", Module())
    monkeypatch.setattr(dial_module, "wait_ready", made.wait_ready)
    yield made


def connector_of(network: Network, addresses: List[Address], seconds: float, ranking: Ranking) -> Connector:
    return Connector(
        deadline=network.now + seconds,
        addresses_of=lambda host, port: addresses,
        clock=network.clock,
        ranking=ranking,
    )


def close(network: Network, stream: Any) -> Address:
    """Close the winner's stream. Returns the winner's address."""
    winner = network.open[stream._raw.fileno()][1]
    stream.release_after_fork()
    assert network.open == {}, "the losers are closed"
    return winner


def connect(network: Network, addresses: List[Address], seconds: float = 10.0, ranking: Any = None) -> Any:
    """Connect, and return the address of the winner."""
    connector = connector_of(network, addresses, seconds, Ranking() if ranking is None else ranking)
    return close(network, connector.connect("host.example", 80))


def test_the_families_take_turns() -> None:
    """The addresses have the order of the look-up, each address once. The last winner, and its family, come first."""
    found = [v6(1), v6(2), v6(3), v4(1), v4(2), v6(1)]
    assert in_turns(found, None) == [v6(1), v4(1), v6(2), v4(2), v6(3)]
    assert in_turns(found, v4(2)) == [v4(2), v6(1), v4(1), v6(2), v6(3)]
    assert in_turns(found, v6(3)) == [v6(3), v4(1), v6(1), v4(2), v6(2)]
    assert in_turns(found, v4(9)) == in_turns(found, None)
    assert in_turns([], None) == []
    assert in_turns(found, v6(1), [v6(1), v4(9), v4(1)]) == [v6(2), v4(2), v6(3), v6(1), v4(1)]


def test_a_silent_first_address_costs_a_quarter_of_a_second(network: Network) -> None:
    """The next one starts after 250 ms, and wins."""
    network.answers = {v4(1): (0.02, 0)}
    assert connect(network, [v6(1), v4(1)]) == v4(1)
    assert network.syns == [(0.0, v6(1)), (STAGGER, v4(1))]
    assert network.now == pytest.approx(100.0 + STAGGER + 0.02)


def test_a_quick_first_address_is_the_only_one_that_is_asked(network: Network) -> None:
    """Other hosts get no SYN."""
    network.answers = {v6(1): (0.2, 0), v4(1): (0.0, 0)}
    assert connect(network, [v6(1), v4(1)]) == v6(1)
    assert network.syns == [(0.0, v6(1))]


def test_a_slow_lookup_takes_no_time_from_the_connection(network: Network) -> None:
    """``connect_timeout`` is for TCP, TLS and the upgrade. Name servers may be slower than that."""
    network.answers = {v4(1): (1.5, 0)}

    def addresses_of(host: str, port: int) -> List[Address]:
        network.now += 12.0
        return [v4(1)]

    connector = Connector(
        deadline=network.now + 10.0, addresses_of=addresses_of, clock=network.clock, ranking=Ranking()
    )
    assert connector.look_up("host.example", 443) == [v4(1)], "as for a SOCKS proxy"
    stream = connector.connect("proxy.example", 80)
    assert stream.read_deadline == stream.write_deadline == 100.0 + 12.0 + 12.0 + 10.0
    assert close(network, stream) == v4(1)


def test_a_slow_first_address_may_win_late(network: Network) -> None:
    """A slow address stays in the race while the connector tries the others."""
    network.answers = {v6(1): (0.6, 0)}
    assert connect(network, [v6(1), v4(1), v6(2)]) == v6(1)
    assert [moment for moment, _ in network.syns] == [0.0, 0.25, 0.5]


def test_a_connection_that_the_peer_has_just_ended(network: Network) -> None:
    """macOS then refuses an option. The stream reports the end, as it does elsewhere."""
    network.answers, network.takes_options = {v4(1): (0.01, 0)}, False
    assert connect(network, [v4(1)]) == v4(1)


def test_windows_has_a_text_for_each_code(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """There, os.strerror calls each code of a socket an unknown error."""
    monkeypatch.setattr(os, "strerror", lambda code: "Unknown error")
    monkeypatch.setattr(socket, "errorTab", {errno.ENETUNREACH: "The network is unreachable."}, raising=False)
    for code, text in ((errno.ENETUNREACH, "The network is unreachable"), (errno.EHOSTUNREACH, "Unknown error")):
        network.answers = {v4(1): (0.01, code)}
        with pytest.raises(OSError) as caught:
            connect(network, [v4(1)])
        assert (caught.value.errno, caught.value.strerror) == (code, text)


def test_after_a_failure_the_next_one_starts_at_once(network: Network) -> None:
    """The next attempt starts at once, also while another attempt runs."""
    network.answers = {v4(1): (0.01, errno.ECONNREFUSED), v6(2): (0.01, 0)}
    assert connect(network, [v6(1), v4(1), v6(2)]) == v6(2)
    assert [moment for moment, _ in network.syns] == [0.0, 0.25, 0.26]


def test_refusals_one_after_the_other(network: Network) -> None:
    """Refusals take only their own time."""
    network.answers = {v6(1): (0.01, errno.ECONNREFUSED), v4(1): (0.01, errno.ECONNREFUSED), v6(2): (0.01, 0)}
    assert connect(network, [v6(1), v4(1), v6(2)]) == v6(2)
    assert [moment for moment, _ in network.syns] == [0.0, 0.01, 0.02]


def test_the_last_winner_is_first_the_next_time(network: Network) -> None:
    """A dead IPv6 costs its 250 ms once."""
    ranking = Ranking()
    network.answers = {v4(1): (0.02, 0)}
    connect(network, [v6(1), v4(1)], ranking=ranking)
    network.syns.clear()
    assert connect(network, [v6(1), v4(1)], ranking=ranking) == v4(1)
    assert [address for _, address in network.syns] == [v4(1)]


def test_an_address_of_no_use_is_last_the_next_time(network: Network) -> None:
    """It answers TCP, and nothing else. With several such addresses each has its turn. The first that is of use stays
    in front, and one that is of use again has its old place.
    """
    ranking, found = Ranking(), [v6(1), v4(1), v4(2)]
    network.answers = {address: (0.02, 0) for address in found}
    for number, expected in enumerate([v6(1), v4(1), v4(2), v6(1), v4(1)]):
        connector = connector_of(network, found, 10.0, ranking)
        assert close(network, connector.connect("host.example", 80)) == expected
        connector.note_use(expected == v4(1) and number > 1)
    for _ in range(3):
        assert connect(network, found, ranking=ranking) == v4(1)
    network.answers[v4(1)] = (0.02, errno.ECONNREFUSED)
    connector = connector_of(network, found, 10.0, ranking)
    assert close(network, connector.connect("host.example", 80)) == v4(2), "it was of no use longest ago"
    connector.note_use(True)
    assert ranking.known("host.example", 80).useless == (v6(1),)


def at_each_line(function: Any, call: Callable[[], object], between: Callable[[], object]) -> None:
    """Make the call once for each line of the function, with ``between`` before that line."""

    def look(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code is not function.__code__:
            return None
        if event == "line":
            lines.append(frame.f_lineno)
            if len(lines) == at:
                between()
        return look

    at, lines = 0, [0]
    while len(lines) >= at:
        at, lines = at + 1, []
        before = sys.gettrace()
        sys.settrace(look)
        try:
            call()
        finally:
            sys.settrace(before)
    assert at > 5


def test_a_thread_that_notes_an_address_hides_nothing_from_others() -> None:
    """While a thread notes that an address answered, other threads know which addresses were of no use."""
    ranking, seen = Ranking(), []
    ranking.note("host", 80, v4(1), False)
    at_each_line(Ranking.note, lambda: ranking.note("host", 80, v4(2)), lambda: seen.append(ranking.known("host", 80)))
    assert {known.useless for known in seen} == {(v4(1),)}


def test_two_threads_may_note_addresses_of_one_host() -> None:
    """Neither of two useless addresses is forgotten."""
    rankings: List[Ranking] = []
    threads: List[threading.Thread] = []

    def note() -> None:
        rankings.append(Ranking())
        rankings[-1].note("host", 80, v4(1), False)

    def note_in_a_thread() -> None:
        threads.append(threading.Thread(target=rankings[-1].note, args=("host", 80, v4(2), False)))
        threads[-1].start()
        threads[-1].join(0.05)  # it may have to wait for the end of the call

    at_each_line(Ranking.note, note, note_in_a_thread)
    for thread in threads:
        thread.join(DEADLINE)
    found = [set(ranking.known("host", 80).useless) for ranking in rankings]
    assert found == [{v4(1), v4(2)}] * len(threads) + [{v4(1)}]


def test_a_connector_without_an_answer_has_no_use_to_note(network: Network) -> None:
    """The ranking stays empty."""
    ranking = Ranking()
    connector = connector_of(network, [v4(1)], 1.0, ranking)
    with pytest.raises(DeadlineReached):
        connector.connect("host.example", 80)
    connector.note_use(False)
    assert ranking.known("host.example", 80) == (None, ())


def test_winners_are_known_of_64_hosts(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that won longest ago is dropped."""
    ranking = Ranking()
    for port in range(64):
        ranking.note("host", port, v4(9))
    network.answers = {v4(1): (0.0, 0)}
    connect(network, [v4(1)], ranking=ranking)
    assert ranking.known("host", 0).winner is None
    assert [ranking.known("host", port).winner for port in range(1, 64)] == [v4(9)] * 63
    assert ranking.known("host.example", 80).winner == v4(1)


def test_a_new_syn_each_second(network: Network) -> None:
    """The kernel would repeat a lost one after 1, 3 and 7 s. No SYN starts with less than a second left."""
    with pytest.raises(DeadlineReached):
        connect(network, [v4(1)], 4.5)
    assert [moment for moment, _ in network.syns] == [0.0, 1.0, 2.0, 3.0]
    assert network.now == pytest.approx(104.5) and network.open == {}


def test_a_network_that_comes_back(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first SYN after the network's return is answered."""

    def begin(address: Address) -> int:
        network.answers = {v4(1): (0.05, 0)} if network.now >= 103.0 else {}
        return original(address)

    original = network.begin
    monkeypatch.setattr(network, "begin", begin)
    assert connect(network, [v4(1)]) == v4(1)
    assert 103.0 <= network.now < 103.1


def test_twelve_sockets_at_the_most(network: Network) -> None:
    """The oldest makes room, and all are closed at the end."""
    with pytest.raises(DeadlineReached):
        connect(network, [v6(1), v4(1), v6(2), v4(2)], 30.0)
    assert network.most_open <= 13 and len(network.syns) > 50 and network.open == {}


def test_one_refusal_ends_an_address_with_all_its_sockets(network: Network) -> None:
    """The connector does not ask it again."""
    network.answers = {v4(1): (2.5, errno.ECONNREFUSED)}
    with pytest.raises(ConnectionRefusedError):
        connect(network, [v4(1)])
    assert [moment for moment, _ in network.syns] == [0.0, 1.0, 2.0] and network.open == {}


@pytest.mark.parametrize(
    "answers, silent",
    [
        ({}, True),
        ({v6(1): (0.1, errno.ENETUNREACH)}, True),
        ({v6(1): (0.1, errno.ENETUNREACH), v4(1): (0.1, errno.EHOSTUNREACH)}, True),
        ({v6(1): (0.1, errno.ECONNREFUSED)}, False),
        ({v6(1): (0.1, errno.ECONNREFUSED), v4(1): (0.1, errno.ENETUNREACH)}, False),
    ],
)
def test_only_silence_leaves_addresses_to_ask(network: Network, answers: Any, silent: bool) -> None:
    """A refusal is an answer."""
    network.answers = answers
    with pytest.raises(OSError) as caught:
        connect(network, [v6(1), v4(1)], 2.0)
    assert (host_probe_for(caught.value) is not None) is silent


@pytest.mark.parametrize("code", [errno.ECONNREFUSED, errno.ENETUNREACH])
def test_a_system_without_ipv6_reports_the_failure_of_ipv4(network: Network, code: int) -> None:
    """The name servers still return IPv6 addresses."""
    network.answers, network.lacks = {v4(1): (0.0, code)}, [socket.AF_INET6]
    with pytest.raises(OSError) as caught:
        connect(network, [v4(1), v6(1)])
    assert caught.value.errno == code and (host_probe_for(caught.value) is None) is (code == errno.ECONNREFUSED)
    with pytest.raises(OSError) as caught:
        connect(network, [v6(1)])
    assert caught.value.errno == errno.EAFNOSUPPORT, "the host has no other address"


@pytest.mark.parametrize("answers", [{}, {v6(1): (0.0, errno.ENETUNREACH)}])
def test_an_answer_is_reported_rather_than_silence(network: Network, answers: Any) -> None:
    """The server refuses on IPv4, and this network has no IPv6: the user must look at the server."""
    network.answers = {**answers, v4(1): (0.0, errno.ECONNREFUSED)}
    with pytest.raises(ConnectionRefusedError):
        connect(network, [v4(1), v6(1)], 2.0)


def test_a_system_without_sockets(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address whose socket cannot be made has failed. The error has the reason."""

    def no_socket(*_: int) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    class Module:
        socket = staticmethod(no_socket)

        def __getattr__(self, name: str) -> object:
            return getattr(socket, name)

    monkeypatch.setattr(dial_module, "socket", Module())
    with pytest.raises(OSError) as caught:
        connect(network, [v6(1), v4(1)])
    assert caught.value.errno == errno.EMFILE and host_probe_for(caught.value) is None


def test_an_interrupter_ends_the_race() -> None:
    """The race ends at once, and every socket is closed."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        interrupter, raised = Interrupter(), []
        connector = Connector(deadline=time.monotonic() + 60, interrupter=interrupter)

        def run() -> None:
            try:
                connector.connect("127.0.0.1", listener.getsockname()[1])
            except Interrupted as error:
                raised.append(error)

        thread = threading.Thread(target=run, name="test-connector")
        thread.start()
        interrupter.interrupt()
        thread.join(DEADLINE)
        assert len(raised) == 1 and connector._tries == []
        for one in (*fillers, interrupter):
            one.close()


def test_real_sockets() -> None:
    """A connection that is accepted carries bytes. A refused one raises the system's exception for that."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        stream = Connector(deadline=time.monotonic() + DEADLINE).connect("127.0.0.1", port)
        stream.send(b"x")
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(DEADLINE)
            assert accepted.recv(1) == b"x"
        stream.close()
    with pytest.raises(ConnectionRefusedError) as caught:
        Connector(deadline=time.monotonic() + DEADLINE).connect("127.0.0.1", port)
    assert caught.value.errno == errno.ECONNREFUSED and caught.value.strerror

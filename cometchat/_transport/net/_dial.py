"""Connects to a host: happy eyeballs (RFC 8305), a new SYN every second, and a proxy if there is one.

The WebSocket and HTTP both use it, so that both connect and report failures in the same way. It tries the addresses in
turn, IPv6 and IPv4, starting with the one that answered last time. The next address starts after 250 ms, or at once
after a failure. The first address that answers wins. If its connection is of no use, because TLS or the upgrade fails
or the server is silent, the next attempt tries the other addresses first. If no address answers, the error keeps the
addresses for :mod:`._host_probe`.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ... import _fork
from ..._proxy_address import BadProxy, Proxy
from ._errors import DialFailed, network_reason, system_error
from ._host_probe import Address, is_silence, remember_unanswered
from ._http_head import BadAnswer, Refused
from ._proxy import host_and_port
from ._stream import BufferedStream, DeadlineReached, Interrupted, Interrupter, wait_ready
from ._tunnel import ask_for_tunnel, host_for

#: Seconds after which the next address starts in parallel.
STAGGER = 0.25

#: Seconds after which an address without an answer gets a new SYN, from a new socket.
_NEW_SYN = 1.0

#: Maximum number of sockets that wait for an answer. Beyond it the oldest is closed.
_MOST_SOCKETS = 12

#: Maximum number of remembered hosts, and of addresses of one host that were of no use.
_MOST_HOSTS, _MOST_USELESS = 64, 16

#: Looks up a host: takes its name and a port, and returns its addresses.
LookUp = Callable[[str, int], List[Address]]


def look_up(host: str, port: int) -> List[Address]:
    """Ask the system. Nothing limits how long this takes.

    :raises OSError, UnicodeError: the host has no address, the name is invalid, or the process has no descriptor left.
    """
    try:
        found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    except socket.gaierror:
        lack = _lack_of_descriptors()
        if lack is None:
            raise
    else:
        return [Address(family, kind, protocol, address) for family, kind, protocol, _, address in found]
    raise system_error(lack)  # not in the handler: the lookup's error, its context, would count as the reason


def _lack_of_descriptors() -> Optional[int]:
    """Return the error code if no descriptor is left, which makes the system call every name unknown; else None."""
    try:
        socket.socket().close()
    except OSError as error:
        return error.errno if error.errno in (errno.EMFILE, errno.ENFILE) else None
    return None


def in_turns(
    addresses: Sequence[Address], last_winner: Optional[Address], useless: Sequence[Address] = ()
) -> List[Address]:
    """Order addresses for trying: families in turn, in the order of the lookup, but the last winner first.

    :param useless: these come last, the newest of them at the end.
    """
    addresses = sorted(addresses, key=lambda each: each != last_winner)
    families: Dict[int, List[Address]] = {}
    for address in dict.fromkeys(addresses):
        families.setdefault(address.family, []).append(address)
    rows = list(families.values())
    turns = [row[at] for at in range(max(map(len, rows), default=0)) for row in rows if at < len(row)]
    return sorted(turns, key=lambda each: useless.index(each) + 1 if each in useless else 0)


class _Known(NamedTuple):
    """The results of earlier attempts to reach a host.

    :ivar winner: the address that answered last.
    :ivar useless: the addresses whose newest connection was of no use, the newest last.
    """

    winner: Optional[Address] = None
    useless: Tuple[Address, ...] = ()


class Ranking(_fork.ForkSafe):
    """Remembers which addresses of hosts worked. Any thread."""

    def __init__(self) -> None:
        # Replaced as a whole: reading takes no lock.
        self._known: Dict[Tuple[str, int], _Known] = {}
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In the child of a fork: replace the lock, which a thread of the parent may have held."""
        self._lock = threading.RLock()  # re-entrant: a signal handler may interrupt note()

    def known(self, host: str, port: int) -> _Known:
        """Return what is known about a host."""
        return self._known.get((host, port), _Known())

    def note(self, host: str, port: int, address: Address, useful: Optional[bool] = None) -> None:
        """Note that an address answered.

        :param useful: whether its connection was of use; None if that is not known yet.
        """
        with self._lock:
            known = self._known.copy()
            useless = known.pop((host, port), _Known()).useless
            if useful is not None:
                useless = tuple(each for each in useless if each != address)
            if useful is False:
                useless = (*useless, address)[-_MOST_USELESS:]
            known[host, port] = _Known(address, useless)
            if len(known) > _MOST_HOSTS:
                del known[next(iter(known))]
            self._known = known


#: Of this process.
RANKING = Ranking()

_fork.register(_fork.Layer.PROCESS, RANKING)


class _Try(NamedTuple):
    """A socket that is connecting."""

    raw: socket.socket
    address: Address


class Connector:
    """Connects to a host once.

    :param deadline: monotonic seconds; see :meth:`look_up`.
    :param interrupter: ends the wait; None if only the deadline ends it.
    :param addresses_of: looks a name up.
    :param ranking: of this process.
    """

    def __init__(
        self,
        *,
        deadline: float,
        interrupter: Optional[Interrupter] = None,
        addresses_of: LookUp = look_up,
        clock: Callable[[], float] = time.monotonic,
        ranking: Ranking = RANKING,
    ) -> None:
        self.deadline = deadline
        self._addresses_of = addresses_of
        self._interrupter = interrupter
        self._clock = clock
        self._ranking = ranking
        self._won: Optional[Tuple[str, int, Address]] = None  # host, port and address of the connection
        self._tries: List[_Try] = []  # oldest first
        self._next_syn: Dict[Address, float] = {}  # when an address that has started gets its next SYN
        self._next_start = 0.0  # when the next address starts
        self._failures: List[OSError] = []

    def connect(self, host: str, port: int) -> BufferedStream:
        """Connect. Returns a stream with the deadline set.

        :raises OSError, UnicodeError: the system's error, or Interrupted or DeadlineReached.
        """
        addresses = in_turns(self.look_up(host, port), *self._ranking.known(host, port))
        try:
            winner = self._race(list(addresses))
        finally:
            self.close()
        if winner is None:
            raise self._failure(addresses)
        self._won = host, port, winner.address
        self._ranking.note(*self._won)
        with contextlib.suppress(OSError):  # macOS refuses it once the peer has ended the connection
            winner.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = BufferedStream(winner.raw, self._interrupter, self._clock)
        stream.read_deadline = stream.write_deadline = self.deadline
        return stream

    def look_up(self, host: str, port: int) -> List[Address]:
        """Look a host up, and add the time for it to the deadline."""
        began = self._clock()
        found = self._addresses_of(host, port)
        self.deadline += self._clock() - began
        return found

    def note_use(self, useful: bool) -> None:
        """Note whether the connection was of use. If not, the next attempt tries other addresses first.

        No-op if no address answered.
        """
        if self._won is not None:
            self._ranking.note(*self._won, useful)

    def close(self) -> None:
        """Close the sockets that are still connecting. Takes no lock, so the child of a fork may call it too."""
        while self._tries:
            self._tries.pop().raw.close()

    def _race(self, waiting: List[Address]) -> Optional[_Try]:
        """Try the addresses until one answers. Returns None if all failed or the deadline is reached."""
        now = self._clock()
        while (waiting or self._next_syn) and now < self.deadline:
            if waiting and now >= self._next_start:
                self._next_start = now + STAGGER
                self._start(waiting.pop(0), now)
                continue  # it may already have failed
            for address, due in list(self._next_syn.items()):
                # The kernel repeats a lost SYN after 1, 3 and 7 s. So a socket that started while the network was down
                # would stay down long after it is back. The earlier sockets stay open, because the answer may only be
                # slow.
                if due <= now and now + _NEW_SYN <= self.deadline:
                    self._start(address, now)
            event = min(self._next_event(now), self._next_start if waiting else self.deadline)
            winner = self._first_answer(event - now)
            if winner is not None:
                return winner
            now = self._clock()
        return None

    def _next_event(self, now: float) -> float:
        """Return the time of the next SYN, or the deadline."""
        dues = [due for due in self._next_syn.values() if now < due <= self.deadline - _NEW_SYN]
        return min([*dues, self.deadline])

    def _start(self, address: Address, now: float) -> None:
        """Send a SYN from a new socket."""
        raw = None
        try:
            raw = socket.socket(*address[:3])
            raw.setblocking(False)
            code = raw.connect_ex(address.address)
            if code not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
                raise system_error(code)
        except OSError as error:
            if raw is not None:
                raw.close()
            if any(each.address == address for each in self._tries):  # an earlier SYN may still be answered
                self._next_syn[address] = now + _NEW_SYN
            else:
                self._fail(address, error)
            return
        self._tries.append(_Try(raw, address))
        self._next_syn[address] = now + _NEW_SYN
        while len(self._tries) > _MOST_SOCKETS:
            self._tries.pop(0).raw.close()

    def _fail(self, address: Address, error: OSError) -> None:
        """Drop an address with all its sockets. The next address starts at once."""
        self._next_start = 0.0
        self._failures.append(error)
        self._next_syn.pop(address, None)
        for each in [each for each in self._tries if each.address == address]:
            self._tries.remove(each)
            each.raw.close()

    def _first_answer(self, timeout: float) -> Optional[_Try]:
        """Wait until a socket is connected. Drops the addresses of sockets that failed."""
        if self._interrupter is not None and self._interrupter.interrupted:
            raise Interrupted("interrupted")
        by_descriptor = {each.raw.fileno(): each for each in self._tries}
        interrupts = [] if self._interrupter is None else [self._interrupter.fileno()]
        ready = wait_ready(interrupts, list(by_descriptor), max(0.0, timeout))
        if self._interrupter is not None and self._interrupter.interrupted:
            raise Interrupted("interrupted")
        for each in [by_descriptor[descriptor] for descriptor in ready]:
            code = each.raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if each in self._tries else None
            if code == 0:
                self._tries.remove(each)
                return each
            if code is not None:
                self._fail(each.address, system_error(code))
        return None

    def _failure(self, addresses: Sequence[Address]) -> OSError:
        """Return the error if no address answered."""
        if self._next_syn or not self._failures:
            self._failures.append(DeadlineReached("timed out"))
        # An answer tells more than silence. A system without IPv6 can't even try such addresses.
        error = max(reversed(self._failures), key=lambda each: (each.errno != errno.EAFNOSUPPORT, not is_silence(each)))
        if is_silence(error):
            remember_unanswered(error, addresses)
        return error


def dial(
    host: str, port: int, proxy: Optional[Proxy], connector: Connector, now: Callable[[], float]
) -> BufferedStream:
    """Connect to a host, directly or through a proxy. Returns a stream with the deadline set.

    :param now: Unix seconds, for a proxy's Retry-After.
    :raises DialFailed: with the reason; the cause is attached.
    :raises Interrupted: the connector's interrupter ended the wait.
    """
    target = host_and_port(host, port)
    peer = target if proxy is None else f"proxy {proxy.name}"
    stream = None
    try:
        if proxy is None:
            return connector.connect(host, port)
        if proxy.scheme == "https":
            raise BadProxy(f"{proxy.name} can't be used for a WebSocket: expected http://, socks4:// or socks5://")
        asked = host_for(proxy, host, port, connector.look_up)
        stream = connector.connect(proxy.host, proxy.port)
        ask_for_tunnel(stream, proxy, asked, port)
        return stream
    except BaseException as error:
        if stream is not None:
            stream.close()
        if isinstance(error, Interrupted) or not isinstance(error, Exception):
            raise
        if proxy is not None and isinstance(error, Refused):
            raise DialFailed(
                f"proxy: {proxy.name} made no tunnel to {target}: it answered HTTP {error.head.status}",
                status=error.head.status,
                retry_after=error.head.requested_wait(now()),
            ) from error
        if proxy is not None and isinstance(error, BadAnswer):
            raise DialFailed(f"proxy: {proxy.name} made no tunnel to {target}: {error}") from error
        raise DialFailed(network_reason(error, peer)) from error

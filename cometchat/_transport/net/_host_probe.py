"""Probes whether a host answers again, with TCP only: one SYN per second, and no TLS, no HTTP, no data.

Used during the wait after an attempt that no address answered. (A refusal and a Retry-After are answers.)
"""

from __future__ import annotations

import errno
import math
import socket
import threading
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ... import _fork
from .._exception_chain import exception_chain
from ._stream import TIMEOUTS, wait_ready

#: Seconds between two SYNs to one family of addresses.
EVERY = 1.0

#: Minimum seconds between two checks of one wait for an answer.
LOOK = 0.25

#: Maximum number of checks per second of all waits for one host. It is also the rate at which the waits end.
CHECK_RATE = 100.0

#: Maximum number of connections that wait for an answer. Beyond it the oldest is closed.
_MOST = 4

#: These are answers, from the host or from a device on the way.
_ANSWERS = frozenset({0, errno.ECONNREFUSED, errno.ECONNRESET})

#: No answer, or the network has no route.
_SILENCE = frozenset(
    getattr(errno, name)
    for name in "ETIMEDOUT ENETUNREACH EHOSTUNREACH ENETDOWN EHOSTDOWN EADDRNOTAVAIL".split()
    if hasattr(errno, name)
)

#: The attribute of an error that holds the addresses that did not answer.
_UNANSWERED = "cometchat_unanswered"


class Address(NamedTuple):
    """An address to connect to: the parts of getaddrinfo's result that a socket needs."""

    family: int
    kind: int
    protocol: int
    address: Any


def is_silence(error: OSError) -> bool:
    """Return True if a connect ended without an answer."""
    return isinstance(error, TIMEOUTS) or error.errno in _SILENCE


def is_unanswered(error: Optional[BaseException]) -> bool:
    """Return True if an attempt got no answer: from the host, because of a missing route, or from a name server."""
    return error is not None and any(
        isinstance(cause, socket.gaierror) or (isinstance(cause, OSError) and is_silence(cause))
        for cause in exception_chain(error)
    )


def remember_unanswered(error: OSError, addresses: Sequence[Address]) -> None:
    """Attach the addresses, which did not answer, to the error that ends an attempt."""
    setattr(error, _UNANSWERED, tuple(addresses))


def host_probe_for(error: Optional[BaseException]) -> Optional[SharedProbe]:
    """Return a probe of the addresses that did not answer; None if one answered, or without addresses."""
    for cause in () if error is None else exception_chain(error):
        addresses = getattr(cause, _UNANSWERED, ())
        if addresses:
            return SharedProbe(addresses)
    return None


class HostProbe:
    """Asks a host's addresses whether they answer, each time it is called. Never waits.

    :param addresses: each second, one address of each family is probed. So IPv4 is probed even if IPv6 does not work.
    :param clock: monotonic seconds.
    :ivar waits: how many waits share it.
    :ivar answered_at: monotonic seconds of the newest answer.
    """

    def __init__(self, addresses: Sequence[Address], clock: Callable[[], float] = time.monotonic) -> None:
        self._families: Dict[int, List[Address]] = {}
        for address in addresses:
            self._families.setdefault(address.family, []).append(address)
        self._clock = clock
        self._due = clock()
        self._open: List[socket.socket] = []
        self._turn = threading.Lock()  # no thread waits for it
        self.waits = 0
        self.answered_at = -math.inf

    def look(self) -> None:
        """Note an answer in ``answered_at``. Any thread; no-op while another one looks."""
        if self._turn.acquire(blocking=False):
            try:
                if self.is_back():
                    self.answered_at = self._clock()
            finally:
                self._turn.release()

    def is_back(self) -> bool:
        """Return True if an address has answered; a refusal counts. Sends the next SYN when it is due. One thread."""
        if self._has_answer():
            return True
        now = self._clock()
        if now < self._due:
            return False
        self._due = now + EVERY
        return any([self._ask(turns) for turns in self._families.values()])

    def close(self) -> None:
        """Release the sockets."""
        while self._open:
            self._open.pop().close()

    def _has_answer(self) -> bool:
        by_descriptor = {one.fileno(): one for one in self._open}
        for descriptor in wait_ready([], list(by_descriptor), 0.0):
            one = by_descriptor[descriptor]
            code = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self._open.remove(one)
            one.close()
            if code in _ANSWERS:
                return True
        return False

    def _ask(self, turns: List[Address]) -> bool:
        """Send a SYN to the next address. Returns True if it answered at once."""
        address = turns.pop(0)
        turns.append(address)
        try:
            one = socket.socket(*address[:3])
        except OSError:  # no descriptors left
            return False
        one.setblocking(False)
        try:
            code = one.connect_ex(address.address)
        except OSError as error:
            code = error.errno or errno.ENETUNREACH
        if code in (errno.EINPROGRESS, errno.EWOULDBLOCK):
            self._open.append(one)
            while len(self._open) > _MOST:
                self._open.pop(0).close()
            return False
        one.close()
        return code in _ANSWERS


class Hosts(_fork.ForkSafe):
    """The hosts for which threads of this process wait. Any thread."""

    def __init__(self) -> None:
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In the child of a fork: forget the waits, which exist only in the parent."""
        self._lock = threading.Lock()
        self._by_addresses: Dict[Tuple[Address, ...], HostProbe] = {}

    def enter(self, addresses: Tuple[Address, ...], clock: Callable[[], float]) -> HostProbe:
        """Add a wait for a host. Returns the probe of the host."""
        with self._lock:
            probe = self._by_addresses.get(addresses)
            if probe is None:
                probe = self._by_addresses[addresses] = HostProbe(addresses, clock)
            probe.waits += 1
            return probe

    def leave(self, addresses: Tuple[Address, ...], probe: HostProbe) -> None:
        """Remove a wait. The last one releases the sockets."""
        with self._lock:
            probe.waits -= 1
            if probe.waits:
                return
            if self._by_addresses.get(addresses) is probe:
                del self._by_addresses[addresses]
        probe.close()


#: Of this process.
HOSTS = Hosts()

_fork.register(_fork.Layer.PROCESS, HOSTS)


class SharedProbe:
    """The part of one wait in the probe of a host. A process sends one SYN per second, for any number of waits.

    :param addresses: as for :class:`HostProbe`.
    :param hosts: of this process.
    :param clock: monotonic seconds.
    """

    def __init__(
        self, addresses: Sequence[Address], hosts: Hosts = HOSTS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._addresses = tuple(addresses)
        self._hosts = hosts
        self._clock = clock
        self._began = clock()
        self._probe: Optional[HostProbe] = None

    @property
    def every(self) -> float:
        """Seconds until the next call of :meth:`is_back`: longer with many waits, which so end one after the other."""
        return LOOK if self._probe is None else max(LOOK, self._probe.waits / CHECK_RATE)

    def is_back(self) -> bool:
        """Return True if an address has answered since the beginning of the wait; a refusal counts."""
        if self._probe is None:
            self._probe = self._hosts.enter(self._addresses, self._clock)
        probe = self._probe
        if probe.answered_at < self._began:
            probe.look()
        return probe.answered_at >= self._began

    def close(self) -> None:
        """End this wait's part. No-op when called twice."""
        probe, self._probe = self._probe, None
        if probe is not None:
            self._hosts.leave(self._addresses, probe)

"""Is there a way to a host again? Bare TCP asks, one SYN a second: no TLS, no HTTP, no byte.

For the wait after an attempt that had no answer at all: not where somebody refused, answered, or asked for quiet.
"""

from __future__ import annotations

import errno
import socket
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from .._exception_chain import exception_chain
from ._stream import ready_to_write

#: Seconds between two SYNs to one family of addresses.
EVERY = 1.0

#: Connections that are waited for at the same time. The oldest makes room.
_MOST = 4

#: The host, or one that speaks for it, is there.
_ANSWERS = frozenset({0, errno.ECONNREFUSED, errno.ECONNRESET})

#: The network said nothing, or that it knows no way.
_SILENCE = frozenset(
    getattr(errno, name)
    for name in "ETIMEDOUT ENETUNREACH EHOSTUNREACH ENETDOWN EHOSTDOWN EADDRNOTAVAIL".split()
    if hasattr(errno, name)
)

#: What an error carries that is nobody's answer.
_UNANSWERED = "cometchat_unanswered"


class Address(NamedTuple):
    """Where to connect to: the parts of getaddrinfo's answers that a socket needs."""

    family: int
    kind: int
    protocol: int
    address: Any


def is_silence(error: OSError) -> bool:
    """Connecting ended with this: nobody has answered."""
    return isinstance(error, socket.timeout) or error.errno in _SILENCE


def remember_unanswered(error: OSError, addresses: Sequence[Address]) -> None:
    """An attempt ends with this error, and none of these addresses has answered."""
    setattr(error, _UNANSWERED, tuple(addresses))


def host_probe_for(error: Optional[BaseException]) -> Optional[HostProbe]:
    """What asks for the addresses that this error's cause has left; None: somebody has answered."""
    for cause in () if error is None else exception_chain(error):
        addresses = getattr(cause, _UNANSWERED, ())
        if addresses:
            return HostProbe(addresses)
    return None


class HostProbe:
    """Asks some addresses whether they answer, for as long as somebody looks. One thread; nothing here waits.

    :param addresses: of one host. Each second one of each family gets its turn: where IPv6 leads nowhere, IPv4 does.
    :param clock: monotonic seconds.
    """

    def __init__(self, addresses: Sequence[Address], clock: Callable[[], float] = time.monotonic) -> None:
        self._families: Dict[int, List[Address]] = {}
        for address in addresses:
            self._families.setdefault(address.family, []).append(address)
        self._clock = clock
        self._due = clock()
        self._open: List[socket.socket] = []

    def is_back(self) -> bool:
        """One has answered, if only with a refusal. Begins to ask again where it is time to."""
        if self._has_answer():
            return True
        now = self._clock()
        if now < self._due:
            return False
        self._due = now + EVERY
        return any([self._ask(turns) for turns in self._families.values()])

    def close(self) -> None:
        """Let go of what is open."""
        while self._open:
            self._open.pop().close()

    def _has_answer(self) -> bool:
        by_descriptor = {one.fileno(): one for one in self._open}
        for descriptor in ready_to_write(list(by_descriptor), 0.0) if by_descriptor else []:
            one = by_descriptor[descriptor]
            code = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self._open.remove(one)
            one.close()
            if code in _ANSWERS:
                return True
        return False

    def _ask(self, turns: List[Address]) -> bool:
        """Begin to connect to the one whose turn it is. True: it has answered at once."""
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

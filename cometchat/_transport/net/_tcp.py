"""From a host's name to a TCP connection: one deadline for all of its addresses, and a new SYN each second.

For the WebSocket and for HTTP alike. What got no answer at all leaves its addresses to :mod:`._host_probe`.
"""

from __future__ import annotations

import socket
import time
from typing import Callable, List, Optional

from ._host_probe import Address, is_silence, remember_unanswered
from ._stream import BufferedStream, DeadlineReached, Interrupted, first_connected

#: Seconds after which connecting begins anew beside the attempt that is under way, and how many there are at the most.
_NEW_SYN = 1.0
_MOST_TRIES = 12

#: Finds a host's addresses: its name and a port in, addresses out.
LookUp = Callable[[str, int], List[Address]]


def look_up(host: str, port: int) -> List[Address]:
    """Ask the system, which takes the time it takes.

    :raises OSError, UnicodeError: it knows none; it is no name.
    """
    found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    return [Address(family, kind, protocol, address) for family, kind, protocol, _, address in found]


class Connector:
    """Connects to a host.

    :param addresses_of: looks a name up.
    :param deadline: monotonic seconds.
    :param on_stream: is given each stream before anything is waited for, to be able to interrupt it.
    """

    def __init__(
        self,
        *,
        deadline: float,
        addresses_of: LookUp = look_up,
        on_stream: Callable[[BufferedStream], None] = lambda stream: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._deadline = deadline
        self._addresses_of = addresses_of
        self._on_stream = on_stream
        self._clock = clock

    def connect(self, host: str, port: int) -> BufferedStream:
        """One address after the other.

        :raises OSError, UnicodeError: as the system puts it, Interrupted and DeadlineReached among them.
        """
        addresses = self._addresses_of(host, port)
        failures: List[OSError] = []
        for position, address in enumerate(addresses):
            # Each has its share of the time: where IPv6 is silent, IPv4 gets its turn.
            now = self._clock()
            share = (self._deadline - now) / (len(addresses) - position)
            try:
                stream = self._connect(address, now + share)
            except Interrupted:
                raise
            except OSError as error:
                failures.append(error)
                continue
            stream.read_deadline = self._deadline
            return stream
        assert failures, "a look-up raises where it has nothing"
        if all(is_silence(error) for error in failures):
            remember_unanswered(failures[-1], addresses)
        raise failures[-1]

    def stream(self, raw: socket.socket, deadline: Optional[float] = None) -> BufferedStream:
        """A socket as a stream.

        :param deadline: of reading; None: the connection's.
        """
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = BufferedStream(raw, self._clock)
        stream.write_deadline = self._deadline
        stream.read_deadline = self._deadline if deadline is None else deadline
        return stream

    def _connect(self, address: Address, deadline: float) -> BufferedStream:
        """Connect to one address; again with a new socket where nothing comes.

        A SYN that was lost is sent again by the kernel after 1, 3 and 7 s: whoever began while the network was away
        would stay away long after its return. The earlier ones stay open meanwhile: an answer may only be slow.
        """
        tries: List[BufferedStream] = []
        winner: Optional[BufferedStream] = None
        try:
            while winner is None:
                stream = self.stream(socket.socket(*address[:3]), deadline)
                tries.append(stream)
                if stream is tries[0]:  # the one that can be interrupted; kept to the end for that
                    self._on_stream(stream)
                stream.begin_connect(address.address)
                now = self._clock()
                last = now + 2 * _NEW_SYN > deadline or len(tries) == _MOST_TRIES
                winner = first_connected(tries, (deadline if last else now + _NEW_SYN) - now)
                if winner is None and last:
                    raise DeadlineReached("timed out")
            if winner is not tries[0]:
                self._on_stream(winner)
        finally:
            for stream in tries:
                if stream is not winner:
                    stream.close()
        return winner

"""RedisStatusStore: checked at creation, shared by a process's clients. Each seat has its own connections."""

from __future__ import annotations

import itertools
from typing import Any, Callable, Dict, List, Optional, Union

from cometchat import ConnectionException, Member, Seat

from ...exceptions import unusable
from ._connections import Connections, ask
from ._lines import Line, read_lines
from ._questions import SharedQuestion
from ._seat import RedisSeat
from ._unconfirmed import UnconfirmedFrames
from ._wire import Keys, process_of

_numbers = itertools.count(1)

#: Default lifetime of a lock without renewal, in seconds.
LEASE = 2.5


class RedisStatusStore:
    """Shares one connection among all processes with the same Redis, app and user.

    One process leads. It holds the connection, and a lock in Redis that expires after ``lease`` seconds and is renewed
    three times in that time. The others follow: their ``get_connection_status()`` and listeners show the leader's
    connection, from memory. When the leader ends, another process takes over at once. If it is killed, another process
    takes over after the lock has expired. Without Redis no process knows the leader. So every connected client becomes
    ``disconnected``, and a client that was never connected stays ``connecting``, both with ``ERR_STATUS_STORE``, until
    Redis is back.

    :param url: ``redis://[[user]:password@]host[:port][/db]``, ``rediss://`` for TLS, or ``unix://``. A repr or an
        error shows the host only. Options after a ``?`` are for the redis library, but the store sets the timeouts and
        the type of the answers. With ``rediss://`` the name in the certificate is always checked, unless the address
        has ``ssl_cert_reqs=none``.
        Or a function that returns a new client of the redis library at each call, for Sentinel, a Cluster, or changing
        credentials. It is called for each connection; the store sets the client's timeouts.
    :param lease: seconds, 1 to 60. A killed leader is replaced after this time, plus up to a second.
    :param prefix: of the keys in Redis.
    :param events: True passes the leader's events to the listeners of all processes; False shares the status only.
    :param min_replicas: minimum number of Redis's replicas that must have the lock each time it is taken or renewed. A
        primary that is cut off from its replicas then has no leader after a lease. Not for a Cluster.
    :raises CometChatException: ``INVALID_URL``, ``INVALID_LEASE``, ``INVALID_PREFIX``, ``INVALID_EVENTS``,
        ``INVALID_MIN_REPLICAS``.
    """

    def __init__(
        self,
        url: Union[str, Callable[[], Any]],
        *,
        lease: float = LEASE,
        prefix: str = "cometchat",
        events: bool = True,
        min_replicas: int = 0,
    ) -> None:
        if isinstance(lease, bool) or not isinstance(lease, (int, float)) or not 1 <= lease <= 60:
            raise unusable("lease", "a number of seconds from 1 to 60")
        if not isinstance(prefix, str) or not prefix or "{" in prefix:
            raise unusable("prefix", "a string without '{', such as \"cometchat\"")
        if not isinstance(events, bool):
            raise unusable("events", "True or False")
        if isinstance(min_replicas, bool) or not isinstance(min_replicas, int) or not 0 <= min_replicas <= 100:
            raise unusable("min_replicas", "a whole number from 0 to 100")
        self.lease: float = float(lease)
        self.prefix = prefix
        self.events = events
        self.min_replicas = min_replicas
        self._connections = Connections(url)
        # Used without a lock, which a fork could leave locked. Each change and each copy is one step of a dict.
        self._seats: Dict[int, RedisSeat] = {}
        # Of all seats, except those that ended without a lost frame.
        self._unconfirmed: Dict[int, UnconfirmedFrames] = {}

    def __repr__(self) -> str:
        return f"<RedisStatusStore {self.address} prefix={self.prefix!r} lease={self.lease:g}>"

    @property
    def address(self) -> str:
        """The address of Redis without a password, or the name of the function that creates clients."""
        return self._connections.address

    @property
    def leads(self) -> bool:
        """Whether a client of this process holds the connection."""
        return any(seat.leads for seat in list(self._seats.values()))

    @property
    def frames_lost(self) -> int:
        """Number of this process's typing indicators, receipts and transient messages that no leader confirmed."""
        return sum(frames.lost for frames in list(self._unconfirmed.values()))

    def leader(self, app_id: str, uid: str) -> Optional[str]:
        """Ask Redis which process holds the connection of an app's user. Makes a call to Redis.

        :returns: ``host:pid``, or None without a leader.
        :raises ConnectionException: ``ERR_STATUS_STORE``: Redis can't be used.
        """
        lock = Keys.of(self.prefix, app_id, uid).lock
        holder: Any = ask(self.connection, self.address, lambda client: client.get(lock))
        return None if holder is None else process_of(holder.decode("utf-8", "replace"))

    def lines(self) -> List[Line]:
        """Ask Redis which processes share connections, and how far their streams are. Makes calls to Redis.

        :returns: one :class:`Line` for each user of an app under this prefix. ``cometchat redis`` prints them.
        :raises ConnectionException: ``ERR_STATUS_STORE``: Redis can't be used.
        """
        return ask(self.connection, self.address, lambda client: read_lines(client, self.prefix))

    def connection(self, timeout: float = LEASE) -> Any:
        """Return a client of the redis library with its own pool.

        :param timeout: seconds for each call.
        """
        return self._connections.make(timeout)

    def ask_once(self, app_id: str, uid: str, question: str, ask: Callable[[], bytes]) -> bytes:
        """See :class:`cometchat.status_store.AsksOnce`."""
        keys = Keys.of(self.prefix, app_id, uid)
        return SharedQuestion(keys, question, ask).answer(lambda: self.connection(self.lease / 3))

    def join(self, app_id: str, uid: str, member: Member) -> Seat:
        """See :class:`cometchat.StatusStore`.

        :raises ConnectionException: ``ERR_STATUS_STORE``: the system can't start a thread.
        """
        number = next(_numbers)
        seat = RedisSeat(
            member,
            Keys.of(self.prefix, app_id, uid),
            connect=self.connection,
            address=self.address,
            lease=self.lease,
            events=self.events,
            min_replicas=self.min_replicas,
            number=number,
            on_end=lambda: self._end(number),
        )
        self._seats[number], self._unconfirmed[number] = seat, seat.unconfirmed
        try:
            seat.start()
        except Exception as error:
            self._end(number)
            message = f"The thread of the status store can't be started: {error.__cause__ or error}"
            raise ConnectionException("ERR_STATUS_STORE", message) from error
        return seat

    def _end(self, number: int) -> None:
        seat = self._seats.pop(number, None)
        if seat is not None and not seat.unconfirmed.lost:
            self._unconfirmed.pop(number, None)

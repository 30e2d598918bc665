"""RedisStatusStore: checked when made, shared by a process's clients; each seat has connections of its own."""

from __future__ import annotations

import itertools
from typing import Any, Callable, Dict

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from cometchat import Member, Seat

from .._arguments import wrong
from ._seat import RedisSeat
from ._wire import Keys

_numbers = itertools.count(1)

#: The redis library gives it no types.
_read_url: Callable[[str], Dict[str, Any]] = parse_url

#: Seconds: the default of how long a lock lives without being renewed.
LEASE = 2.5


class RedisStatusStore:
    """Shares one connection among all processes that have the same Redis, app and user.

    One of them leads: it holds a lock in Redis, which lives ``lease`` seconds and is renewed three times in that time,
    and the connection. The others follow: their ``get_connection_status()`` and listeners tell of the leader's
    connection, read from memory. When the leader ends, another takes over at once; when it is killed, once the lock has
    run out. Without Redis nobody knows who leads: every client is ``disconnected``, with ``ERR_STATUS_STORE``, until
    it is back.

    :param url: ``redis://[[user]:password@]host[:port][/db]``, ``rediss://`` for TLS, or ``unix://``. Not shown in a
        repr or an error but for the host. Options behind a ``?`` are the redis library's; but how long a call may take,
        and what its answers are, is the store's to say.
    :param lease: seconds, 1 to 60. A killed leader is replaced after this, and up to a second more.
    :param prefix: of the keys in Redis.
    :param events: True hands what the leader's connection receives to the listeners of all processes; False shares the
        status only.
    :raises CometChatException: ``INVALID_URL``, ``INVALID_LEASE``, ``INVALID_PREFIX``, ``INVALID_EVENTS``.
    """

    def __init__(self, url: str, *, lease: float = LEASE, prefix: str = "cometchat", events: bool = True) -> None:
        if isinstance(lease, bool) or not isinstance(lease, (int, float)) or not 1 <= lease <= 60:
            raise wrong("lease", "give seconds, from 1 to 60")
        if not isinstance(prefix, str) or not prefix or "{" in prefix:
            raise wrong("prefix", "give a text without '{', such as \"cometchat\"")
        if not isinstance(events, bool):
            raise wrong("events", "give True or False")
        self.lease = float(lease)
        self.prefix = prefix
        self.events = events
        self._url = url
        self.connection()  # opens nothing, and reads the url
        # Written and read without a lock, which a fork could find taken: each operation is one step of the interpreter.
        self._seats: Dict[int, RedisSeat] = {}

    def __repr__(self) -> str:
        return f"<RedisStatusStore {self.address} prefix={self.prefix!r} lease={self.lease:g}>"

    @property
    def address(self) -> str:
        """Where Redis is, without a password."""
        kwargs = self.connection().connection_pool.connection_kwargs
        return str(kwargs.get("path") or f"{kwargs.get('host', 'localhost')}:{kwargs.get('port', 6379)}")

    @property
    def leads(self) -> bool:
        """A client of this process holds its connection."""
        return any(seat.leads for seat in list(self._seats.values()))

    def leads_line(self, app_id: str, uid: str) -> bool:
        """The same, of one app's user."""
        keys = Keys.of(self.prefix, app_id, uid)
        return any(seat.leads and seat.keys == keys for seat in list(self._seats.values()))

    def connection(self, timeout: float = LEASE) -> redis.Redis:
        """A client of the redis library, with a pool of its own. Opens nothing yet.

        :param timeout: seconds for each call.
        """
        expected = 'give an address such as "redis://localhost:6379/0", "rediss://..." or "unix://..."'
        if not isinstance(self._url, str):
            raise wrong("url", expected)
        try:
            options = {**_read_url(self._url)}
            # Not from_url(), where the address' own options win: a lease rests on these.
            options.update(
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                retry=Retry(NoBackoff(), 0),
                decode_responses=False,
            )
            return redis.Redis(connection_pool=redis.ConnectionPool(**options))
        except (ValueError, TypeError):
            raise wrong("url", expected) from None  # its words may hold the password

    def join(self, app_id: str, uid: str, member: Member) -> Seat:
        """See :class:`cometchat.StatusStore`."""
        number = next(_numbers)
        seat = RedisSeat(
            member,
            Keys.of(self.prefix, app_id, uid),
            connect=self.connection,
            address=self.address,
            lease=self.lease,
            events=self.events,
            number=number,
            on_end=lambda: self._seats.pop(number, None),
        )
        self._seats[number] = seat
        seat.start()
        return seat

"""urllib3 with limits: an answer ends in time and in bytes, an idle connection is not trusted for long, TLS is 1.2.

urllib3 and http.client read some parts of an answer up to their end, wherever that is, and only log some that they
can't read. A queue of kept connections is replaced because a signal handler could wait for its lock.
"""

from __future__ import annotations

import collections
import contextvars
import functools
import http.client
import io
import queue
import socket
import ssl
import time
from typing import Any, Callable, Deque, NamedTuple, Optional, Tuple

import urllib3
import urllib3.exceptions
import urllib3.util.ssl_

from ..net import Connector, LookUp, Proxy, dial, is_timeout

#: Maximum bytes of a body. A longer one is not the protocol's.
MAX_BODY = 16 * 1024 * 1024

#: Maximum bytes of an answer. Its head, and the lengths of its chunks, have room in as many again.
MAX_ANSWER = 2 * MAX_BODY

#: A connection that was idle for less than this, in seconds, is taken to be alive.
_SURELY_ALIVE = 1.0


class TooLong(OSError):
    """An answer over the limit, whatever its parts are."""


class Way(NamedTuple):
    """How the connections of a pool are made.

    :ivar proxy: one that a tunnel goes through; None: none does.
    """

    addresses_of: LookUp
    proxy: Optional[Proxy] = None
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time


class Attempt:
    """One try of one call, as its connection sees it.

    :param max_idle: a connection that was idle for so many seconds is not used.
    :param patience: maximum seconds for the first byte on a connection that was idle; None: the call's own limit.
    :ivar idle: seconds that the connection was idle; None: it is new.
    :ivar gave_up: the patience was over.
    """

    def __init__(self, max_idle: float, patience: Optional[float] = None) -> None:
        self.max_idle = max_idle
        self.patience = patience
        self.idle: Optional[float] = None
        self.gave_up = False


#: The attempt that this thread makes: urllib3 hands nothing of ours from a call to its connection.
ATTEMPT: contextvars.ContextVar[Optional[Attempt]] = contextvars.ContextVar("cometchat_attempt", default=None)


class IdleConnections:
    """The kept connections of a pool, the newest first; None stands for one that is not made yet.

    In place of queue.LifoQueue. A deque's calls can't be interrupted halfway, and need no lock.
    """

    def __init__(self, maxsize: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._maxsize = maxsize
        self._clock = clock
        self._kept: Deque[Tuple[Any, float]] = collections.deque()

    def get(self, block: bool = False, timeout: Optional[float] = None) -> Any:
        """Return a connection. One that was idle for too long is closed: it connects again when it is used."""
        try:
            connection, since = self._kept.pop()
        except IndexError:
            raise queue.Empty from None
        attempt = ATTEMPT.get()
        if connection is None or attempt is None:
            return connection
        idle = self._clock() - since
        if idle >= attempt.max_idle:
            connection.close()
        else:
            attempt.idle = idle
        return connection

    def put(self, connection: Any, block: bool = False, timeout: Optional[float] = None) -> None:
        """Keep a connection."""
        if len(self._kept) >= self._maxsize:
            raise queue.Full
        self._kept.append((connection, self._clock()))

    def qsize(self) -> int:
        """Return how many are kept."""
        return len(self._kept)


class _DeadlineReader(io.RawIOBase):
    """The bytes of an answer. The socket's timeout and a limit hold for all of them together, not for each part.

    :param attempt: whose patience holds for the first byte.
    """

    def __init__(self, connection: socket.socket, attempt: Optional[Attempt] = None) -> None:
        self._connection = connection
        self._timeout = connection.gettimeout()
        began = time.monotonic()
        self._deadline = None if self._timeout is None else began + self._timeout
        self._raw = connection.makefile("rb", buffering=0)
        self._left = MAX_ANSWER
        self._attempt = attempt  # until the first byte
        self._first_deadline: Optional[float] = None
        if attempt is not None and attempt.patience is not None and (attempt.idle or 0.0) >= _SURELY_ALIVE:
            self._first_deadline = began + attempt.patience

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> Optional[int]:
        """Wait for some bytes until the deadline."""
        if self._left <= 0:
            raise TooLong(f"more than {MAX_ANSWER} bytes")
        try:
            taken = self._take(buffer)
        except socket.timeout:
            if self._attempt is not None and self._first_deadline is not None:
                self._attempt.gave_up = True
            raise
        self._first_deadline = None
        self._left -= taken or 0
        return taken

    def _take(self, buffer: Any) -> Optional[int]:
        deadline = self._deadline if self._first_deadline is None else self._first_deadline
        if deadline is None:
            return self._raw.readinto(buffer)
        left = deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("timed out")
        self._connection.settimeout(left)
        try:
            return self._raw.readinto(buffer)
        finally:
            self._connection.settimeout(self._timeout)

    def close(self) -> None:
        """Release the socket."""
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer that is whole within the timeout: status line, headers, body, and a proxy's answer to CONNECT."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_DeadlineReader(sock, ATTEMPT.get()))

    def _read_status(self) -> Tuple[str, int, str]:
        """Read a status line. Any interim answer, such as 103 Early Hints, is skipped like 100 Continue."""
        version, status, reason = super()._read_status()  # type: ignore[misc]
        is_interim = 100 <= status < 200 and status != http.client.SWITCHING_PROTOCOLS
        return version, http.client.CONTINUE if is_interim else status, reason

    def begin(self, *args: Any, **kwargs: Any) -> None:
        """Read the head."""
        super().begin(*args, **kwargs)
        # What can't be read as a header is dropped: urllib3 would log it as a warning, and it may quote a credential.
        self.msg.defects.clear()
        self.msg.set_payload("")


class _Connection:
    """Mixed into urllib3's classes of connections: limited answers, and this SDK's way to the host."""

    response_class = _Response
    way: Way
    timeout: float
    port: int
    _dns_host: str

    def connect(self) -> Any:
        """Make a new connection: one that was kept has ended, or none was."""
        attempt = ATTEMPT.get()
        if attempt is not None:
            attempt.idle = None
        return super().connect()  # type: ignore[misc]

    def _new_conn(self) -> socket.socket:
        """In place of urllib3's way to TCP; raises what that raises."""
        host = self._dns_host.strip("[]")  # urllib3's: as it is to be looked up
        try:
            deadline = self.way.clock() + self.timeout
            connector = Connector(deadline=deadline, addresses_of=self.way.addresses_of, clock=self.way.clock)
            raw = dial(host, self.port, self.way.proxy, connector, self.way.wall_clock).detach()
        except OSError as error:
            if is_timeout(error):
                text = f"no TCP within {self.timeout:g} s"
                raise urllib3.exceptions.ConnectTimeoutError(self, text) from error
            raise urllib3.exceptions.NewConnectionError(self, "no TCP") from error  # type: ignore[arg-type]
        raw.settimeout(self.timeout)
        return raw


@functools.lru_cache(maxsize=8)
def _limited(connection: Any) -> Any:
    """Return the class of connections with :class:`_Connection` mixed in."""
    return type(connection.__name__, (_Connection, connection), {})


class _Pool:
    """Mixed into urllib3's classes of pools.

    :param way: how to connect.
    """

    pool: Optional[IdleConnections]

    def __init__(self, *args: Any, way: Way, **kwargs: Any) -> None:
        self._way = way
        super().__init__(*args, **kwargs)

    def QueueCls(self, maxsize: int) -> IdleConnections:
        """Return the queue of the kept connections."""
        return IdleConnections(maxsize, self._way.clock)

    @property
    def ConnectionCls(self) -> Any:
        """Return the class of the connections.

        It is looked up each time: a library that records HTTP for tests replaces urllib3's for a while.
        """
        return _limited(super().ConnectionCls)  # type: ignore[misc]

    def _new_conn(self) -> Any:
        connection = super()._new_conn()  # type: ignore[misc]
        connection.way = self._way
        return connection

    def close(self) -> None:
        """End the kept connections.

        urllib3's own close() looks at the queue twice, and fails if a signal handler has closed it in between.
        """
        kept: Optional[IdleConnections]
        kept, self.pool = self.pool, None
        while kept is not None:
            try:
                connection = kept.get()
            except queue.Empty:
                return
            if connection is not None:
                connection.close()


class _HttpPool(_Pool, urllib3.HTTPConnectionPool):  # type: ignore[misc, override]
    """Connections of http."""


class _HttpsPool(_Pool, urllib3.HTTPSConnectionPool):  # type: ignore[misc, override]
    """Connections of https."""


class Pools:
    """Makes the pools of one adapter. The TLS context is made when the first pool for https needs it.

    :param way: how they connect.
    """

    def __init__(self, way: Way) -> None:
        self._way = way
        self._context: Optional[ssl.SSLContext] = None

    def limit(self, manager: Any) -> None:
        """Let one of urllib3's pool managers make these pools."""
        manager.pool_classes_by_scheme = {"http": self._http, "https": self._https}

    @property
    def context(self) -> ssl.SSLContext:
        """Return a context as strict as the WebSocket's, where urllib3 before 2 is not.

        Whom to trust, requests puts in for each call.
        """
        if self._context is None:  # that takes half a millisecond
            self._context = urllib3.util.ssl_.create_urllib3_context()
            self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        return self._context

    def _http(self, *args: Any, **kwargs: Any) -> _HttpPool:
        return _HttpPool(*args, way=self._way, **kwargs)

    def _https(self, *args: Any, **kwargs: Any) -> _HttpsPool:
        return _HttpsPool(*args, way=self._way, **{**kwargs, "ssl_context": self.context})

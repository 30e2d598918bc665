"""The connections of the HTTP calls, over requests and urllib3. The clients of a process share them.

An adapter of requests has urllib3's pools. A pool keeps the idle connections to one host. Each of these layers is
extended here: with limits on the time and size of an answer and on the idle time of a connection, with this SDK's way
to connect, and with TLS 1.2 or newer. urllib3 and http.client read some parts of an answer without a limit, and only
log some parts that they can't read. urllib3's queue of kept connections is replaced, because a signal handler could
wait for its lock.

urllib3 belongs to requests, which chooses its version. So this module does not import it: it extends the classes that
the adapter of requests uses.
"""

from __future__ import annotations

import collections
import contextlib
import contextvars
import functools
import http.client
import io
import queue
import socket
import ssl
import threading
import time
from typing import Any, Callable, Deque, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

import requests.adapters

from ... import _fork
from ..._proxy_address import read_proxy
from ..net import ClientCert, Connector, LookUp, Proxy, dial, is_address, strict_context

#: Maximum number of kept connections to a host.
_POOL = 16

#: Maximum number of proxies with kept connections. Clients may have different proxies, and the environment may change.
_MOST_TUNNELS = 16

#: Maximum size of a body, in bytes. A longer one does not come from the service.
MAX_BODY = 16 * 1024 * 1024

#: Maximum size of an answer, in bytes: the body, and as much again for the head and the lengths of chunks.
MAX_ANSWER = 2 * MAX_BODY

#: Maximum idle time, in seconds, after which a connection is assumed to be alive.
_SURELY_ALIVE = 1.0


class TooLong(OSError):
    """The answer, with all its parts, is over the limit."""


class Way(NamedTuple):
    """How the connections of a pool are opened.

    :ivar proxy: the proxy with the tunnel; None without a tunnel.
    """

    addresses_of: LookUp
    proxy: Optional[Proxy] = None
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time


class Attempt:
    """One try of one call, as seen by its connection.

    :param max_idle: maximum idle time of a connection to use, in seconds.
    :param patience: maximum wait for the first byte on a connection that was idle, in seconds; None for the call's
        own limit.
    :ivar idle: idle time of the connection, in seconds; None for a new connection.
    :ivar gave_up: whether the patience was exceeded.
    :ivar connector: of a new connection.
    """

    def __init__(self, max_idle: float, patience: Optional[float] = None) -> None:
        self.max_idle = max_idle
        self.patience = patience
        self.idle: Optional[float] = None
        self.gave_up = False
        self.connector: Optional[Connector] = None

    def note_use(self, useful: bool) -> None:
        """Note whether an answer came. If it did not come on a new connection, the next one gets another address."""
        if self.connector is not None:
            self.connector.note_use(useful)


#: The attempt of this thread, during a call. (urllib3 passes no object of the caller to the connection.)
ATTEMPT: contextvars.ContextVar[Attempt] = contextvars.ContextVar("cometchat_attempt")


class SharedConnections(_fork.ForkSafe):
    """The HTTP connections of several clients, apart for each tunnelling proxy. Any thread, any signal handler.

    A thousand clients of a process make few calls at the same time, so they need few connections.

    :param way: how they are opened.
    """

    def __init__(self, way: Way) -> None:
        self._way = way
        self._users: Set[int] = set()
        self._of_parent: List[object] = []  # the garbage collector of a child must not touch them
        self._current: Dict[Optional[Proxy], Connections] = {}
        self._retired: List[Connections] = []
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In the child of a fork: leave the parent's connections alone, and use new ones."""
        # Guards which calls use which connections. Re-entrant: a signal handler may close a client during a call.
        self._lock = threading.RLock()
        self._users.clear()
        self._of_parent += [self._current, self._retired]
        self._current, self._retired = {}, []

    @contextlib.contextmanager
    def lent(self, user: int, tunnel: Optional[Proxy]) -> Iterator[Connections]:
        """Lend connections to one call. The last call that uses retired ones closes them.

        :param user: the identity of the object that makes the call, which calls :meth:`leave` at its end.
        :param tunnel: the proxy of the connections; None for connections without a tunnel.
        """
        call = object()
        try:
            with self._lock:
                self._users.add(user)
                if tunnel not in self._current and len(self._current) >= _MOST_TUNNELS:
                    self._retire_all()
                connections = self._current.get(tunnel)
                if connections is None:
                    connections = self._current[tunnel] = Connections(self._way._replace(proxy=tunnel))
                connections.calls.add(call)
            yield connections
        finally:
            try:
                self._close_unused(ended=call)
            finally:  # once more, since a KeyboardInterrupt may have come first
                self._close_unused(ended=call)

    def retire(self) -> None:
        """Make later calls use new connections. Calls in progress keep theirs."""
        with self._lock:
            self._retire_all()
        self._close_unused()

    def _retire_all(self) -> None:
        """Retire the current connections. The caller holds the lock."""
        self._retired += self._current.values()
        self._current = {}

    def _close_unused(self, ended: Optional[object] = None) -> None:
        """Close the retired connections that no call uses.

        :param ended: a call that no longer uses its connections.
        """
        with self._lock:
            current = list(self._current.values())
            for each in (*self._retired, *current):
                each.calls.discard(ended)
            # If a KeyboardInterrupt came in the middle of _retire_all(), the current ones are in the list too.
            unused = [each for each in self._retired if not each.calls and each not in current]
        for each in unused:
            each.close()
            with self._lock, contextlib.suppress(ValueError):  # another thread has closed it too
                self._retired.remove(each)

    def leave(self, user: int) -> None:
        """Remove a user. The last one retires the connections. No-op when called twice."""
        with self._lock:
            self._users.discard(user)
            ends = not self._users
        if ends:
            self.retire()


_shared: Dict[Tuple[Optional[str], Optional[ClientCert]], SharedConnections] = {}


def shared_connections(
    ca_certs: Optional[str], client_cert: Optional[ClientCert], addresses_of: LookUp
) -> SharedConnections:
    """Return the connections of this process for clients with these certificates, as AppSettings has them."""
    key = (ca_certs, client_cert)
    found = _shared.get(key)
    if found is None:
        found = _shared.setdefault(key, SharedConnections(Way(addresses_of)))
        _fork.register(_fork.Layer.PROCESS, found)
    return found


class Connections(requests.adapters.HTTPAdapter):
    """The adapter from requests to urllib3, with this SDK's pools. The first https pools create the TLS contexts.

    Calls use it without a ``requests.Session``. That would add settings, redirects, cookies and the credentials of a
    ``~/.netrc``, which no call needs, and took a tenth of a login's time.

    :param way: how they connect.
    :ivar calls: the identities of the calls that use it.
    """

    def __init__(self, way: Way) -> None:
        self._way = way
        self._contexts: Dict[bool, ssl.SSLContext] = {}
        self.calls: Set[object] = set()
        super().__init__(pool_connections=_POOL, pool_maxsize=_POOL)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Create the pools for direct connections and tunnels."""
        super().init_poolmanager(*args, **kwargs)
        self._classes = self.poolmanager.pool_classes_by_scheme  # scheme -> urllib3's class of pools
        self._limit(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Create the pools for requests that a proxy forwards: plain http, and everything through an https proxy."""
        manager = super().proxy_manager_for(*args, **kwargs)
        self._limit(manager)
        return manager

    def proxy_headers(self, proxy: str) -> Dict[str, str]:
        """Return the header with the user and password for a proxy that forwards, in UTF-8 as for a tunnel.

        requests fails for a character that is not in Latin-1, with an error that shows the password.
        """
        value = read_proxy(proxy).authorization
        return {} if value is None else {"Proxy-Authorization": value}

    def close(self) -> None:
        """Close every connection, including those that a call in progress returns later.

        urllib3 2 and later leave these to the garbage collector.
        """
        for manager in (self.poolmanager, *self.proxy_manager.copy().values()):
            for key in list(manager.pools.keys()):
                pool = manager.pools.get(key)
                if pool is not None:
                    pool.close()
        super().close()

    def _limit(self, manager: Any) -> None:
        """Make one of urllib3's pool managers use this SDK's pools."""
        # These functions do not refer to this object, which refers to them: only the garbage collector would free it.
        http = functools.partial(_mixed(_Pool, self._classes["http"]), way=self._way)
        https = functools.partial(_mixed(_Pool, self._classes["https"]), way=self._way)
        manager.pool_classes_by_scheme = {"http": http, "https": functools.partial(_secured, https, self._contexts)}


def _secured(
    pool: Callable[..., Any], contexts: Dict[bool, ssl.SSLContext], host: str, *args: Any, **kwargs: Any
) -> Any:
    """Return an https pool for a host, with this SDK's TLS context."""
    return pool(host, *args, **{**kwargs, "ssl_context": _context_for(host, contexts)})


def _context_for(host: str, contexts: Dict[bool, ssl.SSLContext]) -> ssl.SSLContext:
    """Return the TLS context for a host. requests adds the trusted certificates for each call.

    OpenSSL compares the name with the certificate. For an address urllib3 compares, because its versions before 2 do
    not tell OpenSSL the address.

    :param contexts: those that exist, by whether OpenSSL compares the name.
    """
    by_name = not is_address(host)
    if by_name not in contexts:
        context = strict_context()
        context.check_hostname = by_name
        contexts.setdefault(by_name, context)
    return contexts[by_name]


@functools.lru_cache(maxsize=8)
def _mixed(mix_in: type, base: Any) -> Any:
    """Return one of urllib3's classes with a mix-in."""
    return type(base.__name__, (mix_in, base), {})


class _Pool:
    """A mix-in for urllib3's pool classes.

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

        It is looked up each time, because a library that records HTTP for tests temporarily replaces urllib3's.
        """
        return _mixed(_Connection, super().ConnectionCls)  # type: ignore[misc]

    def _new_conn(self) -> Any:
        connection = super()._new_conn()  # type: ignore[misc]
        connection.way = self._way
        return connection

    def close(self) -> None:
        """Close the kept connections.

        urllib3's own close() reads the queue twice, and fails if a signal handler closed it in between.
        """
        kept, self.pool = self.pool, None
        if kept is not None:
            kept.close()


class IdleConnections:
    """The kept connections of a pool, newest first.

    Replaces queue.LifoQueue. A deque's calls are atomic and need no lock.
    """

    def __init__(self, maxsize: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._maxsize = maxsize
        self._clock = clock
        self._kept: Deque[Tuple[Any, float]] = collections.deque()

    def get(self, block: bool = False, timeout: Optional[float] = None) -> Any:
        """Return a connection. One that was idle for too long is closed first, and connects again at its use."""
        try:
            connection, since = self._kept.pop()
        except IndexError:
            raise queue.Empty from None
        attempt = ATTEMPT.get(None)
        if attempt is None:  # urllib3 closes the connections of a forgotten pool
            return connection
        idle = self._clock() - since
        if idle >= attempt.max_idle:
            connection.close()
        else:
            attempt.idle = idle
        return connection

    def put(self, connection: Any, block: bool = False, timeout: Optional[float] = None) -> None:
        """Keep a connection. A full queue closes its oldest connection.

        (urllib3 would close the new one, and log a warning.)
        """
        if connection is None:  # urllib3 puts None into each new queue
            return
        self._kept.append((connection, self._clock()))
        if len(self._kept) > self._maxsize:
            with contextlib.suppress(IndexError):  # other threads have just taken all
                oldest, _ = self._kept.popleft()
                oldest.close()

    def qsize(self) -> int:
        """Return the number of kept connections."""
        return len(self._kept)

    def close(self) -> None:
        """Close the kept connections. A connection that another thread takes at the same time stays open."""
        with contextlib.suppress(IndexError):
            while True:
                self._kept.pop()[0].close()


class _DeadlineReader(io.RawIOBase):
    """The bytes of an answer. The timeout and the size limit are for the whole answer, not for each part.

    :param attempt: its patience limits the wait for the first byte.
    """

    def __init__(self, connection: socket.socket, attempt: Attempt) -> None:
        self._connection = connection
        self._timeout = connection.gettimeout()
        began = time.monotonic()
        self._deadline = None if self._timeout is None else began + self._timeout
        self._raw = connection.makefile("rb", buffering=0)
        self._left = MAX_ANSWER
        self._attempt = attempt
        self._first_deadline: Optional[float] = None  # until the first byte
        if attempt.patience is not None and (attempt.idle or 0.0) >= _SURELY_ALIVE:
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
            if self._first_deadline is not None:
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
    """An answer that must be complete within the timeout: status line, headers, body; a proxy's answer to CONNECT."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_DeadlineReader(sock, ATTEMPT.get()))

    def _read_status(self) -> Tuple[str, int, str]:
        """Read a status line. Skips interim answers, such as 103 Early Hints, of a server or in answer to CONNECT."""
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200 or status == http.client.SWITCHING_PROTOCOLS:
                return version, status, reason
            http.client.parse_headers(self.fp)

    def begin(self, *args: Any, **kwargs: Any) -> None:
        """Read the head."""
        super().begin(*args, **kwargs)
        # No call uses cookies, and with a hostile server the standard library would read them for a minute.
        del self.msg["Set-Cookie"], self.msg["Set-Cookie2"]
        # Unreadable headers are dropped: urllib3 would log them as a warning, and they may quote a credential.
        self.msg.defects.clear()
        self.msg.set_payload("")


class _Connection:
    """A mix-in for urllib3's connection classes: limited answers, and this SDK's way to connect."""

    response_class = _Response
    way: Way
    timeout: float
    port: int
    _dns_host: str

    def connect(self) -> Any:
        """Open a new connection."""
        ATTEMPT.get().idle = None
        return super().connect()  # type: ignore[misc]

    def close(self) -> None:
        """Close the connection. No-op if the program has closed its descriptor, as one that becomes a daemon does."""
        with contextlib.suppress(OSError):
            super().close()  # type: ignore[misc]

    def _new_conn(self) -> socket.socket:
        """Replace urllib3's TCP connect.

        :raises DialFailed: urllib3 and requests wrap it like any other OSError of the connection.
        """
        host = self._dns_host.strip("[]")  # urllib3's attribute: the name to look up
        deadline = self.way.clock() + self.timeout
        connector = Connector(deadline=deadline, addresses_of=self.way.addresses_of, clock=self.way.clock)
        ATTEMPT.get().connector = connector
        stream = dial(host, self.port, self.way.proxy, connector, self.way.wall_clock)
        try:
            raw = stream.detach()
        except OSError:
            stream.close()
            raise
        raw.settimeout(self.timeout)
        return raw

"""The connections of the HTTP calls, over requests. The clients of a process share them."""

from __future__ import annotations

import contextlib
import http.cookiejar
import threading
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

import requests
import requests.adapters

from ... import _fork
from ..net import ClientCert, LookUp, Proxy
from ._limits import Pools, Way

#: Maximum number of kept connections to a host.
_POOL = 16

#: Maximum number of proxies with kept connections. Clients may have different proxies, and the environment may change.
_MOST_SESSIONS = 16


class _Adapter(requests.adapters.HTTPAdapter):
    """The adapter from requests to urllib3, with this SDK's pools."""

    def __init__(self, way: Way, **kwargs: Any) -> None:
        self._way = way
        super().__init__(**kwargs)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Create the pools for direct connections and tunnels."""
        super().init_poolmanager(*args, **kwargs)
        self._pools = Pools(self._way, self.poolmanager.pool_classes_by_scheme)
        self._pools.limit(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Create the pools for requests that a proxy forwards: plain http, and everything through an https proxy."""
        manager = super().proxy_manager_for(*args, **kwargs)
        self._pools.limit(manager)
        return manager

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


class _Session(requests.Session):
    """A session of requests that ignores redirects. requests would read a redirect's body without a limit."""

    def __init__(self, way: Way) -> None:
        super().__init__()
        # Each call chooses its route, and a ~/.netrc must not add credentials.
        self.trust_env = False
        # Cookies would outlive the logout.
        self.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        adapter = _Adapter(way, pool_connections=_POOL, pool_maxsize=_POOL)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def get_redirect_target(self, resp: Any) -> None:
        """Return None: redirects are not followed."""

    def close(self) -> None:
        """Close the adapter, which is the same for both schemes."""
        self.adapters["https://"].close()


class _Connections:
    """The sessions of the calls, one for each tunnelling proxy, and the number of calls that use them."""

    def __init__(self, way: Way) -> None:
        self.calls = 0
        self.retired = False
        self._way = way
        self._sessions: Dict[Optional[Proxy], _Session] = {}

    @property
    def are_used(self) -> bool:
        """Whether a call has used them."""
        return bool(self._sessions)

    def have_room(self, tunnel: Optional[Proxy]) -> bool:
        """Return True if a call through this proxy can use them."""
        return tunnel in self._sessions or len(self._sessions) < _MOST_SESSIONS

    def session(self, tunnel: Optional[Proxy]) -> _Session:
        """Return the session for connections through this proxy; for None, without a proxy."""
        session = self._sessions.get(tunnel)
        if session is None:
            session = self._sessions.setdefault(tunnel, _Session(self._way._replace(proxy=tunnel)))
        return session

    def close(self) -> None:
        """Close every connection. No call may use them: urllib3 would refuse it."""
        for session in list(self._sessions.values()):
            session.close()


class SharedConnections(_fork.ForkSafeDefaults):
    """The HTTP connections of several clients. Any thread, and any signal handler.

    A thousand clients of a process make few calls at the same time, so they need few connections.

    :param way: how they are opened.
    """

    def __init__(self, way: Way) -> None:
        self._way = way
        self._users: Set[int] = set()
        self._of_parent: List[_Connections] = []  # the garbage collector of a child must not touch them
        self._current = _Connections(way)
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In the child of a fork: leave the parent's connections alone, and use new ones."""
        # Guards which calls use which connections. Re-entrant: a signal handler may close a client during a call.
        self._lock = threading.RLock()
        self._users.clear()
        self._of_parent.append(self._current)
        self._current = _Connections(self._way)

    @contextlib.contextmanager
    def lent(self, user: int, tunnel: Optional[Proxy]) -> Iterator[_Session]:
        """Lend connections to one call. The last call that uses retired connections closes them.

        :param user: the identity of the object that makes the call, which calls :meth:`leave` at its end.
        """
        with self._lock:
            self._users.add(user)
            if not self._current.have_room(tunnel):
                self.retire()
            connections = self._current
            connections.calls += 1
        try:
            yield connections.session(tunnel)
        finally:
            with self._lock:
                connections.calls -= 1
                ends = connections.retired and not connections.calls
            if ends:
                connections.close()

    def retire(self) -> None:
        """Make later calls use new connections. Calls in progress keep theirs."""
        with self._lock:
            old = self._current
            if not old.are_used:
                return
            self._current = _Connections(self._way)
            old.retired = True
            unused = not old.calls
        if unused:
            old.close()

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

"""Sandbox: the stand-in as its users see it. It owns the thread; everything else is in the modules beside."""

from __future__ import annotations

import os
import shutil
import ssl
import tempfile
import threading
import weakref
from typing import TYPE_CHECKING, Any, Callable, Coroutine, Dict, List, Optional, Tuple, TypeVar, Union

from ._certificates import make_certificate
from ._journal import Attempt, Request
from ._listener import Listener
from ._loop_thread import LoopThread
from ._service import Service
from ._state import State
from .chat._controls import PlayControls
from .faults._controls import FaultControls

if TYPE_CHECKING:
    from cometchat import AppSettings

T = TypeVar("T")

#: Seconds that a call from outside waits for the sandbox's thread.
DEADLINE = 5.0


class Sandbox(FaultControls, PlayControls):
    """A local stand-in for CometChat's service: HTTP and WebSocket on one port, in a thread of its own.

    ::

        with Sandbox() as sandbox:
            client = Client(sandbox.app_id, sandbox.settings())
            client.login("cometchat-uid-1", sandbox.auth_key)

    The users ``cometchat-uid-1`` to ``-5`` exist. All state outlives ``stop()`` and ``start()``, on the same port.
    Every method may be called from any thread.

    :param port: 0 takes a free one.
    :param tls: https and wss, with a certificate made for the occasion; its path is ``ca_certs``.
    :param certfile: with ``keyfile``, PEM files of a certificate to use instead; turns TLS on.
    :raises ValueError: one of ``certfile`` and ``keyfile`` without the other.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        tls: bool = False,
        certfile: Union[None, str, os.PathLike[str]] = None,
        keyfile: Union[None, str, os.PathLike[str]] = None,
        app_id: str = "sandbox-app",
        auth_key: str = "sandbox-auth-key",
        region: str = "us",
    ) -> None:
        if (certfile is None) != (keyfile is None):
            raise ValueError("certfile and keyfile: give both or neither")
        self.app_id = app_id
        self.auth_key = auth_key
        self.region = region
        self.host = host
        self._state = State(app_id, auth_key, region)
        self._listener = Listener(host, port)
        self._certificate: Optional[Tuple[str, str]] = None
        if certfile is not None and keyfile is not None:
            self._certificate = os.fspath(certfile), os.fspath(keyfile)
        elif tls:
            self._certificate = self._make_certificate()
        self._thread = LoopThread()
        self._service: Optional[Service] = None
        self._lifecycle = threading.RLock()
        self._stopped = threading.Event()
        self._stopped.set()

    def __enter__(self) -> Sandbox:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Sandbox {self.url if self.port else self.host} {'running' if self.running else 'stopped'}>"

    # Its life.

    def start(self) -> Sandbox:
        """Take connections from now on; the sandbox itself. Again while it runs: nothing.

        :raises OSError: the port is taken.
        """
        with self._lifecycle:
            if self._service is not None:
                return self
            self._listener.bind()
            try:
                self._thread.start()
                self._service = self._thread.call(self._open(self._tls_context()), DEADLINE)
            except BaseException:
                self._listener.close()
                self._thread.stop(DEADLINE)
                raise
            self._stopped.clear()
            self._state.journal.changed()
        return self

    def stop(self) -> None:
        """End every connection, the listening socket and the thread. Again: nothing. What the service knows is kept."""
        with self._lifecycle:
            service, self._service = self._service, None
            if service is None:
                return
            try:
                self._thread.call(service.close(), DEADLINE)
            finally:
                self._thread.stop(DEADLINE)
                self._listener.close()
                self._stopped.set()
                self._state.journal.changed()

    def restart(self) -> None:
        """Stop and start, on the same port."""
        self.stop()
        self.start()

    def serve_forever(self) -> None:
        """Start, and block until ``stop()`` or, on the main thread, Ctrl-C (which stops it; nothing is raised)."""
        self.start()
        try:
            self._stopped.wait()
        except KeyboardInterrupt:
            self.stop()

    @property
    def running(self) -> bool:
        """Whether it is between ``start()`` and ``stop()``."""
        return self._service is not None

    # Where it is, and who is there.

    @property
    def port(self) -> int:
        """The TCP port: 0 before the first ``start()`` where none was asked for, afterwards always the same."""
        return self._listener.port

    @property
    def url(self) -> str:
        """``http(s)://host:port``, as a client on this machine reaches it.

        :raises RuntimeError: the port is not known before the first start.
        """
        if not self.port:
            raise RuntimeError("start the sandbox first: it takes a free port then")
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        scheme = "http" if self._certificate is None else "https"
        return f"{scheme}://[{host}]:{self.port}" if ":" in host else f"{scheme}://{host}:{self.port}"

    @property
    def ca_certs(self) -> Optional[str]:
        """Path of the PEM file that makes a client trust this server; None without TLS."""
        return None if self._certificate is None else self._certificate[0]

    def settings(self, **overrides: Any) -> AppSettings:
        """``AppSettings`` that lead a client here; ``overrides`` are fields of it."""
        from cometchat import AppSettings

        fields: Dict[str, Any] = {"region": self.region, "admin_host": self.url, "client_host": self.url}
        if self.ca_certs is not None:
            fields["ca_certs"] = self.ca_certs
        return AppSettings(**{**fields, **overrides})

    def add_user(self, uid: str, name: str, *, role: str = "default", avatar: Optional[str] = None) -> None:
        """Create a user, or change the one there is."""
        self._state.accounts.add(uid, name, role, avatar)

    def auth_token(self, uid: str) -> str:
        """A new auth token of a user, without HTTP: as an app's own back end would get it.

        :raises KeyError: there is no such user.
        """
        self._known(uid)
        return self._state.accounts.issue_token(uid)

    def jwt(self, uid: str, lifetime: Optional[float] = None) -> str:
        """A new jwt of a user, without HTTP, good for ``lifetime`` seconds (default: ``jwt_lifetime``).

        :raises KeyError: there is no such user.
        """
        self._known(uid)
        return self._state.accounts.issue_jwt(uid, lifetime=lifetime)

    @property
    def jwt_lifetime(self) -> float:
        """Seconds that a jwt issued from now on is good for; negative ones have expired when they are issued.

        60 days, until set; ``heal()`` sets it back.
        """
        return self._state.accounts.jwt_lifetime

    @jwt_lifetime.setter
    def jwt_lifetime(self, seconds: float) -> None:
        self._state.accounts.jwt_lifetime = seconds

    # What it saw. Each answer is a copy.

    @property
    def connections(self) -> int:
        """How many authenticated WebSockets are up."""
        service = self._service
        return 0 if service is None else len(service.hub.joined)

    @property
    def sockets(self) -> int:
        """How many WebSockets are up, authenticated or not."""
        service = self._service
        return 0 if service is None else len(service.connections)

    @property
    def attempts(self) -> List[Attempt]:
        """Every WebSocket upgrade request, with its time; refused and hanging ones as well."""
        return self._state.journal.attempts

    @property
    def requests(self) -> List[Request]:
        """Every HTTP request, in the order in which they were answered; preflights as well."""
        return self._state.journal.requests

    @property
    def frames(self) -> List[Tuple[Optional[str], Dict[str, Any]]]:
        """Every frame from a client, with the uid of the connection: None until its ``auth`` was accepted."""
        return self._state.journal.frames

    @property
    def violations(self) -> List[str]:
        """What clients sent that the protocol does not have. No credentials in it."""
        return self._state.journal.violations

    @property
    def close_codes(self) -> List[int]:
        """How clients ended their WebSockets: the code, 1005 for a close without one, 1006 for none at all."""
        return self._state.journal.close_codes

    @property
    def messages(self) -> List[Dict[str, Any]]:
        """The messages stored so far, oldest first: group actions and calls among them. Copies."""
        return self._state.messages.messages

    def clear_records(self) -> None:
        """Forget attempts, requests, frames, violations and close codes."""
        self._state.journal.clear()

    def wait_until(self, predicate: Callable[[], T], timeout: float = 5.0) -> Optional[T]:
        """The predicate's first truthy value, or a falsy one after ``timeout`` seconds.

        It is called in the caller's thread, at once and on every change of the sandbox (a request, an attempt, a frame,
        a connection more or less): of what else it looks at, the sandbox knows nothing.
        """
        return self._state.journal.wait_until(predicate, timeout)

    def wait_for_connections(self, count: int, timeout: float = 5.0) -> bool:
        """Whether, within ``timeout`` seconds, exactly ``count`` authenticated WebSockets are up."""
        return bool(self.wait_until(lambda: self.connections == count, timeout))

    def wait_for_attempts(self, count: int, timeout: float = 5.0) -> bool:
        """Whether, within ``timeout`` seconds, there have been at least ``count`` upgrade requests."""
        return bool(self.wait_until(lambda: len(self.attempts) >= count, timeout))

    def wait_for_frame(
        self, predicate: Callable[[Dict[str, Any]], bool], timeout: float = 5.0
    ) -> Optional[Dict[str, Any]]:
        """The first frame from a client that the predicate holds for, past ones too; None after ``timeout`` seconds."""
        return self.wait_until(lambda: next((frame for _, frame in self.frames if predicate(frame)), None), timeout)

    # Inside.

    async def _open(self, tls: Optional[ssl.SSLContext]) -> Service:
        service = Service(self._state, self._listener, self.host, tls)
        await service.open()
        return service

    def _apply(self, change: Callable[[Optional[Service]], T]) -> T:
        with self._lifecycle:
            service = self._service
            result = (
                change(None) if service is None else self._thread.call(_as_coroutine(lambda: change(service)), DEADLINE)
            )
        self._state.journal.changed()
        return result

    def _apply_waiting(self, change: Callable[[Service], Coroutine[Any, Any, Any]]) -> None:
        with self._lifecycle:
            if self._service is not None:
                self._thread.call(change(self._service), DEADLINE)
        self._state.journal.changed()

    def _known(self, uid: str) -> None:
        if uid not in self._state.accounts.users:
            raise KeyError(f"no user {uid!r}: add_user() makes one")

    def _tls_context(self) -> Optional[ssl.SSLContext]:
        if self._certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self._certificate)
        return context

    def _make_certificate(self) -> Tuple[str, str]:
        directory = tempfile.mkdtemp(prefix="cometchat-sandbox-")
        # It is kept over stops and starts, for the clients that have its path; it goes with this object.
        weakref.finalize(self, shutil.rmtree, directory, ignore_errors=True)
        apis = [f"{self.app_id}.{api}-{self.region}.cometchat.io" for api in ("api", "apiclient")]
        hosts = [] if self.host in ("", "0.0.0.0", "::") else [self.host]
        return make_certificate(directory, [*hosts, *apis])


async def _as_coroutine(function: Callable[[], T]) -> T:
    return function()

"""Sandbox: the public class of the local stand-in for the service. It owns the thread."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import ssl
import tempfile
import threading
import weakref
from typing import TYPE_CHECKING, Any, Callable, Coroutine, Dict, List, Optional, Sequence, Tuple, TypeVar, Union

from cometchat import AppSettings

from ._app import Address, App
from ._certificates import make_certificate
from ._journal import Attempt, Journal, Request
from ._json import check_json
from ._listener import WILDCARDS, Listener
from ._loop_thread import LoopThread
from ._player import Player, fits, report
from ._service import Service
from ._webhook import Delivery, Webhook
from .chat import ChatControls
from .faults import FaultControls, Faults, RunningService
from .faults._faults import check_lifetime, check_path
from .http import Uploads
from .socket import Hub

if TYPE_CHECKING:
    from ._store import Parts, Store

T = TypeVar("T")

#: Maximum time that a call from outside waits for the sandbox's thread, in seconds.
DEADLINE = 5.0

#: Maximum length of one wait of ``serve_forever()``, in seconds. On Windows no signal ends a wait, before Python 3.14.
_STRETCH = 0.5


class Sandbox(FaultControls, ChatControls):
    """A local stand-in for CometChat's service: HTTP and WebSocket on one port, in a separate thread.

    ::

        with Sandbox() as sandbox:
            client = Client(sandbox.app_id, sandbox.settings())
            client.login("cometchat-uid-1", sandbox.auth_key)

    The users ``cometchat-uid-1`` to ``-5`` exist. ``stop()`` and ``start()`` keep all state and the port. Any thread
    may call every method.

    :param host: the address to listen on. The default is this machine only.
    :param port: 0 chooses a free port.
    :param tls: True uses https and wss, with a new certificate. ``ca_certs`` is its path.
    :param certfile: with ``keyfile``, PEM files of a certificate to use in its place. It turns TLS on.
    :param app_id: the only app id that clients may use.
    :param auth_key: None creates a new key for each sandbox.
    :param api_key: the key of the admin API, for back ends. None creates a new key.
    :param origins: origins beside this machine's whose pages may call the sandbox from a browser, such as
        ``"https://app.example"``.
    :param webhook_url: the sandbox posts the service's webhook events there, in order and each once. ``user:password@``
        in it adds Basic Auth. ``deliveries`` has the outcome of each.
    :param data: a folder that keeps the state while the sandbox runs. The state then outlives a restart, and a kill of
        the process. It has users, groups, messages, files, receipts, tokens and both keys, but neither faults nor
        records.
    :raises ValueError: ``certfile`` and ``keyfile`` are not given together, ``origins`` is a text, the URL is not an
        HTTP URL, or the sandbox cannot read the state in the folder.
    :raises OSError: the sandbox cannot create the folder, or another sandbox is using it.
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
        auth_key: Optional[str] = None,
        api_key: Optional[str] = None,
        region: str = "us",
        origins: Sequence[str] = (),
        webhook_url: Optional[str] = None,
        data: Union[None, str, os.PathLike[str]] = None,
    ) -> None:
        if (certfile is None) != (keyfile is None):
            raise ValueError("certfile and keyfile must be used together")
        if isinstance(origins, str):
            raise ValueError(f"origins: give a list of origins, not the text {origins!r}")
        self.app_id = app_id
        self._store = None if data is None else _open_store(data)
        self.auth_key: str = self._find_key("auth_key", auth_key)
        self.api_key: str = self._find_key("api_key", api_key)
        self.region = region
        self.host = host
        self._origins = tuple(origins)
        self._faults = Faults()
        self._journal = Journal()
        self._hub = Hub(self._faults, self._journal)
        journal = self._journal
        webhook = Webhook(webhook_url, app_id, region, lambda delivery: journal.add(journal.deliveries, delivery))
        keys = self.auth_key, self.api_key
        self._app = App(app_id, *keys, region, self._faults, self._journal, self._hub, webhook)
        self._chat = self._app.chat
        self._uploads = Uploads()
        if self._store is not None:
            self._store.load(self._parts(), auth_key=self.auth_key, api_key=self.api_key)
        self._listener = Listener(host, port)
        self._certificate = self._find_certificate(tls, certfile, keyfile)
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

    # Start and stop.

    def start(self) -> Sandbox:
        """Start to accept connections. Returns the sandbox itself. No-op while it runs.

        :raises OSError: another process has the port, the folder of the data can't be written, or another sandbox is
            using it or has changed it.
        """
        with self._lifecycle:
            if self._service is not None:
                return self
            self._listener.bind()
            try:
                if self._store is not None:
                    self._store.open()
                self._thread.start()
                self._service = self._thread.call(self._open(self._tls_context()), DEADLINE)
            except BaseException:
                self._release()
                raise
            self._stopped.clear()
            self._journal.changed()
        return self

    def stop(self) -> None:
        """End every connection, the listening socket and the thread. The state stays. No-op when called twice.

        No-op in the child of a fork too: the sandbox is the parent's. Raises SQLite's error, after the end, if the
        folder of the data can't be written, such as on a full disk.
        """
        if self._thread.is_elsewhere:
            return
        with self._lifecycle:
            service, self._service = self._service, None
            if service is None:
                return
            try:
                self._thread.call(service.close(), DEADLINE)
            finally:
                try:
                    self._release()
                finally:
                    self._stopped.set()
                    self._journal.changed()

    def restart(self) -> None:
        """Stop and start, on the same port."""
        self.stop()
        self.start()

    def serve_forever(self) -> None:
        """Start, and block until another thread calls ``stop()``.

        On the main thread, Ctrl-C stops it too, and raises nothing.
        """
        self.start()
        try:
            while not self._stopped.wait(_STRETCH):
                continue
        except KeyboardInterrupt:
            self.stop()

    @property
    def running(self) -> bool:
        """Whether the sandbox runs."""
        return self._service is not None

    # Its address and its users.

    @property
    def port(self) -> int:
        """The TCP port. With ``port=0`` it is 0 until the first ``start()``, which chooses the port for good."""
        return self._listener.port

    @property
    def url(self) -> str:
        """``http(s)://host:port``, for clients on this machine.

        :raises RuntimeError: the sandbox has not started yet, and so has no port.
        """
        if not self.port:
            raise RuntimeError("start the sandbox first: the start chooses a free port")
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return Address(host, self.port, self._certificate is not None).url

    @property
    def ca_certs(self) -> Optional[str]:
        """Path of the PEM file with which a client trusts this server. None without TLS."""
        return None if self._certificate is None else self._certificate[0]

    def settings(self, **overrides: Any) -> AppSettings:
        """Return ``AppSettings`` for a client of this sandbox.

        :param overrides: fields of AppSettings.
        """
        fields: Dict[str, Any] = {"region": self.region, "admin_host": self.url, "client_host": self.url}
        if self.ca_certs is not None:
            fields["ca_certs"] = self.ca_certs
        return AppSettings(**{**fields, **overrides})

    def add_user(self, uid: str, name: str, *, role: str = "default", avatar: Optional[str] = None) -> None:
        """Create a user, or replace the user with that uid.

        :raises ValueError: a field is wrong.
        """
        self._act(lambda: self._chat.users.add_checked(uid, name, role, avatar))

    def fill(self, seed: Dict[str, List[Dict[str, Any]]]) -> bool:
        """Fill in users, groups and history, unless the folder of the data has a state already. Returns whether it did.

        :param seed: ``users``, ``groups`` and ``messages``, added in this order. Each is a list of objects with the
            parameters of :meth:`add_user`, :meth:`add_group` and :meth:`send_message`.
        :raises KeyError: a user, group or message does not exist.
        :raises ValueError: a field is wrong.
        """
        if self._store is not None and not self._store.is_new:
            return False
        acts: Dict[str, Callable[..., Any]] = {
            "users": self.add_user,
            "groups": self.add_group,
            "messages": self.send_message,
        }
        unknown = sorted(set(seed) - set(acts))
        if unknown:
            raise ValueError(f"Invalid seed: expected users, groups and messages, got {unknown[0]!r}")
        for name, act in acts.items():
            entries = seed.get(name, [])
            if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
                raise ValueError(f"Invalid {name} of a seed: expected a list of objects")
            for entry in entries:
                try:
                    act(**entry)
                except TypeError as error:
                    raise ValueError(f"Invalid {name} of a seed: {error}") from error
        return True

    def auth_token(self, uid: str) -> str:
        """Create an auth token for a user without HTTP, like an app's server.

        :raises KeyError: the user does not exist.
        """
        return self._run(lambda: self._chat.credentials.issue_token(self._known(uid)))

    def jwt(self, uid: str, lifetime: Optional[float] = None) -> str:
        """Create a jwt for a user without HTTP, valid for ``lifetime`` seconds (default: ``jwt_lifetime``).

        :raises KeyError: the user does not exist.
        :raises ValueError: the lifetime is not a finite number.
        """
        seconds = self._faults.jwt_lifetime if lifetime is None else lifetime
        check_lifetime("lifetime", seconds)
        return self._run(lambda: self._chat.credentials.issue_jwt(self._known(uid), seconds))

    @property
    def jwt_lifetime(self) -> float:
        """Lifetime of the jwts issued from now on, in seconds. Jwts with a negative lifetime have already expired.

        The default is 60 days. ``heal()`` restores it.
        """
        return self._faults.jwt_lifetime

    @jwt_lifetime.setter
    def jwt_lifetime(self, seconds: float) -> None:
        check_lifetime("jwt_lifetime", seconds)
        self._fault("jwt_lifetime", seconds)

    def answer(self, method: str, path: str, data: Any) -> None:
        """Set a canned answer of an extension, or of a path of the API that the sandbox does not implement.

        :param path: an extension and its endpoint, such as ``"polls/v2/create"``; or a path of the API without the
            version prefix, such as ``"/ai/smart-replies/*"``. ``*`` matches any text. The newest answer that fits wins.
        :param data: the ``data`` of the success envelope, as a JSON value.
        :raises ValueError: JSON cannot hold the data, or the path has the version prefix.
        """
        check_json("data", data)
        if path.startswith("/"):
            check_path(path)
        self._run(lambda: self._app.answers.set(method, path, data))

    # Its records. Each answer is a copy. Of each kind, the sandbox keeps at least the newest 100,000.

    @property
    def connections(self) -> int:
        """The number of open WebSockets that are authenticated."""
        return self._hub.count

    @property
    def sockets(self) -> int:
        """The number of open WebSockets, authenticated or not."""
        service = self._service
        return 0 if service is None else len(service.connections)

    @property
    def attempts(self) -> List[Attempt]:
        """Every WebSocket upgrade request with its time, including refused and hanging ones."""
        return list(self._journal.attempts)

    @property
    def requests(self) -> List[Request]:
        """Every HTTP request, including preflights, in the order of the answers."""
        return list(self._journal.requests)

    @property
    def frames(self) -> List[Tuple[Optional[str], Dict[str, Any]]]:
        """Every frame from a client, with the uid of the connection: None before the sandbox accepts ``auth``."""
        return list(self._journal.frames)

    @property
    def violations(self) -> List[str]:
        """Every breach of the protocol by a client. Credentials are left out."""
        return list(self._journal.violations)

    @property
    def close_codes(self) -> List[int]:
        """The close codes of ended WebSockets. 1005 is a close without a code, 1006 an end without a close frame."""
        return list(self._journal.close_codes)

    @property
    def messages(self) -> List[Dict[str, Any]]:
        """The messages stored so far, oldest first, with group actions and calls."""
        return self._chat.history.messages

    @property
    def deliveries(self) -> List[Delivery]:
        """The events that the sandbox posted to the webhook, with failed ones, but without waiting ones."""
        return list(self._journal.deliveries)

    @property
    def reports(self) -> List[Dict[str, Any]]:
        """The users' reports, oldest first: ``messageId``, ``uid``, the reason's ``id``, ``remark``, ``reportedAt``."""
        return [dict(report) for report in list(self._chat.reports)]

    def clear_records(self) -> None:
        """Drop attempts, requests, frames, violations, close codes and deliveries.

        Without it the sandbox keeps the newest 100,000 of each.
        """
        self._journal.clear()

    def wait_until(self, predicate: Callable[[], T], timeout: float = 5.0) -> Optional[T]:
        """Return the predicate's first truthy value, or None after ``timeout`` seconds.

        The caller's thread calls the predicate at once, and on every change of the sandbox: a request, an attempt, a
        frame, a connection that opens or ends. A change of anything else does not wake it.
        """
        return self._journal.wait_until(predicate, timeout)

    def wait_for_connections(self, count: int, timeout: float = 5.0) -> bool:
        """Return whether exactly ``count`` authenticated WebSockets are open within ``timeout`` seconds."""
        return bool(self.wait_until(lambda: self.connections == count, timeout))

    def wait_for_attempts(self, count: int, timeout: float = 5.0) -> bool:
        """Return whether at least ``count`` upgrade requests arrived within ``timeout`` seconds."""
        return bool(self.wait_until(lambda: len(self.attempts) >= count, timeout))

    def wait_for_frame(
        self, predicate: Callable[[Dict[str, Any]], bool], timeout: float = 5.0
    ) -> Optional[Dict[str, Any]]:
        """Return the first frame of a client, old or new, that fits; None after ``timeout`` seconds."""
        return self.wait_until(lambda: next((frame for _, frame in self.frames if predicate(frame)), None), timeout)

    # For tests that are easy to read.

    def play(self, uid: str) -> Player:
        """Return the user as a player who writes, types and reads: ``other = sandbox.play("cometchat-uid-2")``.

        :raises KeyError: the user does not exist.
        """
        return Player(self, self._known(uid))

    def expect_message(
        self,
        text: Optional[str] = None,
        *,
        sender: Optional[str] = None,
        receiver: Optional[str] = None,
        timeout: float = 5.0,
    ) -> Dict[str, Any]:
        """Wait until a message with these values is stored. Returns the first one, which may be an old message.

        Group actions, edits, deletions and calls do not count.

        :param text: the whole text.
        :param sender: a uid.
        :param receiver: a uid or guid.
        :param timeout: in seconds.
        :raises AssertionError: no message with these values is stored in time. The text lists the stored messages.
        """
        __tracebackhide__ = True  # makes pytest show the line of the test
        uids = {"sender": sender, "receiver": receiver}
        wanted = {key: value.lower() for key, value in uids.items() if value is not None}
        if text is not None:
            wanted = {"text": text, **wanted}
        found = self.wait_until(lambda: next((each for each in self.messages if fits(each, wanted)), None), timeout)
        if found is None:
            raise AssertionError(report(wanted, self.messages, timeout))
        return found

    # Internals.

    async def _open(self, tls: Optional[ssl.SSLContext]) -> Service:
        app, uploads, save = self._app, self._uploads, self._save
        service = Service(app, self._hub, self._listener, self.host, tls, self._origins, uploads, save)
        await service.open()
        return service

    def _parts(self) -> Parts:
        """Return the parts that a store keeps: every part of the chat, and the files."""
        parts: Dict[str, object] = {**vars(self._chat), "chat": self._chat, "uploads": self._uploads}
        del parts["publisher"]
        listed = {"history": ("_messages",), "credentials": ("tokens", "_jwts"), "uploads": ("_files",)}
        return {name: (part, listed.get(name, ())) for name, part in parts.items() if hasattr(part, "__dict__")}

    def _save(self) -> None:
        if self._store is not None:
            self._store.save()

    def _release(self) -> None:
        """End the thread, then release the file and the port. Each happens although another one fails."""
        with contextlib.ExitStack() as rest:
            rest.callback(self._listener.close)
            if self._store is not None:
                rest.callback(self._store.close)
            self._thread.stop(DEADLINE)

    def _run(self, act: Callable[[], T]) -> T:
        return self._apply(lambda service: act())

    def _apply(self, change: Callable[[Optional[RunningService]], T]) -> T:
        def act() -> T:
            try:
                return change(service)
            finally:
                self._save()

        with self._lifecycle:
            service = self._service
            result = act() if service is None else self._thread.call(_as_coroutine(act), DEADLINE)
        self._journal.changed()
        return result

    def _apply_waiting(self, change: Callable[[RunningService], Coroutine[Any, Any, Any]]) -> None:
        with self._lifecycle:
            if self._service is not None:
                self._thread.call(change(self._service), DEADLINE)
        self._journal.changed()

    def _known(self, uid: str) -> str:
        if uid not in self._chat.users:
            raise KeyError(f"no user {uid!r}: add_user() creates one")
        return self._chat.users.get(uid).uid

    def _tls_context(self) -> Optional[ssl.SSLContext]:
        if self._certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self._certificate)
        return context

    def _find_key(self, name: str, given: Optional[str]) -> str:
        """Return the given key, or else the key in the store, or else a new one."""
        if given is None and self._store is not None:
            given = self._store.get(name)
        return secrets.token_hex(20) if given is None else given

    def _find_certificate(
        self,
        tls: bool,
        certfile: Union[None, str, os.PathLike[str]],
        keyfile: Union[None, str, os.PathLike[str]],
    ) -> Optional[Tuple[str, str]]:
        if certfile is not None and keyfile is not None:
            return os.fspath(certfile), os.fspath(keyfile)
        return self._make_certificate() if tls else None

    def _make_certificate(self) -> Tuple[str, str]:
        directory = tempfile.mkdtemp(prefix="cometchat-sandbox-")
        # It stays while the sandbox is stopped, for clients that have its path. This object's end removes it.
        weakref.finalize(self, _remove, directory, os.getpid())
        apis = [f"{self.app_id}.{api}-{self.region}.cometchat.io" for api in ("api", "apiclient")]
        hosts = [] if self.host in WILDCARDS else [self.host]
        # One name for each: browsers do not accept a wildcard directly below localhost.
        extensions = self._app.answers.hosts("localhost")
        return make_certificate(directory, [*hosts, *apis, *extensions])


def _open_store(folder: Union[str, os.PathLike[str]]) -> Store:
    from ._store import Store  # loads sqlite3 only for sandboxes that keep their state

    return Store(folder)


def _remove(directory: str, process: int) -> None:
    """Remove a directory, but not in the child of a fork, whose copy of a sandbox ends too."""
    if os.getpid() == process:
        shutil.rmtree(directory, ignore_errors=True)


async def _as_coroutine(function: Callable[[], T]) -> T:
    return function()

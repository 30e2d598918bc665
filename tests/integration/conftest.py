"""The shared parts of the tests: the sandbox, clients that are closed, listeners that record, and servers of raw
sockets.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import logging
import os
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

import pytest
import tenacity

from cometchat import AppSettings, Client, CometChat, CometChatException, ConnectionListener, LoginListener, User, api
from cometchat.sandbox import Sandbox

#: Maximum wait for an event, in seconds, also on a slow or busy machine.
DEADLINE = 20.0

#: For tests that are not about the backoff.
QUICK = tenacity.wait_fixed(0.05)

UID = "cometchat-uid-1"
OTHER_UID = "cometchat-uid-2"

#: The callbacks of a loss and a quick return.
LOSS = ["on_connection_error", "on_disconnected", "on_connecting", "on_connected"]


class Call(NamedTuple):
    """One callback, as it was called."""

    name: str
    argument: Any
    time: float
    status: Optional[str]
    thread: str


class _Recording:
    """Keeps every call, and lets a test wait for one. ``hooks[name]`` is called from inside the callback."""

    def __init__(self) -> None:
        self.client: Optional[Client] = None
        self.hooks: Dict[str, Callable[[], object]] = {}
        self._calls: List[Call] = []
        self._changed = threading.Condition()

    @property
    def calls(self) -> List[Call]:
        with self._changed:
            return list(self._calls)

    @property
    def names(self) -> List[str]:
        return [call.name for call in self.calls]

    @property
    def errors(self) -> List[CometChatException]:
        return [call.argument for call in self.calls if call.name == "on_connection_error"]

    def named(self, name: str) -> List[Call]:
        return [call for call in self.calls if call.name == name]

    def note(self, name: str, argument: Any = None) -> None:
        status = None if self.client is None else str(self.client.get_connection_status())
        call = Call(name, argument, time.monotonic(), status, threading.current_thread().name)
        hook = self.hooks.get(name)  # first, since a test that waits for this call may then remove it
        with self._changed:
            self._calls.append(call)
            self._changed.notify_all()
        if hook is not None:
            hook()

    def clear(self) -> None:
        with self._changed:
            self._calls.clear()

    def wait_until(self, predicate: Callable[[], Any], what: str, timeout: float = DEADLINE) -> Any:
        """Return the predicate's first truthy value. It is called again after each new call."""
        with self._changed:
            value = self._changed.wait_for(predicate, timeout)
        assert value, f"no {what} within {timeout:g} s; there was {self.names}"
        return value

    def wait_for(self, name: str, count: int = 1, timeout: float = DEADLINE) -> Call:
        """Wait for the ``count``-th call of this name."""
        self.wait_until(lambda: len(self.named(name)) >= count, f"{name} number {count}", timeout)
        return self.named(name)[count - 1]

    def wait_for_names(self, *names: str, timeout: float = DEADLINE) -> None:
        """Wait for exactly these calls, in this order, since the start or the last ``clear()``."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._calls) >= len(names), timeout)
        assert self.names == list(names)


class Recorder(_Recording, ConnectionListener):
    """A ConnectionListener that records. Its condition is reentrant, so that a predicate may read the data under it."""

    def on_connecting(self) -> None:
        self.note("on_connecting")

    def on_connected(self) -> None:
        self.note("on_connected")

    def on_feature_throttled(self) -> None:
        self.note("on_feature_throttled")

    def on_disconnected(self) -> None:
        self.note("on_disconnected")

    def on_connection_error(self, error: CometChatException) -> None:
        self.note("on_connection_error", error)


class LoginRecorder(_Recording, LoginListener):
    """A LoginListener that records."""

    def login_success(self, user: User) -> None:
        self.note("login_success", user)

    def login_failure(self, error: CometChatException) -> None:
        self.note("login_failure", error)

    def logout_success(self) -> None:
        self.note("logout_success")

    def logout_failure(self, error: CometChatException) -> None:
        self.note("logout_failure", error)


class Party:
    """Clients of one sandbox. All of them are closed after the test."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._clients: List[Client] = []

    def settings(self, **overrides: Any) -> AppSettings:
        return self._sandbox.settings(**{"reconnect_wait": QUICK, **overrides})

    def client(self, **overrides: Any) -> Client:
        """Return a client that is not logged in."""
        client = Client(self._sandbox.app_id, self.settings(**overrides))
        self._clients.append(client)
        return client

    def heard(self, client: Client) -> Recorder:
        """Return a recorder on a client."""
        recorder = Recorder()
        recorder.client = client
        client.add_connection_listener("heard", recorder)
        return recorder

    def joined(self, **overrides: Any) -> Tuple[Client, Recorder]:
        """Return a client that has just logged in, and a recorder of its connection."""
        client = self.client(**overrides)
        recorder = self.heard(client)
        client.login(UID, self._sandbox.auth_key)
        return client, recorder

    def connected(self, **overrides: Any) -> Tuple[Client, Recorder]:
        """Return the same, once it is connected and its callbacks have been recorded."""
        client, recorder = self.joined(**overrides)
        client.connect(DEADLINE)
        recorder.wait_for("on_connected")
        return client, recorder

    def close(self) -> None:
        for client in self._clients:
            client.close()


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """Assert that every test ends without a thread of the SDK, of the sandbox or of a server of these tests.

    A thread that an earlier test left fails that test, and not all later ones.
    """
    before = threading.enumerate()
    yield
    deadline = time.monotonic() + DEADLINE
    new = [thread for thread in threading.enumerate() if thread not in before]
    mine = [thread for thread in new if thread.name.startswith(("cometchat-", "peer-", "test-"))]
    for thread in mine:
        thread.join(max(0.0, deadline - time.monotonic()))
    assert [thread.name for thread in mine if thread.is_alive()] == []


@pytest.fixture(autouse=True)
def no_unexpected_error(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Assert that no thread of the SDK met an unexpected exception, except in a test that makes ``mistakes``.

    The threads survive such exceptions, so a test of what a user sees may pass in spite of them.
    """
    met: List[str] = []
    handle = logging.Logger.handle

    def noted(logger: logging.Logger, record: logging.LogRecord) -> None:
        if str(record.msg).startswith("Unexpected error"):
            met.append(logging.Formatter().format(record))
        handle(logger, record)

    monkeypatch.setattr(logging.Logger, "handle", noted)
    yield
    assert met == [] or "mistakes" in request.fixturenames, met[0]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove all proxies and CA bundles except those of the test."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def party(sandbox: Sandbox) -> Iterator[Party]:
    """Clients of the sandbox."""
    together = Party(sandbox)
    yield together
    together.close()


@pytest.fixture
def facade() -> Iterator[None]:
    """``CometChat`` without a client and without listeners, before and after."""
    _forget_shared_client()  # of a test elsewhere
    yield
    _forget_shared_client()


def _forget_shared_client() -> None:
    if api._client is not None:
        CometChat.close()
    api._client = None
    for kind, entries in list(CometChat._registry._entries.items()):
        for listener_id in list(entries):
            CometChat._registry.remove(kind, listener_id)


@pytest.fixture
def debug_log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """All records of all loggers, DEBUG included."""
    caplog.set_level(logging.DEBUG)
    return caplog


@dataclass
class Frame:
    """One WebSocket frame that a peer has read."""

    opcode: int
    payload: bytes
    fin: bool

    @property
    def close_code(self) -> Optional[int]:
        return int.from_bytes(self.payload[:2], "big") if self.opcode == 8 and len(self.payload) >= 2 else None


class Peer:
    """One accepted connection of a :class:`RawServer`."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._unread = b""

    def read(self, size: int) -> bytes:
        """Read exactly this many bytes. Raises EOFError if the client has ended the connection."""
        while len(self._unread) < size:
            self._more()
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    def read_head(self) -> str:
        """Read an HTTP request up to its empty line."""
        while b"\r\n\r\n" not in self._unread:
            self._more()
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        return head.decode()

    def upgrade(self) -> str:
        """Read the client's upgrade request, and answer it with 101."""
        head = self.read_head()
        self.socket.sendall(accept_upgrade(head))
        return head

    def read_frame(self) -> Frame:
        """Return the client's next frame, which must be masked."""
        first, second = self.read(2)
        assert second & 0x80, "a client's frame has to be masked"
        length = second & 0x7F
        if length == 126:
            length = int.from_bytes(self.read(2), "big")
        elif length == 127:
            length = int.from_bytes(self.read(8), "big")
        mask = self.read(4)
        data = self.read(length)
        plain = int.from_bytes(data, "big") ^ int.from_bytes((mask * (length // 4 + 1))[:length], "big")
        return Frame(first & 0x0F, plain.to_bytes(length, "big"), bool(first & 0x80))

    def wait_for_end(self) -> None:
        """Read until the client has ended the connection."""
        with contextlib.suppress(EOFError, OSError):
            while True:
                self.read(1)

    def _more(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError
        self._unread += data


class RawServer:
    """A TCP server, with TLS if it gets a context. Each connection runs the script in a separate thread.

    ``check()``, which also runs at the end of the test, raises the script's exceptions apart from the connection's end.
    """

    def __init__(self, script: Callable[[Peer], object], tls: Optional[ssl.SSLContext] = None) -> None:
        self._script = script
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: List[socket.socket] = []
        self._failures: List[BaseException] = []
        self._threads = [threading.Thread(target=self._accept, name="peer-accept", daemon=True)]
        self._threads[0].start()

    def url(self) -> str:
        return f"{'ws' if self._tls is None else 'wss'}://127.0.0.1:{self.port}/"

    def check(self) -> None:
        if self._failures:
            raise self._failures[0]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(DEADLINE)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join(DEADLINE)
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            # Before the handshake: close() must be able to end that too.
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), name="peer-connection", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(DEADLINE)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            self._script(Peer(connection))
        except (EOFError, OSError):
            return
        except BaseException as error:
            self._failures.append(error)
        finally:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)


@pytest.fixture
def serve() -> Iterator[Callable[..., RawServer]]:
    """Make raw servers, and end all of them after the test."""
    servers: List[RawServer] = []

    def make(script: Callable[[Peer], object], tls: Optional[ssl.SSLContext] = None) -> RawServer:
        servers.append(RawServer(script, tls))
        return servers[-1]

    yield make
    for server in servers:
        server.close()
    for server in servers:
        server.check()


def accept_upgrade(head: str) -> bytes:
    """Return the 101 to an upgrade request."""
    key = next(
        line.split(":", 1)[1].strip() for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key")
    )
    digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}\r\n\r\n"
    ).encode()


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = False) -> bytes:
    """Return a frame as a server sends it. ``rsv`` holds the three reserved bits, which are normally 0."""
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    bit = 0x80 if masked else 0
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    elif len(payload) < 65536:
        head += bytes([bit | 126]) + struct.pack("!H", len(payload))
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", len(payload))
    # The mask of zeros: the payload stays as it is.
    return head + (bytes(4) if masked else b"") + payload


def in_thread(function: Callable[[], object]) -> Tuple[threading.Thread, List[Any]]:
    """Run the function on another thread. The list gets its result, or its exception."""
    outcome: List[Any] = []

    def run() -> None:
        try:
            outcome.append(function())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run, name="test-thread", daemon=True)
    thread.start()
    return thread, outcome


def finished(thread: threading.Thread, outcome: List[Any], timeout: float = DEADLINE) -> Any:
    """Return the result or the exception of the function of :func:`in_thread`."""
    thread.join(timeout)
    assert not thread.is_alive(), f"it did not end within {timeout:g} s"
    return outcome[0]


#: Each test process begins with a separate hundred. They lie below those that the system gives to clients. A client
#: that connects to one of the latter again and again, before its server exists, may reach itself, or find that another
#: process got the port.
_ports = itertools.count(os.getpid() % 200 * 100)


def unused_port() -> int:
    """Return a TCP port of the loopback on which no server listens."""
    while True:
        port = 10_000 + next(_ports) % 20_000
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def eventually(predicate: Callable[[], Any], timeout: float = DEADLINE, pause: float = 0.002) -> Any:
    """Return the predicate's first truthy value.

    For changes without a signal. If there is an event, wait for the event.
    """
    deadline, never = time.monotonic() + timeout, threading.Event()
    while True:
        value = predicate()
        if value or time.monotonic() >= deadline:
            return value
        never.wait(pause)

"""From a host's name to a stream: TCP, a proxy's tunnel, TLS. One deadline for all of it.

websocket-client can do this too. But it gives each step, and each byte of a proxy's answer, the whole time anew; does
not go on to the next address where one is silent; has no limit on an answer's length; and can't be interrupted.
"""

from __future__ import annotations

import base64
import importlib
import io
import re
import ssl
import time
from typing import Callable, Dict, NamedTuple, Optional

from ...exceptions import ERR_CONNECT_TIMEOUT, WS_CONNECTION_FAIL, CometChatException, exception_for
from ..net import (
    SOCKS,
    BadProxy,
    BufferedStream,
    Connector,
    LookUp,
    Proxy,
    look_up,
    network_reason,
    retry_after_seconds,
)

#: Bytes. The head of an answer, to CONNECT or to the upgrade, that is longer than this is none.
MAX_HEAD = 65_536


class BadAnswer(Exception):
    """What came is no HTTP answer. ``ended``: it ended before it was whole."""

    def __init__(self, why: str, *, ended: bool = False) -> None:
        super().__init__(why)
        self.ended = ended


class Head(NamedTuple):
    """The head of an HTTP answer.

    :ivar headers: by their lower-case names.
    """

    status: int
    headers: Dict[str, str]


class Refused(Exception):
    """An HTTP answer of another status than the one that was asked for."""

    def __init__(self, head: Head) -> None:
        super().__init__(f"HTTP {head.status}")
        self.head = head


class Dialer:
    """Makes one connection.

    :param context: for TLS; None: plain.
    :param deadline: monotonic seconds.
    :param on_stream: is given each stream before anything is waited for, to be able to interrupt it.
    :param addresses_of: looks a name up.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        proxy: Optional[Proxy],
        context: Optional[ssl.SSLContext],
        deadline: float,
        on_stream: Callable[[BufferedStream], None],
        addresses_of: LookUp = look_up,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = host
        self._port = port
        self._proxy = proxy
        self._context = context
        self._deadline = deadline
        self._on_stream = on_stream
        self._clock = clock
        self._tcp = Connector(deadline=deadline, addresses_of=addresses_of, on_stream=on_stream, clock=clock)
        #: The proxy, while it is its turn to answer; None once there is a way to the host.
        self.proxy_name = None if proxy is None else proxy.name

    def dial(self) -> BufferedStream:
        """Connect; the stream's deadlines are set.

        :raises OSError, UnicodeError: as the system puts it, Interrupted and DeadlineReached among them.
        :raises Refused, BadAnswer: of the proxy.
        :raises BadProxy: it is none for a WebSocket.
        """
        if self._proxy is None:
            stream = self._tcp.connect(self._host, self._port)
        elif self._proxy.scheme in SOCKS:
            stream = self._socks(self._proxy)
        elif self._proxy.scheme == "http":
            stream = self._tcp.connect(self._proxy.host, self._proxy.port)
            self._tunnel(stream, self._proxy)
        else:
            raise BadProxy(f"{self._proxy.name} is not usable for a WebSocket: give http://, socks4:// or socks5://")
        self.proxy_name = None
        if self._context is not None:
            stream.start_tls(self._context, self._host)
        return stream

    def _tunnel(self, stream: BufferedStream, proxy: Proxy) -> None:
        target = f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        if proxy.auth is not None:
            credentials = base64.b64encode(":".join(proxy.auth).encode()).decode()
            lines.append(f"Proxy-Authorization: Basic {credentials}")
        stream.send("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
        head = read_head(stream.recv)
        if not 200 <= head.status < 300:
            raise Refused(head)

    def _socks(self, proxy: Proxy) -> BufferedStream:
        try:
            library = importlib.import_module("python_socks.sync")
            kinds = importlib.import_module("python_socks").ProxyType
        except ImportError as error:
            raise BadProxy(f"{proxy.name} needs the packages of the extra: pip install 'cometchat[socks]'") from error
        way = library.Proxy.create(
            proxy_type=kinds.SOCKS4 if proxy.scheme.startswith("socks4") else kinds.SOCKS5,
            host=proxy.host,
            port=proxy.port,
            username=proxy.auth[0] if proxy.auth else None,
            password=proxy.auth[1] if proxy.auth else None,
            rdns=proxy.scheme in ("socks4a", "socks5h"),  # the proxy looks the name up
        )
        raw = way.connect(self._host, self._port, timeout=max(self._deadline - self._clock(), 0.001))
        stream = self._tcp.stream(raw)
        self._on_stream(stream)
        return stream


class Upgrade:
    """Stands in for the socket while websocket-client makes the handshake.

    The answer is read here, as far as its head goes: a body could drip for ever, and would be of no use. Of the headers
    only those that it checks are passed on; it would keep cookies, for all clients of the process.
    """

    def __init__(self, stream: BufferedStream) -> None:
        self._stream = stream
        self._answer: Optional[io.BytesIO] = None

    def gettimeout(self) -> None:
        """The deadline is the stream's."""

    def send(self, data: bytes) -> int:
        """All of it."""
        self._stream.send(data)
        return len(data)

    def recv(self, size: int) -> bytes:
        """From the head of the answer."""
        if self._answer is None:
            head = read_head(self._stream.recv)
            if head.status != 101:
                raise Refused(head)
            checked = ("upgrade", "connection", "sec-websocket-accept")
            lines = [f"{name}: {head.headers[name]}" for name in checked if name in head.headers]
            self._answer = io.BytesIO("\r\n".join(["HTTP/1.1 101 ok", *lines, "", ""]).encode())
        return self._answer.read(size)

    def close(self) -> None:
        """Left to the stream's owner."""


def read_head(recv: Callable[[int], bytes]) -> Head:
    """Read the head of an HTTP answer, and not a byte more.

    :raises BadAnswer: it is no HTTP, is too long, or ends too early.
    """
    raw = bytearray()
    while not raw.endswith((b"\n\r\n", b"\n\n")):
        if len(raw) >= MAX_HEAD:
            raise BadAnswer(f"its head has more than {MAX_HEAD} bytes")
        byte = recv(1)
        if not byte:
            raise BadAnswer("it ended the connection", ended=True)
        raw += byte
    first, *lines = raw.decode("latin-1").split("\n")
    status = re.match(r"HTTP/1\.[0-9] +([1-9][0-9]{2})(?:\s|$)", first)
    if status is None:
        raise BadAnswer("it speaks no HTTP")
    headers: Dict[str, str] = {}
    for line in lines:
        name, separator, value = line.partition(":")
        if separator:
            name = name.strip().lower()
            headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
    return Head(int(status.group(1)), headers)


def open_error(
    error: Exception, host: str, timeout: float, dialer: Optional[Dialer], now: float, *, strange: bool
) -> CometChatException:
    """What stopped a socket from being opened.

    :param now: Unix seconds.
    :param strange: the WebSocket library could not read the answer.
    """
    who, what, peer = f"handshake: {host}", "no WebSocket upgrade", host
    if dialer is not None and dialer.proxy_name is not None:
        who, what, peer = f"proxy: {dialer.proxy_name}", f"no tunnel to {host}", f"proxy {dialer.proxy_name}"
    if isinstance(error, Refused):
        status, headers = error.head
        return exception_for(
            WS_CONNECTION_FAIL,
            f"{who} made {what}: it answered HTTP {status}.",
            details=f"HTTP {status}",
            retry_after=retry_after_seconds(headers.get("retry-after"), now),
        )
    if isinstance(error, BadAnswer):
        return exception_for(WS_CONNECTION_FAIL, f"{who} made {what}: {error}.")
    if strange:
        return exception_for(WS_CONNECTION_FAIL, f"{who} made {what}: its answer is none to this request.")
    reason = network_reason(error, peer)
    if reason.startswith("timeout"):
        return exception_for(ERR_CONNECT_TIMEOUT, f"{reason} within {timeout:g} s (TCP, TLS and WebSocket upgrade).")
    if reason.startswith("connection to proxy "):  # a library's own exception, of SOCKS
        reason = f"{who} made {what} ({type(error).__name__})"
    return exception_for(WS_CONNECTION_FAIL, f"{reason}.")

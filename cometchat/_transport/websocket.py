"""The WebSocket over websocket-client: open, receive, send, interrupt, close; errors in this SDK's words.

``websocket.WebSocket`` does the handshake and the framing. What it lacks is added here: a limit on a message's length
(it would take 2^63 bytes), a deadline for the whole handshake, an end from another thread, and a buffer.
"""

from __future__ import annotations

import logging
import struct
import threading
import time
from typing import Any, Callable, Dict, Mapping, NoReturn, Optional, Tuple
from urllib.parse import unquote, urlsplit

import websocket

from .._protocol.frames import user_agent
from ..exceptions import (
    ERR_CONNECT_TIMEOUT,
    ERR_PROTOCOL,
    WS_CONNECTION_FAIL,
    CometChatException,
    ConnectionException,
    exception_for,
)
from ..settings import AppSettings
from ..version import __version__
from .errors import network_reason, retry_after_seconds
from .rest import Route, resolve_route
from .stream import BufferedStream, DeadlineReached
from .tls import client_context

logger = logging.getLogger("cometchat.websocket")

NORMAL_CLOSURE = 1000
PROTOCOL_ERROR = 1002
MESSAGE_TOO_BIG = 1009

_SOCKS = ("socks4", "socks4a", "socks5", "socks5h")
_DATA_OPCODES = (websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY, websocket.ABNF.OPCODE_CONT)

#: Seconds that a close frame may take to find room in the socket. It is a courtesy: nothing waits for it.
_CLOSE_PATIENCE = 0.05


class _TooBig(Exception):
    """A frame or message over the limit."""


class _FrameBuffer(websocket.frame_buffer):
    """websocket-client's parser with a limit: looked at once a frame's length is known, before its bytes are."""

    limit = 0
    taken = 0  # bytes of the message's earlier fragments

    def recv_length(self) -> None:
        super().recv_length()
        if self.length is not None and self.length + self.taken > self.limit:
            raise _TooBig(f"{self.length + self.taken} bytes")


class _WebSocket(websocket.WebSocket):
    """A ``WebSocket`` whose socket is put into a :class:`BufferedStream` as soon as it is connected.

    websocket-client assigns ``sock`` once TCP and TLS are done and before the handshake, so that from there on the
    deadline and the interrupt hold.
    """

    def __init__(self, on_stream: Callable[[BufferedStream], None], limit: int) -> None:
        self._on_stream = on_stream
        self._stream: Optional[BufferedStream] = None
        # The JSON decoder checks UTF-8 itself.
        super().__init__(enable_multithread=True, skip_utf8_validation=True)
        self.frames = self.frame_buffer = _FrameBuffer(self._recv, True)
        self.frames.limit = limit

    @property
    def sock(self) -> Any:
        """The stream, or None."""
        return self._stream

    @sock.setter
    def sock(self, raw: Any) -> None:
        if raw is None:
            self._stream = None
        else:
            self._stream = BufferedStream(raw)
            self._on_stream(self._stream)


class WebSocketClientSocket:
    """One WebSocket's life; see :class:`.base.Socket`.

    :param proxies: as AppSettings has them.
    :param ca_certs: as AppSettings has them.
    :param max_message_size: bytes.
    :param user_agent: for the handshake.
    """

    def __init__(
        self,
        *,
        proxies: Optional[Mapping[str, str]],
        ca_certs: Optional[str],
        max_message_size: int,
        user_agent: str,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._proxies = proxies
        self._ca_certs = ca_certs
        self._user_agent = user_agent
        self._clock = clock
        self._wall_clock = wall_clock
        self._host = ""
        self._deadline = 0.0
        self._interrupted = False
        self._stream: Optional[BufferedStream] = None
        self._sending = threading.Lock()  # one frame at a time, with its deadline
        self._ws = _WebSocket(self._take_stream, max_message_size)
        self._max_message_size = max_message_size
        self._fragments: Optional[bytearray] = None

    def open(self, url: str, timeout: float) -> None:
        """TCP, TLS and upgrade."""
        parts = urlsplit(url)
        self._host = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'wss' else 80)}"
        self._deadline = self._clock() + timeout
        options: Dict[str, Any] = {
            "timeout": timeout,
            "header": [f"User-Agent: {self._user_agent}"],
            # The origin is a browser's business; a redirect could lead anywhere.
            "suppress_origin": True,
            "redirect_limit": 0,
        }
        route = resolve_route(url, self._proxies, self._ca_certs)
        try:
            options.update(_proxy_options(route, timeout))
            if parts.scheme == "wss":
                self._ws.sock_opt.sslopt = {"context": client_context(route.verify)}
            self._ws.connect(url, **options)  # type: ignore[no-untyped-call]
        except CometChatException:
            raise
        except Exception as error:  # every exception of the library, of ssl and of the system ends here, named
            self._raise_open_error(error, timeout, route)

    def receive(self, deadline: float) -> Optional[bytes]:
        """The next message's bytes, or None at the deadline (monotonic seconds)."""
        stream = self._stream
        if stream is None:
            raise self._lost("the socket is not open")
        stream.read_deadline = deadline
        try:
            while True:
                message = self._take(self._ws.frames.recv_frame())
                if message is not None:
                    return message
                if self._clock() >= deadline:  # control frames and fragments must not put it off
                    return None
        except (websocket.WebSocketTimeoutException, DeadlineReached):
            return None
        except _TooBig as error:
            raise self._protocol_error(
                MESSAGE_TOO_BIG, f"a message of {error} is over the limit of {self._max_message_size} bytes", error
            ) from error
        except (websocket.WebSocketProtocolException, websocket.WebSocketPayloadException, struct.error) as error:
            raise self._protocol_error(
                PROTOCOL_ERROR, "a frame that is not of the WebSocket protocol", error
            ) from error
        except CometChatException:
            raise
        except Exception as error:
            raise self._lost_because(error) from error

    @property
    def buffered(self) -> bool:
        """More bytes are here already, so that :meth:`receive` will probably not wait."""
        return self._stream is not None and self._stream.buffered

    def send(self, text: str, timeout: float) -> None:
        """Send one text frame."""
        self._send(text.encode("utf-8", "surrogatepass"), websocket.ABNF.OPCODE_TEXT, timeout)

    def interrupt(self) -> None:
        """End the waiting of the owner's thread."""
        self._interrupted = True
        stream = self._stream
        if stream is not None:
            stream.interrupt()

    def close(self, code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        """Send a close frame if there is room for it, and let the socket go."""
        stream, self._stream = self._stream, None
        if stream is None:
            return
        if self._ws.connected:
            try:
                payload = struct.pack("!H", code) + reason.encode()[:123]
                self._send(payload, websocket.ABNF.OPCODE_CLOSE, _CLOSE_PATIENCE, stream)
            except (CometChatException, OSError) as error:
                logger.debug("no close frame to %s: %s", self._host, type(error).__name__)
        stream.close()
        self._ws.connected = False

    def _take_stream(self, stream: BufferedStream) -> None:
        stream.read_deadline = stream.write_deadline = self._deadline
        self._stream = stream
        if self._interrupted:  # it came before there was a stream
            stream.interrupt()

    def _take(self, frame: Any) -> Optional[bytes]:
        """One frame in: a whole message out, or None."""
        opcode = frame.opcode
        if opcode in _DATA_OPCODES:
            return self._assemble(frame)
        if opcode == websocket.ABNF.OPCODE_PING:
            self._send(frame.data, websocket.ABNF.OPCODE_PONG, _CLOSE_PATIENCE)
        elif opcode == websocket.ABNF.OPCODE_CLOSE:
            code, reason = _close_code(frame.data)
            self.close(code if code is not None and code != 1005 else NORMAL_CLOSURE)
            text = f"close code {code if code is not None else 1005}" + (f": {reason}" if reason else "")
            error = ConnectionException(WS_CONNECTION_FAIL, f"{self._host} closed the connection.", details=text)
            error.close_code = code
            raise error
        return None

    def _assemble(self, frame: Any) -> Optional[bytes]:
        continued = frame.opcode == websocket.ABNF.OPCODE_CONT
        if continued != (self._fragments is not None):
            raise websocket.WebSocketProtocolException("a fragment out of place")
        if frame.fin and self._fragments is None:
            return bytes(frame.data)
        self._fragments = self._fragments or bytearray()
        self._fragments += frame.data
        if not frame.fin:
            # One byte each at the least: empty fragments without end must reach the limit too.
            self._ws.frames.taken += len(frame.data) or 1
            return None
        message, self._fragments = bytes(self._fragments), None
        self._ws.frames.taken = 0
        return message

    def _send(self, payload: bytes, opcode: int, timeout: float, stream: Optional[BufferedStream] = None) -> None:
        stream = stream or self._stream
        if stream is None:
            raise self._lost("the socket is not open")
        data = websocket.ABNF(1, 0, 0, 0, opcode, 1, payload).format()
        deadline = self._clock() + timeout
        if not self._sending.acquire(timeout=timeout):
            raise self._lost(f"no room to send within {timeout:g} s")
        try:
            stream.write_deadline = deadline
            while data:
                data = data[stream.send(data) :]
        except DeadlineReached as error:
            stream.abandon()  # half a frame may be out: nothing may follow it
            raise self._lost(f"no room to send within {timeout:g} s") from error
        except OSError as error:
            raise self._lost_because(error) from error
        finally:
            self._sending.release()

    def _lost(self, why: str) -> CometChatException:
        return exception_for(WS_CONNECTION_FAIL, f"The connection to {self._host} is lost: {why}.")

    def _lost_because(self, error: BaseException) -> CometChatException:
        if isinstance(error, websocket.WebSocketConnectionClosedException):
            why = "it ended without a close frame"
            return exception_for(
                WS_CONNECTION_FAIL, f"The connection to {self._host} is lost: {why}.", details="close code 1006"
            )
        return self._lost(network_reason(error, self._host))

    def _protocol_error(self, code: int, why: str, error: BaseException) -> CometChatException:
        self.close(code)
        return exception_for(ERR_PROTOCOL, f"{self._host} sent {why}.", details=f"closed with code {code}")

    def _raise_open_error(self, error: Exception, timeout: float, route: Route) -> NoReturn:
        self.close()
        if self._interrupted:
            raise self._lost("interrupted") from error
        raise _open_error(error, self._host, timeout, route, self._wall_clock()) from error


def _open_error(error: Exception, host: str, timeout: float, route: Route, now: float) -> CometChatException:
    if isinstance(error, websocket.WebSocketBadStatusException):
        headers = error.resp_headers or {}
        return exception_for(
            WS_CONNECTION_FAIL,
            f"handshake: {host} answered HTTP {error.status_code} in place of the WebSocket upgrade.",
            details=f"HTTP {error.status_code}",
            retry_after=retry_after_seconds(headers.get("retry-after"), now),
        )
    if isinstance(error, (websocket.WebSocketTimeoutException, TimeoutError, DeadlineReached)):
        return exception_for(
            ERR_CONNECT_TIMEOUT,
            f"timeout: {host} did not complete TCP, TLS and WebSocket upgrade within {timeout:g} s.",
        )
    if isinstance(error, websocket.WebSocketProxyException):
        return exception_for(WS_CONNECTION_FAIL, f"proxy: {_proxy_name(route)} made no tunnel to {host}: {error}.")
    if isinstance(error, websocket.WebSocketConnectionClosedException):
        return exception_for(
            WS_CONNECTION_FAIL, f"handshake: {host} ended the connection before the WebSocket upgrade."
        )
    if isinstance(error, websocket.WebSocketException) and not isinstance(error, websocket.WebSocketAddressException):
        return exception_for(WS_CONNECTION_FAIL, f"handshake: the answer of {host} is no WebSocket upgrade.")
    where = f"proxy {_proxy_name(route)}" if route.proxy else host
    reason = network_reason(error, where)
    if reason.startswith("timeout"):
        return exception_for(ERR_CONNECT_TIMEOUT, f"{reason} within {timeout:g} s.")
    return exception_for(WS_CONNECTION_FAIL, f"{reason}.")


def _proxy_options(route: Route, timeout: float) -> Dict[str, Any]:
    if not route.proxy:
        # websocket-client would look into the environment by itself: a proxy that is not used keeps it from that.
        return {"http_proxy_host": "none", "http_proxy_port": 1, "http_no_proxy": ["*"]}
    parts = urlsplit(route.proxy if "://" in route.proxy else f"http://{route.proxy}")
    scheme = parts.scheme.lower()
    if scheme != "http" and scheme not in _SOCKS or not parts.hostname:
        raise exception_for(
            WS_CONNECTION_FAIL,
            f"proxy: {_proxy_name(route)} is not usable for a WebSocket: give http://, socks4:// or socks5://.",
        )
    auth: Optional[Tuple[str, str]] = None
    if parts.username is not None:
        auth = (unquote(parts.username), unquote(parts.password or ""))
    return {
        "http_proxy_host": parts.hostname,
        "http_proxy_port": parts.port or (80 if scheme == "http" else 1080),
        "http_proxy_auth": auth,
        "http_proxy_timeout": timeout,
        "http_no_proxy": ["//"],  # matches no host; an empty list would be the environment's
        "proxy_type": scheme,
    }


def _proxy_name(route: Route) -> str:
    """The proxy without its user name and password."""
    parts = urlsplit(route.proxy if route.proxy and "://" in route.proxy else f"http://{route.proxy}")
    return f"{parts.scheme}://{parts.hostname}:{parts.port}" if parts.port else f"{parts.scheme}://{parts.hostname}"


def _close_code(data: bytes) -> Tuple[Optional[int], str]:
    if len(data) < 2:
        return None, ""
    return int.from_bytes(data[:2], "big"), data[2:].decode("utf-8", "replace")


def socket_factory(settings: AppSettings) -> Callable[[], WebSocketClientSocket]:
    """Makes the sockets of a client."""

    def new_socket() -> WebSocketClientSocket:
        return WebSocketClientSocket(
            proxies=settings.proxies,
            ca_certs=settings.ca_certs,
            max_message_size=settings.max_message_size,
            user_agent=user_agent(__version__),
        )

    return new_socket

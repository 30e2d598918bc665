"""The WebSocket over websocket-client: open, receive, send, interrupt, close, with this SDK's errors.

websocket-client does the framing. This module adds the handshake, a limit on the length of a message (the library
would accept 2^63 bytes), the stricter rules of RFC 6455, and an answer to PING that never waits. Most messages are one
frame. If the buffer has several whole frames, they are read at once; all other frames go through websocket-client's
parser. :func:`..net.dial` connects; :mod:`..net._stream` has the deadlines and the interrupter.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import logging
import os
import struct
import threading
import time
from typing import Any, Callable, List, Mapping, Optional, Tuple
from urllib.parse import SplitResult, urlsplit

import websocket

from ..._log import SafeLog
from ..._protocol._frames import user_agent
from ...exceptions import (
    ERR_CONNECT_TIMEOUT,
    ERR_PROTOCOL,
    WS_CONNECTION_FAIL,
    CometChatException,
    ConnectionException,
    exception_for,
)
from ...settings import AppSettings
from ...version import __version__
from .._exception_chain import pass_on_interruption
from .._printable import printable
from ..net import (
    BadAnswer,
    BufferedStream,
    ClientCert,
    Connector,
    DeadlineReached,
    DialFailed,
    Interrupted,
    Interrupter,
    LookUp,
    Proxy,
    Refused,
    client_context,
    dial,
    host_and_port,
    is_timeout,
    look_up,
    network_reason,
    read_head,
    resolve_route,
)

logger = SafeLog(logging.getLogger("cometchat.websocket"))

NORMAL_CLOSURE = 1000
PROTOCOL_ERROR = 1002
INVALID_TEXT = 1007
MESSAGE_TOO_BIG = 1009

#: The first byte of a text frame that is a whole message, without reserved bits.
_TEXT = 0x81

#: From this value on, the second byte of a frame is not a length: it gives the size of the length, or marks a masked
#: frame.
_LONGER = 126

_DATA_OPCODES = (websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY, websocket.ABNF.OPCODE_CONT)

#: RFC 6455, 1.3: hashed together with the key.
_ACCEPT = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

#: Maximum wait of a close frame for room in the socket, in seconds. The frame is optional.
_CLOSE_PATIENCE = 0.05

#: Seconds between two checks for room for a PONG.
_PONG_RETRY = 0.05


class _TooBig(Exception):
    """A frame or message over the limit."""


def _received(stream: BufferedStream, size: int) -> bytes:
    data = stream.recv(size)
    if not data:
        raise EOFError("the stream ended")
    return data


class _FrameBuffer(websocket.frame_buffer):
    """websocket-client's parser, made stricter.

    It checks the limit as soon as it knows a frame's length, before it reads the bytes. It checks the rules of RFC 6455
    for the header before it waits for the rest of the frame.
    """

    header: Any
    length: Any
    recv_buffer: Any

    def __init__(self, stream: BufferedStream, limit: int) -> None:
        # The JSON decoder checks UTF-8 itself.
        super().__init__(functools.partial(_received, stream), True)
        self._limit = limit
        self.taken = 0  # size of the message's earlier fragments, in bytes

    def recv_header(self) -> None:
        super().recv_header()
        fin, rsv1, rsv2, rsv3, opcode, masked, length_bits = self.header
        if rsv1 or rsv2 or rsv3 or opcode not in websocket.ABNF.OPCODES:
            raise websocket.WebSocketProtocolException("reserved bits, or an unknown opcode")
        if masked:
            raise websocket.WebSocketProtocolException("a masked frame from a server")
        if opcode not in _DATA_OPCODES and (not fin or length_bits > 125):
            raise websocket.WebSocketProtocolException("a control frame in fragments, or over 125 bytes")

    @property
    def between_frames(self) -> bool:
        """Return True if no byte of the next frame has been read."""
        return self.header is None and not self.recv_buffer

    def recv_length(self) -> None:
        super().recv_length()
        # A control frame between fragments is not part of the message.
        earlier = self.taken if self.header[4] in _DATA_OPCODES else 0
        if self.length + earlier > self._limit:
            raise _TooBig(f"{self.length + earlier} bytes")


class WebSocketClientSocket:
    """One WebSocket; see :class:`.._interfaces.Socket`.

    :param proxies: as AppSettings has them.
    :param ca_certs: as AppSettings has them.
    :param max_message_size: bytes.
    :param client_cert: path of the client's certificate, with its key; or the paths of both.
    :param addresses_of: looks a name up.
    :param randomness: returns a number of random bytes.
    """

    def __init__(
        self,
        *,
        proxies: Optional[Mapping[str, str]],
        ca_certs: Optional[str],
        max_message_size: int,
        client_cert: Optional[ClientCert] = None,
        addresses_of: LookUp = look_up,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        randomness: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._randomness = randomness
        self._proxies = proxies
        self._ca_certs = ca_certs
        self._client_cert = client_cert
        self._addresses_of = addresses_of
        self._clock = clock
        self._wall_clock = wall_clock
        self._host = ""
        self._interrupted = False  # true even before the interrupter exists
        self._upgraded = False
        self._interrupter: Optional[Interrupter] = None
        self._connector: Optional[Connector] = None  # until a message has arrived
        self._stream: Optional[BufferedStream] = None
        self._sending = threading.Lock()  # one frame at a time, with its deadline
        self._pong: Optional[bytes] = None  # the payload of a PONG that is due
        self._broken: Optional[str] = None  # the reason for abandoning the stream
        self._frames: Optional[_FrameBuffer] = None  # of the stream, after the upgrade
        self._max_message_size = max_message_size
        self._fragments: Optional[bytearray] = None

    def open(self, url: str, timeout: float) -> None:
        """Connect: TCP, TLS and upgrade."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "wss" else 80)
        self._host = host_and_port(host, port)
        proxy = None
        try:
            interrupter = self._interrupter = Interrupter()
            if self._interrupted:  # before the interrupter existed
                interrupter.interrupt()
            route = resolve_route(url, self._proxies, self._ca_certs)
            proxy = route.proxy
            host = host if host.isascii() else host.encode("idna").decode()  # as DNS, TLS and HTTP have it
            context = client_context(route.ca_bundle, self._client_cert) if parts.scheme == "wss" else None
            self._connector = Connector(
                deadline=self._clock() + timeout,
                interrupter=interrupter,
                addresses_of=self._addresses_of,
                clock=self._clock,
            )
            stream = self._stream = dial(host, port, proxy, self._connector, self._wall_clock)
            if context is not None:
                stream.start_tls(context, host.rstrip("."))
            self._shake_hands(stream, parts, host, port)
            self._frames = _FrameBuffer(stream, self._max_message_size)
            self._upgraded = True
        except Exception as error:  # every exception of the library, ssl and the system is converted here
            self.close()
            cause = error.__cause__ if isinstance(error, DialFailed) and error.__cause__ is not None else error
            if self._interrupted:
                raise self._lost("interrupted") from cause
            raise self._open_error(error, timeout, proxy) from cause

    def receive(self, deadline: float, *, only_one: bool = False) -> List[bytes]:
        """Return the bytes of the next message and of those after it in the buffer; see :class:`.._interfaces.Socket`.

        A single message is returned at once.
        """
        stream, frames = self._stream, self._frames
        if stream is None or frames is None:
            raise self._lost("the socket is not open")
        try:
            while True:
                self._send_pong()
                # If there is not yet room for the PONG, or another thread is sending, check again soon.
                stream.read_deadline = deadline if self._pong is None else min(deadline, self._clock() + _PONG_RETRY)
                try:
                    messages = self._messages(stream, frames, only_one)
                except DeadlineReached:
                    messages = []
                if messages:
                    self._note_use(True)
                    return messages
                if self._clock() >= deadline:  # control frames and fragments must not delay the deadline
                    return []
        except _TooBig as error:
            raise self._protocol_error(
                MESSAGE_TOO_BIG, f"a message of {error}, over the limit of {self._max_message_size} bytes"
            ) from error
        except (websocket.WebSocketProtocolException, websocket.WebSocketPayloadException) as error:
            raise self._protocol_error(PROTOCOL_ERROR, "a frame that is not of the WebSocket protocol") from error
        except CometChatException:
            raise
        except Exception as error:
            # After an interrupt a close frame can still be sent; after any other error the peer is gone.
            self._upgraded = isinstance(error, Interrupted) and self._broken is None
            raise self._lost_because(error) from error

    def _messages(self, stream: BufferedStream, frames: _FrameBuffer, only_one: bool) -> List[bytes]:
        """Read messages of one frame each. Leave any other frame to the library's parser."""
        if self._fragments is None and frames.between_frames:
            messages = stream.take(whole_texts, self._max_message_size, only_one)
            if messages:
                return messages
        message = self._take(frames, frames.recv_frame())
        return [] if message is None else [message]

    def send(self, text: str, timeout: float) -> None:
        """Send one text frame."""
        stream = self._stream
        if stream is None:
            raise self._lost("the socket is not open")
        self._send(stream, text.encode("utf-8", "surrogatepass"), websocket.ABNF.OPCODE_TEXT, timeout)

    def interrupt(self) -> None:
        """End the waits of the owner's thread, now and later. A signal handler may call it at any time."""
        self._interrupted = True
        interrupter = self._interrupter
        if interrupter is not None:
            interrupter.interrupt()

    def release_after_fork(self) -> None:
        """Close this process's copies of the parent's descriptors."""
        if self._connector is not None:
            self._connector.close()
        for each in (self._stream, self._interrupter):
            if each is not None:
                each.release_after_fork()

    def close(self, code: int = NORMAL_CLOSURE) -> None:
        """Send a close frame if there is room for it, and release the socket."""
        stream, self._stream = self._stream, None
        interrupter, self._interrupter = self._interrupter, None
        if not self._interrupted:
            self._note_use(False)
        if stream is not None:
            if self._upgraded:
                self._upgraded = False
                try:
                    self._send(stream, struct.pack("!H", code), websocket.ABNF.OPCODE_CLOSE, _CLOSE_PATIENCE)
                except Exception as error:  # a lack of memory too: the socket is released in any case
                    logger.debug("no close frame to %s: %s", self._host, error)
            stream.close()
        if interrupter is not None:
            interrupter.close()

    def _note_use(self, useful: bool) -> None:
        """Note whether the host's address was of use: it sent a message before the end. No-op after the first call."""
        connector, self._connector = self._connector, None
        if connector is not None:
            connector.note_use(useful)

    def _shake_hands(self, stream: BufferedStream, parts: SplitResult, host: str, port: int) -> None:
        """Request the upgrade, and read the head of the answer. Ignores a body, which could be endless.

        (websocket-client would follow redirects, keep cookies for all clients of the process, and read byte by byte
        without a limit.)
        """
        key = base64.b64encode(self._randomness(16)).decode()
        name = f"[{host}]" if ":" in host else host
        usual_port = 443 if parts.scheme == "wss" else 80
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {name if port == usual_port else f'{name}:{port}'}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            f"User-Agent: {user_agent(__version__)}",
        ]
        stream.send("\r\n".join([*lines, "", ""]).encode())
        status, headers = head = read_head(stream.take)
        if status != 101:
            raise Refused(head)
        digest = hashlib.sha1(f"{key}{_ACCEPT}".encode(), usedforsecurity=False).digest()
        expected = base64.b64encode(digest).decode()
        if (
            headers.get("upgrade", "").lower() != "websocket"
            or "upgrade" not in [each.strip() for each in headers.get("connection", "").lower().split(",")]
            or headers.get("sec-websocket-accept") != expected
        ):
            raise BadAnswer("its answer does not fit the request")
        for name in ("extensions", "protocol"):  # RFC 6455, 4.1: its frames could not be read
            value = headers.get(f"sec-websocket-{name}")
            if value:
                raise BadAnswer(f"it uses the {name} {printable(value[:80])!r}, which the client did not offer")

    def _take(self, frames: _FrameBuffer, frame: Any) -> Optional[bytes]:
        """Handle one frame. Returns the message that it completes, or None."""
        opcode = frame.opcode
        if opcode in _DATA_OPCODES:
            return self._assemble(frames, frame)
        if opcode == websocket.ABNF.OPCODE_PING:
            self._pong = frame.data
        elif opcode == websocket.ABNF.OPCODE_CLOSE:
            code, reason, is_text = close_code(frame.data)
            self.close((NORMAL_CLOSURE if code is None else code) if is_text else INVALID_TEXT)
            text = f"close code {1005 if code is None else code}" + (f": {printable(reason)}" if reason else "")
            error = ConnectionException(WS_CONNECTION_FAIL, f"{self._host} closed the connection.", details=text)
            error.close_code, error.closed_by_frame = code, True
            raise error
        return None

    def _assemble(self, frames: _FrameBuffer, frame: Any) -> Optional[bytes]:
        continued = frame.opcode == websocket.ABNF.OPCODE_CONT
        if continued != (self._fragments is not None):
            raise websocket.WebSocketProtocolException("a fragment out of place")
        if self._fragments is None:
            if frame.fin:
                return bytes(frame.data)
            self._fragments = bytearray()
        self._fragments += frame.data
        if not frame.fin:
            # At least one byte each, so that endless empty fragments reach the limit too.
            frames.taken += len(frame.data) or 1
            return None
        message, self._fragments = bytes(self._fragments), None
        frames.taken = 0
        return message

    def _send(self, stream: BufferedStream, payload: bytes, opcode: int, timeout: float) -> None:
        deadline = self._clock() + timeout
        if not self._sending.acquire(timeout=timeout):
            raise self._lost(f"no room to send within {timeout:g} s")
        try:
            if stream is not self._stream and opcode != websocket.ABNF.OPCODE_CLOSE:
                raise self._lost("it was closed")  # while this thread waited
            if self._broken is not None:  # TLS would report its own error
                raise self._lost(self._broken)
            self._write(stream, payload, opcode, deadline)
        except CometChatException:
            raise
        except BaseException:  # of a signal handler: part of the frame may be sent, and no other frame may follow it
            self._broken = "a signal handler interrupted a frame"
            stream.abandon()
            raise
        finally:
            self._sending.release()

    def _send_pong(self) -> None:
        """Answer the newest PING if that needs no wait. If another thread is sending, receive() tries again soon."""
        stream = self._stream
        while self._pong is not None and stream is not None and stream.writable:
            if not self._sending.acquire(blocking=False):
                return
            try:
                payload, self._pong = self._pong, None
                if payload is not None:
                    self._write(stream, payload, websocket.ABNF.OPCODE_PONG, self._clock() + _CLOSE_PATIENCE)
            finally:
                self._sending.release()

    def _write(self, stream: BufferedStream, payload: bytes, opcode: int, deadline: float) -> None:
        try:
            stream.write_deadline = deadline
            stream.send(websocket.ABNF(1, 0, 0, 0, opcode, 1, payload).format())
        except DeadlineReached as error:
            self._broken = "no room to send within the time limit"
            stream.abandon()  # part of a frame may be sent: no other frame may follow
            raise self._lost(self._broken) from error
        except OSError as error:
            pass_on_interruption(error)
            raise self._lost_because(error) from error

    def _lost(self, why: str, details: Optional[str] = None) -> CometChatException:
        return exception_for(WS_CONNECTION_FAIL, f"The connection to {self._host} is lost: {why}.", details=details)

    def _lost_because(self, error: BaseException) -> CometChatException:
        if isinstance(error, Interrupted):
            return self._lost(self._broken or str(error))
        if isinstance(error, EOFError):
            return self._lost("it ended without a close frame", details="close code 1006")
        return self._lost(network_reason(error, self._host))

    def _protocol_error(self, code: int, why: str) -> CometChatException:
        self.close(code)
        return exception_for(ERR_PROTOCOL, f"{self._host} sent {why}.", details=f"closed with code {code}")

    def _open_error(self, error: Exception, timeout: float, proxy: Optional[Proxy]) -> CometChatException:
        """Return the error that prevented the connection."""
        handshake = f"handshake: {self._host} made no WebSocket upgrade"
        if isinstance(error, Refused):
            status = error.head.status
            asked = error.head.requested_wait(self._wall_clock())
            reason = f"{handshake}: it answered HTTP {status}."
            return exception_for(WS_CONNECTION_FAIL, reason, details=f"HTTP {status}", retry_after=asked)
        if isinstance(error, BadAnswer):
            return exception_for(WS_CONNECTION_FAIL, f"{handshake}: {error}.")
        reason = network_reason(error, self._host if proxy is None else f"{self._host} through proxy {proxy.name}")
        if is_timeout(error):
            limit = f"within {timeout:g} s (TCP, TLS and WebSocket upgrade)"
            return exception_for(ERR_CONNECT_TIMEOUT, f"{reason} {limit}.")
        if isinstance(error, DialFailed) and error.status is not None:
            details = f"HTTP {error.status}"
            return exception_for(WS_CONNECTION_FAIL, f"{reason}.", details=details, retry_after=error.retry_after)
        return exception_for(WS_CONNECTION_FAIL, f"{reason}.")


def whole_texts(buffer: bytes, place: int, limit: int, only_one: bool = False) -> Tuple[List[bytes], int]:
    """Return the payloads of the whole text frames from ``place`` on, and the position after them. Pure.

    It stops at any other frame: a control frame, a fragment, or a frame that is masked, over the limit or incomplete.
    websocket-client's parser reads and checks these.

    :param limit: maximum size of a payload, in bytes.
    :param only_one: whether to return the first payload only.
    """
    found: List[bytes] = []
    end = len(buffer)
    while place + 2 <= end and buffer[place] == _TEXT:
        begin, length = place + 2, buffer[place + 1]
        if length >= _LONGER:
            begin += 2
            if length > _LONGER or begin > end:
                break
            length = buffer[place + 2] << 8 | buffer[place + 3]
        if begin + length > end or length > limit:
            break
        place = begin + length
        found.append(buffer[begin:place])
        if only_one:
            break
    return found, place


def close_code(data: bytes) -> Tuple[Optional[int], str, bool]:
    """Return the code and the reason in a close frame's payload, and whether the reason is valid UTF-8."""
    if len(data) < 2:
        return None, "", True
    code = int.from_bytes(data[:2], "big")
    try:
        return code, data[2:].decode(), True
    except UnicodeDecodeError:
        return code, data[2:].decode("utf-8", "replace"), False


def socket_factory(settings: AppSettings, addresses_of: LookUp = look_up) -> Callable[[], WebSocketClientSocket]:
    """Return a factory for a client's sockets.

    :param addresses_of: looks a name up.
    """
    return functools.partial(
        WebSocketClientSocket,
        proxies=settings.proxies,
        ca_certs=settings.ca_certs,
        max_message_size=settings.max_message_size,
        client_cert=settings.client_cert,
        addresses_of=addresses_of,
    )

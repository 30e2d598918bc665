"""The WebSocket over websocket-client: open, receive, send, interrupt, close; errors in this SDK's words.

websocket-client does the handshake and the framing. What it lacks is added here: a limit on a message's length (it
would take 2^63 bytes), the stricter rules of RFC 6455, and an answer to PING that never waits. The way to the host is
:mod:`.dial`'s, deadlines and the end from another thread are :mod:`.stream`'s.
"""

from __future__ import annotations

import contextlib
import logging
import struct
import threading
import time
from typing import Any, Callable, List, Mapping, Optional, Tuple
from urllib.parse import urlsplit

import websocket

from .._protocol import user_agent
from ..exceptions import (
    ERR_PROTOCOL,
    WS_CONNECTION_FAIL,
    CometChatException,
    ConnectionException,
    exception_for,
)
from ..settings import AppSettings
from ..version import __version__
from .dial import Dialer, Upgrade, open_error
from .errors import network_reason
from .framing import close_code, whole_texts
from .proxy import read_proxy
from .rest import resolve_route
from .stream import BufferedStream, DeadlineReached, Interrupted
from .tcp import LookUp, look_up
from .tls import client_context

logger = logging.getLogger("cometchat.websocket")

NORMAL_CLOSURE = 1000
PROTOCOL_ERROR = 1002
MESSAGE_TOO_BIG = 1009

_DATA_OPCODES = (websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY, websocket.ABNF.OPCODE_CONT)

#: Seconds that a close frame may take to find room in the socket. It is a courtesy: nothing waits for it.
_CLOSE_PATIENCE = 0.05

#: Seconds between two looks for room for a PONG.
_PONG_RETRY = 0.05


class _TooBig(Exception):
    """A frame or message over the limit."""


class _Ended(Exception):
    """The end of the stream, without a close frame."""


class _FrameBuffer(websocket.frame_buffer):
    """websocket-client's parser, strict where it is lenient.

    With a limit that is looked at once a frame's length is known, before its bytes are; and with the rules of RFC 6455
    for the header, before anything that follows it is waited for.
    """

    header: Any
    length: Any
    recv_buffer: Any

    def __init__(self, recv: Callable[[int], bytes], limit: int) -> None:
        # The JSON decoder checks UTF-8 itself.
        super().__init__(recv, True)
        self._limit = limit
        self.taken = 0  # bytes of the message's earlier fragments

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
        """Nothing of a frame was taken yet."""
        return self.header is None and not self.recv_buffer

    def recv_length(self) -> None:
        super().recv_length()
        # A control frame between fragments is no part of the message.
        earlier = self.taken if self.header[4] in _DATA_OPCODES else 0
        if self.length + earlier > self._limit:
            raise _TooBig(f"{self.length + earlier} bytes")


class WebSocketClientSocket:
    """One WebSocket's life; see :class:`.base.Socket`.

    :param proxies: as AppSettings has them.
    :param ca_certs: as AppSettings has them.
    :param max_message_size: bytes.
    :param user_agent: for the handshake.
    :param addresses_of: looks a name up.
    """

    def __init__(
        self,
        *,
        proxies: Optional[Mapping[str, str]],
        ca_certs: Optional[str],
        max_message_size: int,
        user_agent: str,
        addresses_of: LookUp = look_up,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._proxies = proxies
        self._ca_certs = ca_certs
        self._user_agent = user_agent
        self._addresses_of = addresses_of
        self._clock = clock
        self._wall_clock = wall_clock
        self._host = ""
        self._interrupted = False
        self._upgraded = False
        self._stream: Optional[BufferedStream] = None
        self._sending = threading.Lock()  # one frame at a time, with its deadline
        self._pong: Optional[bytes] = None  # the payload of a PONG that is due
        self._broken: Optional[str] = None  # why the stream was abandoned
        self._frames = _FrameBuffer(self._recv, max_message_size)
        self._max_message_size = max_message_size
        self._fragments: Optional[bytearray] = None

    def open(self, url: str, timeout: float) -> None:
        """TCP, TLS and upgrade."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "wss" else 80)
        self._host = f"{host}:{port}"
        deadline = self._clock() + timeout
        dialer = None
        try:
            route = resolve_route(url, self._proxies, self._ca_certs)
            dialer = Dialer(
                host,
                port,
                proxy=read_proxy(route.proxy) if route.proxy else None,
                context=client_context(route.verify) if parts.scheme == "wss" else None,
                deadline=deadline,
                on_stream=self._take_stream,
                addresses_of=self._addresses_of,
                clock=self._clock,
            )
            stream = dialer.dial()
            websocket.WebSocket().connect(  # type: ignore[no-untyped-call]
                url,
                socket=Upgrade(stream),
                header=[f"User-Agent: {self._user_agent}"],
                suppress_origin=True,  # a browser's business
                redirect_limit=0,  # a redirect could lead anywhere
            )
            self._upgraded = True
        except Exception as error:  # every exception of the library, of ssl and of the system ends here, named
            self.close()
            if self._interrupted:
                raise self._lost("interrupted") from error
            lost = (websocket.WebSocketTimeoutException, websocket.WebSocketConnectionClosedException)
            strange = isinstance(error, websocket.WebSocketException) and not isinstance(error, lost)
            now = self._wall_clock()
            raise open_error(error, self._host, timeout, dialer, now, strange=strange) from error

    def receive(self, deadline: float) -> Optional[bytes]:
        """The next message's bytes, or None at the deadline (monotonic seconds)."""
        return next(iter(self._receive(deadline, self._one)), None)

    def receive_burst(self, deadline: float) -> List[bytes]:
        """The next message's bytes, with those of the messages behind it that the buffer holds; none at the deadline.

        A lone message is given at once.
        """
        return self._receive(deadline, self._all_here)

    def _receive(self, deadline: float, look: Callable[[BufferedStream], List[bytes]]) -> List[bytes]:
        stream = self._stream
        if stream is None:
            raise self._lost("the socket is not open")
        try:
            while True:
                self._send_pong()
                # Where there is no room for the PONG yet, it is looked for again soon.
                stream.read_deadline = deadline if self._pong is None else min(deadline, self._clock() + _PONG_RETRY)
                with contextlib.suppress(DeadlineReached):
                    messages = look(stream)
                    if messages:
                        return messages
                if self._clock() >= deadline:  # control frames and fragments must not put it off
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
            # After an interrupt a close frame can still be sent; elsewhere nobody is there to read it.
            self._upgraded = isinstance(error, Interrupted) and self._broken is None
            raise self._lost_because(error) from error

    def _one(self, stream: BufferedStream) -> List[bytes]:
        message = self._take(self._frames.recv_frame())
        return [] if message is None else [message]

    def _all_here(self, stream: BufferedStream) -> List[bytes]:
        """Whole messages in one frame each are read here; the library's parser has all else, as it comes."""
        if self._fragments is None and self._frames.between_frames:
            messages = stream.take(self._whole_texts)
            if messages:
                return messages
        return self._one(stream)

    def _whole_texts(self, buffer: bytes, place: int) -> Tuple[List[bytes], int]:
        return whole_texts(buffer, place, self._max_message_size)

    def send(self, text: str, timeout: float) -> None:
        """Send one text frame."""
        stream = self._stream
        if stream is None:
            raise self._lost("the socket is not open")
        self._send(stream, text.encode("utf-8", "surrogatepass"), websocket.ABNF.OPCODE_TEXT, timeout)
        with contextlib.suppress(CometChatException):  # this frame is out; receive() will tell
            self._send_pong()

    def interrupt(self) -> None:
        """End the waiting of the owner's thread."""
        self._interrupted = True
        stream = self._stream
        if stream is not None:
            stream.interrupt()

    def forsake(self) -> None:
        """Let go of the parent's socket."""
        if self._stream is not None:
            self._stream.forsake()

    def close(self, code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        """Send a close frame if there is room for it, and let the socket go."""
        stream, self._stream = self._stream, None
        if stream is None:
            return
        if self._upgraded:
            self._upgraded = False
            try:
                payload = struct.pack("!H", code) + reason.encode()[:123]
                self._send(stream, payload, websocket.ABNF.OPCODE_CLOSE, _CLOSE_PATIENCE)
            except CometChatException as error:
                logger.debug("no close frame to %s: %s", self._host, error.message)
        stream.close()

    def _take_stream(self, stream: BufferedStream) -> None:
        before, self._stream = self._stream, stream
        if before is not None:
            before.close()
        if self._interrupted:  # it came before there was a stream
            stream.interrupt()

    def _recv(self, size: int) -> bytes:
        if self._stream is None:
            raise Interrupted("it was closed")
        data = self._stream.recv(size)
        if not data:
            raise _Ended
        return data

    def _take(self, frame: Any) -> Optional[bytes]:
        """One frame in: a whole message out, or None."""
        opcode = frame.opcode
        if opcode in _DATA_OPCODES:
            return self._assemble(frame)
        if opcode == websocket.ABNF.OPCODE_PING:
            self._pong = frame.data
        elif opcode == websocket.ABNF.OPCODE_CLOSE:
            code, reason = close_code(frame.data)
            self.close(NORMAL_CLOSURE if code is None else code)
            text = f"close code {1005 if code is None else code}" + (f": {reason}" if reason else "")
            error = ConnectionException(WS_CONNECTION_FAIL, f"{self._host} closed the connection.", details=text)
            error.close_code, error.closed_by_frame = code, True
            raise error
        return None

    def _assemble(self, frame: Any) -> Optional[bytes]:
        continued = frame.opcode == websocket.ABNF.OPCODE_CONT
        if continued != (self._fragments is not None):
            raise websocket.WebSocketProtocolException("a fragment out of place")
        if self._fragments is None:
            if frame.fin:
                return bytes(frame.data)
            self._fragments = bytearray()
        self._fragments += frame.data
        if not frame.fin:
            # One byte each at the least: empty fragments without end must reach the limit too.
            self._frames.taken += len(frame.data) or 1
            return None
        message, self._fragments = bytes(self._fragments), None
        self._frames.taken = 0
        return message

    def _send(self, stream: BufferedStream, payload: bytes, opcode: int, timeout: float) -> None:
        deadline = self._clock() + timeout
        if not self._sending.acquire(timeout=timeout):
            raise self._lost(f"no room to send within {timeout:g} s")
        try:
            if stream is not self._stream and opcode != websocket.ABNF.OPCODE_CLOSE:
                raise self._lost("it was closed")  # while this waited for its turn
            if self._broken is not None:  # TLS would call it a mistake of its own
                raise self._lost(self._broken)
            self._write(stream, payload, opcode, deadline)
        finally:
            self._sending.release()

    def _send_pong(self) -> None:
        """Answer the newest PING if that needs no waiting. Whoever is sending just now sees to it afterwards."""
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
            stream.abandon()  # half a frame may be out: nothing may follow it
            raise self._lost(self._broken) from error
        except OSError as error:
            raise self._lost_because(error) from error

    def _lost(self, why: str) -> CometChatException:
        return exception_for(WS_CONNECTION_FAIL, f"The connection to {self._host} is lost: {why}.")

    def _lost_because(self, error: BaseException) -> CometChatException:
        if isinstance(error, Interrupted):
            return self._lost(self._broken or str(error))
        if isinstance(error, _Ended):
            return exception_for(
                WS_CONNECTION_FAIL,
                f"The connection to {self._host} is lost: it ended without a close frame.",
                details="close code 1006",
            )
        return self._lost(network_reason(error, self._host))

    def _protocol_error(self, code: int, why: str) -> CometChatException:
        self.close(code)
        return exception_for(ERR_PROTOCOL, f"{self._host} sent {why}.", details=f"closed with code {code}")


def socket_factory(settings: AppSettings, addresses_of: LookUp = look_up) -> Callable[[], WebSocketClientSocket]:
    """Makes the sockets of a client.

    :param addresses_of: looks a name up.
    """

    def new_socket() -> WebSocketClientSocket:
        return WebSocketClientSocket(
            proxies=settings.proxies,
            ca_certs=settings.ca_certs,
            max_message_size=settings.max_message_size,
            user_agent=user_agent(__version__),
            addresses_of=addresses_of,
        )

    return new_socket

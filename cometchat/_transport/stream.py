"""The bytes under a WebSocket: a read buffer, a deadline, and an end that another thread can bring about.

websocket-client asks its socket for exactly the bytes that it needs, two to four calls a frame; here they come from a
buffer that is filled 64 KiB at a time. And TLS allows no two calls at once on one connection, so that waiting happens
in ``poll``, outside of it, and reading and writing take turns.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from typing import Any, Callable, Optional

_CHUNK = 65_536

_READ, _WRITE = 1, 2


class Interrupted(OSError):
    """Another thread ended the waiting."""


class DeadlineReached(socket.timeout):
    """Nothing came, or no room was found, in time."""


class BufferedStream:
    """Stands in for the socket in a ``websocket.WebSocket``: it has the methods that one calls.

    :param raw: a connected socket, plain or TLS; owned from here on.
    """

    def __init__(self, raw: socket.socket, clock: Callable[[], float] = time.monotonic) -> None:
        raw.setblocking(False)
        self._raw = raw
        self._clock = clock
        self._pending: Optional[Callable[[], int]] = raw.pending if isinstance(raw, ssl.SSLSocket) else None
        self._buffer = b""
        self._position = 0
        self._interrupted = False
        self._turn = threading.Lock()  # one TLS call at a time; held for calls that do not wait
        self._life = threading.Lock()  # shutdown and close: the descriptor must not be another's meanwhile
        #: Monotonic seconds at which :meth:`recv` ends with DeadlineReached; None: never.
        self.read_deadline: Optional[float] = None
        #: The same for :meth:`send`.
        self.write_deadline: Optional[float] = None
        self._closed = False  # websocket-client looks at this name

    def recv(self, size: int) -> bytes:
        """Up to ``size`` bytes; ``b""`` at the end of the stream. Waits until the deadline."""
        if self._position >= len(self._buffer):
            self._buffer = self._fill()
            self._position = 0
        chunk = self._buffer[self._position : self._position + size]
        self._position += len(chunk)
        return chunk

    @property
    def buffered(self) -> bool:
        """Bytes are here already: the next :meth:`recv` does not wait."""
        return self._position < len(self._buffer)

    def send(self, data: bytes) -> int:
        """Write some of the bytes; waits for room until the deadline. Any thread, one at a time."""
        while True:
            try:
                with self._turn:
                    return self._raw.send(data)
            except (ssl.SSLWantReadError, BlockingIOError, ssl.SSLWantWriteError) as error:
                wanted = _READ if isinstance(error, ssl.SSLWantReadError) else _WRITE
            self._wait(wanted, self.write_deadline)

    def interrupt(self) -> None:
        """End every wait of the reading side, now and later, with Interrupted. Any thread; does not wait.

        Only the reading half is shut, so that a close frame can still be sent.
        """
        self._interrupted = True
        with self._life:
            if not self._closed:
                _shutdown(self._raw, socket.SHUT_RD)

    def abandon(self) -> None:
        """End every wait of both sides."""
        self._interrupted = True
        with self._life:
            if not self._closed:
                _shutdown(self._raw, socket.SHUT_RDWR)

    def close(self) -> None:
        """Let the socket go. Any thread; again: nothing."""
        with self._life, self._turn:
            if not self._closed:
                self._closed = True
                _shutdown(self._raw, socket.SHUT_RDWR)
                self._raw.close()

    def gettimeout(self) -> Optional[float]:
        """As websocket-client asks: the waiting is done here, so that it has none to do."""
        return None

    def settimeout(self, timeout: Optional[float]) -> None:
        """Nothing: the deadlines hold."""

    def fileno(self) -> int:
        """The descriptor."""
        return self._raw.fileno()

    def _fill(self) -> bytes:
        while True:
            if self._interrupted:
                raise Interrupted("interrupted")
            wanted = _READ
            if self._pending is None or not self._pending():
                self._wait(wanted, self.read_deadline)
            try:
                with self._turn:
                    return self._raw.recv(_CHUNK)
            except ssl.SSLWantWriteError:
                wanted = _WRITE
            except (ssl.SSLWantReadError, BlockingIOError):
                continue
            self._wait(wanted, self.read_deadline)

    def _wait(self, wanted: int, deadline: Optional[float]) -> None:
        timeout = None if deadline is None else deadline - self._clock()
        if timeout is not None and timeout < 0:
            timeout = 0.0
        ready = _wait_ready(self._raw.fileno(), wanted, timeout)
        if self._interrupted and wanted == _READ:
            raise Interrupted("interrupted")
        if not ready:
            raise DeadlineReached("timed out")


def _wait_ready(descriptor: int, wanted: int, timeout: Optional[float]) -> bool:
    if not hasattr(select, "poll"):  # pragma: no cover - Windows, where descriptors may have any number
        reading, writing = ([descriptor], []) if wanted == _READ else ([], [descriptor])
        return any(select.select(reading, writing, [], timeout))
    poller = select.poll()
    poller.register(descriptor, select.POLLIN if wanted == _READ else select.POLLOUT)
    # Rounded up: waking a millisecond early would only mean to wait again.
    return bool(poller.poll(None if timeout is None else int(timeout * 1000) + 1 if timeout else 0))


def _shutdown(raw: Any, how: int) -> None:
    try:
        # The plain socket's method also for TLS: the TLS one forgets its keys, and nothing could be sent after it.
        socket.socket.shutdown(raw, how)
    except OSError:
        return  # not connected any more: what was wanted has happened

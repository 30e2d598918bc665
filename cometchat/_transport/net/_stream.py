"""The bytes under a WebSocket: TCP and TLS, a read buffer, deadlines, and an end that another thread can bring about.

websocket-client's parser asks for exactly the bytes that it needs, two to four calls a frame; here they come from a
buffer that is filled 64 KiB at a time. And TLS allows no two calls at once on one connection, so that waiting happens
in ``poll``, outside of it, and reading and writing take turns.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import ssl
import threading
import time
from typing import Any, Callable, List, Optional, Sequence, Tuple, TypeVar

from ._tls import ENDS

T = TypeVar("T")

_CHUNK = 65_536

#: Bytes that one record of TLS holds at the most.
_RECORD = 16_384

#: Chunks that an end takes from the socket at the most, 4 MiB: whoever sends without end must not hold it up.
_MOST_DISCARDED = 64

_READ, _WRITE = 1, 2


class Interrupted(OSError):
    """Another thread ended the waiting."""


class DeadlineReached(socket.timeout):
    """Nothing came, or no room was found, in time."""


class BufferedStream:
    """A TCP connection, to be made or made already, that TLS can be started on.

    :param raw: a TCP socket; owned from here on.
    """

    def __init__(self, raw: socket.socket, clock: Callable[[], float] = time.monotonic) -> None:
        raw.setblocking(False)
        self._raw = raw
        self._clock = clock
        self._secured: Optional[ssl.SSLSocket] = None
        self._buffer = b""
        self._position = 0
        self._interrupted = False
        self._reading = False  # it looks at _interrupted before and after
        self._turn = threading.Lock()  # one TLS call at a time; held for calls that do not wait
        self._life = threading.Lock()  # shutdown and close: the descriptor must not be another's meanwhile
        self._closed = False
        #: Monotonic seconds at which connecting, the TLS handshake and :meth:`recv` raise DeadlineReached; None: never.
        self.read_deadline: Optional[float] = None
        #: The same for :meth:`send`.
        self.write_deadline: Optional[float] = None

    def begin_connect(self, address: Any) -> None:
        """Begin to connect to an address of getaddrinfo's; :func:`first_connected` ends it."""
        code = self._raw.connect_ex(address)
        if code not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
            raise OSError(code, os.strerror(code))

    @property
    def waits_to_connect(self) -> int:
        """The descriptor to wait for.

        :raises Interrupted: there is nothing to wait for any more.
        """
        descriptor = self._raw.fileno()
        if descriptor < 0 or self._interrupted:
            raise Interrupted("interrupted")
        return descriptor

    def end_connect(self) -> None:
        """It is ready: connected, or not."""
        if self._interrupted:
            raise Interrupted("interrupted")
        code = self._raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))

    def detach(self) -> socket.socket:
        """The socket, plain TCP and nothing read from it; this object has none any more."""
        with self._life:
            self._closed = True
        return self._raw

    def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Shake hands; from here on all bytes are TLS."""
        if self._position < len(self._buffer):
            raise ConnectionAbortedError(errno.ECONNABORTED, "data came before the TLS handshake")
        with self._life:
            if self._closed or self._interrupted:
                raise Interrupted("interrupted")
            secured = context.wrap_socket(self._raw, server_hostname=host, do_handshake_on_connect=False)
            self._raw = self._secured = secured
        self._patiently(secured.do_handshake)

    def recv(self, size: int) -> bytes:
        """Up to ``size`` bytes; ``b""`` at the end of the stream. Waits until the deadline."""
        if self._position >= len(self._buffer):
            self._buffer = self._fill()
            self._position = 0
        chunk = self._buffer[self._position : self._position + size]
        self._position += len(chunk)
        return chunk

    def take(self, parse: Callable[[bytes, int], Tuple[T, int]]) -> T:
        """What ``parse`` makes of the buffer, from a place on: it returns that, and the place up to which it took it.

        Waits until the deadline for bytes if there are none.
        """
        if self._position >= len(self._buffer):
            self._buffer = self._fill()
            self._position = 0
        taken, self._position = parse(self._buffer, self._position)
        return taken

    @property
    def writable(self) -> bool:
        """There is room: some bytes can be sent without waiting."""
        descriptor = self._raw.fileno()
        return descriptor >= 0 and _wait_ready(descriptor, _WRITE, 0.0)

    def send(self, data: bytes) -> None:
        """Write all of the bytes; waits for room until the deadline. Any thread, one at a time."""
        left = memoryview(data)
        while left:
            if self._secured is not None:
                # One record, where there is room: in the middle of a write TLS can't answer what it reads (KeyUpdate).
                self._wait(_WRITE, self.write_deadline, interruptible=False)
            try:
                with self._turn:
                    sent = self._raw.send(left if self._secured is None else left[:_RECORD])
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError) as error:
                wanted = _READ if isinstance(error, ssl.SSLWantReadError) else _WRITE
                self._wait(wanted, self.write_deadline, interruptible=False)
            except ENDS as error:  # Python's words for a reset
                raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)) from error
            else:
                left = left[sent:]

    def interrupt(self) -> None:
        """End every wait of the reading side, now and later, with Interrupted. Any thread; does not wait.

        Only the reading half is shut, so that a close frame can still be sent. Not in the middle of a read: TLS would
        take that for the end of all, and send no more.
        """
        self._interrupted = True
        with self._life:
            if not self._closed and not self._reading:
                _shutdown(self._raw, socket.SHUT_RD)

    def abandon(self) -> None:
        """End every wait of both sides."""
        self._interrupted = True
        with self._life:
            if not self._closed:
                _shutdown(self._raw, socket.SHUT_RDWR)

    def release_after_fork(self) -> None:
        """In the child of a fork: close the descriptor, without a shutdown, and without a lock that may be held."""
        self._closed = self._interrupted = True
        self._raw.close()

    def close(self) -> None:
        """Let the socket go. Any thread; again: nothing."""
        with self._life, self._turn:
            if not self._closed:
                self._closed = True
                _discard(self._raw)
                _shutdown(self._raw, socket.SHUT_RDWR)
                self._raw.close()

    def _fill(self) -> bytes:
        # Read first, wait only where there is nothing: what TLS holds decrypted already, poll does not see, and in a
        # flood it would be asked in vain.
        if self._raw.fileno() < 0:
            raise Interrupted("interrupted")
        data: bytes = self._patiently(lambda: self._raw.recv(_CHUNK))
        if not data and self._interrupted:  # the end is the one that interrupt() made
            raise Interrupted("interrupted")
        return data

    def _patiently(self, call: Callable[[], Any]) -> Any:
        """Make a call of the reading side again and again, until it has what it needs."""
        while True:
            self._reading = True
            try:
                if self._interrupted:
                    raise Interrupted("interrupted")
                with self._turn:
                    return call()
            except ssl.SSLWantWriteError:
                wanted = _WRITE
            except (ssl.SSLWantReadError, BlockingIOError):
                wanted = _READ
            except Interrupted:
                raise
            except OSError as error:
                if self._interrupted:  # TLS calls the end that abandon() made an error
                    raise Interrupted("interrupted") from error
                raise
            finally:
                self._reading = False
            self._wait(wanted, self.read_deadline, interruptible=True)

    def _wait(self, wanted: int, deadline: Optional[float], *, interruptible: bool) -> None:
        timeout = None if deadline is None else max(0.0, deadline - self._clock())
        descriptor = self._raw.fileno()
        if descriptor < 0 or (interruptible and self._interrupted):
            raise Interrupted("interrupted")
        ready = _wait_ready(descriptor, wanted, timeout)
        if interruptible and self._interrupted:
            raise Interrupted("interrupted")
        if not ready:
            raise DeadlineReached("timed out")


def first_connected(streams: Sequence[BufferedStream], timeout: float) -> Optional[BufferedStream]:
    """Wait for the first of these that is connected; None: none is, after ``timeout`` seconds.

    :raises OSError: one of them can't be connected, or was interrupted.
    """
    waiting = {stream.waits_to_connect: stream for stream in streams}
    for descriptor in ready_to_write(list(waiting), max(0.0, timeout)):
        waiting[descriptor].end_connect()
        return waiting[descriptor]
    return None


def ready_to_write(descriptors: List[int], timeout: float) -> List[int]:
    """Those that are connected, or have failed to, after ``timeout`` seconds at the most."""
    if not hasattr(select, "poll"):  # pragma: no cover - Windows, where a failed connect counts as an exception
        _, writing, failed = select.select([], descriptors, descriptors, timeout)
        return writing + failed
    poller = select.poll()
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLOUT)
    return [descriptor for descriptor, _ in poller.poll(int(timeout * 1000) + 1 if timeout else 0)]


def _wait_ready(descriptor: int, wanted: int, timeout: Optional[float]) -> bool:
    if not hasattr(select, "poll"):  # pragma: no cover - Windows, where descriptors may have any number
        reading, writing = ([descriptor], []) if wanted == _READ else ([], [descriptor])
        return any(select.select(reading, writing, [], timeout))
    poller = select.poll()
    poller.register(descriptor, select.POLLIN if wanted == _READ else select.POLLOUT)
    # Rounded up: waking a millisecond early would only mean to wait again.
    return bool(poller.poll(None if timeout is None else int(timeout * 1000) + 1 if timeout else 0))


def _discard(raw: Any) -> None:
    """Take what has come, without waiting: with something unread TCP ends with a reset, which overtakes a goodbye."""
    with contextlib.suppress(OSError):
        for _ in range(_MOST_DISCARDED):
            if not socket.socket.recv(raw, _CHUNK):  # TLS's bytes as they are
                return


def _shutdown(raw: Any, how: int) -> None:
    try:
        # The plain socket's method also for TLS: the TLS one forgets its keys, and nothing could be sent after it.
        socket.socket.shutdown(raw, how)
    except OSError:
        return  # not connected any more: what was wanted has happened

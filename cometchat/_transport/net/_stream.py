"""The bytes of a connection: TCP and TLS, a read buffer, deadlines, and an interrupter for any thread.

websocket-client's parser asks for exactly the bytes that it needs, in two to four calls per frame. It gets them from a
buffer, which is filled 64 KiB at a time. TLS does not allow two calls at the same time on one connection. So threads
wait in ``poll``, outside of TLS, and reads and writes take turns.
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import os
import select
import socket
import ssl
import sys
import threading
import time
from typing import Any, Callable, List, Optional, Sequence, Tuple, TypeVar, Union

from ..._turns import TURNS, WATCH
from ._tls import tls_ended

T = TypeVar("T")

_CHUNK = 65_536

#: Maximum size of a TLS record, in bytes.
_RECORD = 16_384

#: Maximum number of chunks that close() reads and drops (4 MiB), so that a peer that keeps sending can't delay it.
_MOST_DISCARDED = 64

#: Maximum wait of close() for a call on the same descriptor, in seconds. Such a call never blocks, but its thread may
#: be in a signal handler before it releases the lock.
_TURN_PATIENCE = 0.05

#: Maximum time for which writes wait for room after an interrupt, in seconds. A close frame may follow the interrupt,
#: but a peer that does not read must not keep the connection.
_LAST_WORDS = 0.05

#: The eight bytes to write to an eventfd.
_ONE = (1).to_bytes(8, sys.byteorder)


class Interrupted(OSError):
    """Another thread ended the wait."""


#: The exceptions for a timeout. Up to Python 3.9 ``socket.timeout`` is not a ``TimeoutError``.
TIMEOUTS = (TimeoutError, socket.timeout)


class DeadlineReached(socket.timeout):
    """No byte arrived, or the socket had no room, in time."""


class Interrupter:
    """Ends the waits of one connection, now and later. Any thread and any signal handler may use it.

    It is an eventfd (one descriptor) if the system has it, else a pair of sockets. A shutdown of the reading half would
    need no descriptor, but ends a wait on Linux only.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self._closed = False
        # Re-entrant: a signal handler may call interrupt() while its own thread does. Held while writing to the
        # descriptor, so that it can't be closed and reused for another file in between.
        self._lock = threading.RLock()
        self._reader: Union[io.FileIO, socket.socket]
        self._writer: Union[io.FileIO, socket.socket]
        if hasattr(os, "eventfd"):  # Linux, from Python 3.10 on
            descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._reader = self._writer = io.FileIO(descriptor, "r+")
        else:
            self._reader, self._writer = socket.socketpair()
            self._writer.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable after :meth:`interrupt`; -1 after close()."""
        return -1 if self._closed else self._reader.fileno()

    def interrupt(self) -> None:
        """End the waits. Does not wait itself."""
        self.interrupted = True
        with self._lock, contextlib.suppress(OSError, ValueError):  # full or closed: interrupt() was called before
            if isinstance(self._writer, socket.socket):
                self._writer.send(b"\1")
            else:
                self._writer.write(_ONE)

    def close(self) -> None:
        """Release the descriptors. No-op when called twice."""
        with self._lock:
            self.release_after_fork()

    def release_after_fork(self) -> None:
        """Close the descriptors without the lock, which a thread of the parent may hold."""
        self._closed = self.interrupted = True
        _close(self._reader)
        _close(self._writer)


class BufferedStream:
    """A TCP connection, with TLS after :meth:`start_tls`.

    :param raw: a connected TCP socket. This object owns it.
    :param interrupter: ends the waits of the reading side, and a moment later those of the writing side; None if only a
        deadline ends them.
    """

    def __init__(
        self,
        raw: socket.socket,
        interrupter: Optional[Interrupter] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        raw.setblocking(False)
        self._raw = raw
        self._interrupter = interrupter
        self._interrupts = [] if interrupter is None else [interrupter.fileno()]
        self._clock = clock
        self._secured: Optional[ssl.SSLSocket] = None
        self._buffer = b""
        self._position = 0
        # Allows one call on the descriptor at a time. TLS needs that, and the descriptor must not be reused for another
        # file.
        self._turn = threading.Lock()
        self._closed = False
        #: Monotonic seconds at which :meth:`recv` and the TLS handshake raise DeadlineReached; None for never.
        self.read_deadline: Optional[float] = None
        #: The same for :meth:`send`.
        self.write_deadline: Optional[float] = None
        self._last_words: Optional[float] = None  # the same after an interrupt

    def detach(self) -> socket.socket:
        """Return the plain TCP socket. This object must not be used after it.

        :raises ConnectionAbortedError: the buffer has bytes, which would be lost.
        """
        self._refuse_unread("data came before the request")
        self._closed = True
        return self._raw

    def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Do the TLS handshake. All later bytes are encrypted."""
        self._refuse_unread("data came before the TLS handshake")
        if self._closed or self._is_interrupted:
            raise Interrupted("interrupted")
        secured = context.wrap_socket(self._raw, server_hostname=host, do_handshake_on_connect=False)
        self._raw = self._secured = secured
        self._patiently(secured.do_handshake)

    def recv(self, size: int) -> bytes:
        """Return up to ``size`` bytes; ``b""`` at the end of the stream. Waits until the deadline."""
        if self._position >= len(self._buffer):
            self._buffer = self._fill()
            self._position = 0
        chunk = self._buffer[self._position : self._position + size]
        self._position += len(chunk)
        return chunk

    def take(self, parse: Callable[..., Tuple[T, int]], *args: object) -> T:
        """Call ``parse`` with the buffer, a position and ``args``. It returns its result and the new position.

        If the buffer is empty, waits for bytes until the deadline.
        """
        if self._position >= len(self._buffer):
            self._buffer = self._fill()
            self._position = 0
        taken, self._position = parse(self._buffer, self._position, *args)
        return taken

    @property
    def writable(self) -> bool:
        """Return True if some bytes can be sent without waiting."""
        descriptor = self._raw.fileno()
        return descriptor >= 0 and bool(wait_ready([], [descriptor], 0.0))

    def send(self, data: bytes) -> None:
        """Write all bytes. Waits for room until the deadline, and after an interrupt only for a moment.

        Any thread, one at a time.
        """
        left = memoryview(data)
        while left:
            if self._secured is not None:
                # One record, only if there is room: during a write TLS can't answer the messages that it reads
                # (KeyUpdate).
                self._await_room(for_reading=False)
            try:
                with self._turn:
                    sent = self._raw.send(left if self._secured is None else left[:_RECORD])
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError) as error:
                self._await_room(for_reading=isinstance(error, ssl.SSLWantReadError))
            except ssl.SSLError as error:
                _raise_reset(error)
                raise
            else:
                left = left[sent:]

    def abandon(self) -> None:
        """End every wait of both sides, and the connection."""
        if self._interrupter is not None:
            self._interrupter.interrupt()
        with self._turn:
            if not self._closed:
                _shutdown(self._raw)

    def release_after_fork(self) -> None:
        """Close the descriptor without a shutdown, which would end the parent's connection, and without the lock."""
        self._closed = True
        _close(self._raw)

    def close(self) -> None:
        """Release the socket. Any thread; no-op when called twice."""
        has_turn = self._turn.acquire(timeout=_TURN_PATIENCE)
        try:
            if not self._closed:
                self._closed = True
                _discard(self._raw)
                _shutdown(self._raw)
                _close(self._raw)
        finally:
            if has_turn:
                self._turn.release()

    @property
    def _is_interrupted(self) -> bool:
        return self._interrupter is not None and self._interrupter.interrupted

    def _refuse_unread(self, why: str) -> None:
        if self._position < len(self._buffer):
            raise ConnectionAbortedError(errno.ECONNABORTED, why)

    def _fill(self) -> bytes:
        # Read first, and wait only without data: poll does not see the bytes that TLS has already decrypted, and during
        # a flood it would be called for nothing.
        if self._raw.fileno() < 0:
            raise Interrupted("interrupted")
        data: bytes = self._patiently(self._receive)
        if not data and self._is_interrupted:  # abandon() caused this end
            raise Interrupted("interrupted")
        return data

    def _receive(self) -> bytes:
        try:
            return self._raw.recv(_CHUNK)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            _raise_reset(error)
            raise

    def _patiently(self, call: Callable[[], Any]) -> Any:
        """Repeat a call of the reading side until it has enough bytes."""
        interrupter = self._interrupter
        while True:
            if interrupter is not None and interrupter.interrupted:
                raise Interrupted("interrupted")
            try:
                with self._turn:
                    return call()
            except ssl.SSLWantWriteError:
                for_reading = False
            except (ssl.SSLWantReadError, BlockingIOError):
                for_reading = True
            except OSError as error:
                if self._is_interrupted:  # TLS reports the end that abandon() caused as an error
                    raise Interrupted("interrupted") from error
                raise
            self._wait(for_reading=for_reading, deadline=self.read_deadline, interrupts=self._interrupts, watched=True)

    def _await_room(self, *, for_reading: bool) -> None:
        """Wait until a write can go on. After an interrupt, all writes together wait for a moment only."""
        ready = False
        while not ready:
            interrupted = self._is_interrupted
            if interrupted and self._last_words is None:
                self._last_words = self._clock() + _LAST_WORDS
            ends = [each for each in (self.write_deadline, self._last_words) if each is not None]
            interrupts = [] if interrupted else self._interrupts
            ready = self._wait(for_reading=for_reading, deadline=min(ends, default=None), interrupts=interrupts)

    def _wait(
        self, *, for_reading: bool, deadline: Optional[float], interrupts: List[int], watched: bool = False
    ) -> bool:
        """Wait until the socket is ready, or the interrupter ends the wait. Returns whether the socket is ready.

        :param interrupts: the interrupter's descriptor; empty if it does not end this wait.
        :param watched: see :func:`wait_ready`. False for an HTTP call and for a user's send(), which would not give
            back the turn with which the watch wakes it.
        """
        descriptor = self._raw.fileno()
        if descriptor < 0:
            raise Interrupted("interrupted")
        timeout = None if deadline is None else max(0.0, deadline - self._clock())
        reading, writing = ([descriptor, *interrupts], []) if for_reading else (interrupts, [descriptor])
        ready = wait_ready(reading, writing, timeout, watched=watched and bool(interrupts))
        if not ready:
            raise DeadlineReached("timed out")
        return descriptor in ready


def _raise_reset(error: ssl.SSLError) -> None:
    """Raise a reset if this TLS error means one; else return."""
    if tls_ended(error):
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)) from error


#: Minimum timeout, in seconds, of a wait that the watch may do.
_LONG = 1.0

#: Whether the system has poll(). Windows does not, nor does a process that eventlet has patched.
_POLLS = hasattr(select, "poll")


def wait_ready(
    reading: Sequence[int], writing: Sequence[int], timeout: Optional[float], *, watched: bool = False
) -> List[int]:
    """Wait for descriptors. Returns those that are readable, writable or failed; [] at the timeout.

    :param watched: whether the watch may do a long wait to read. This thread then has a turn, and must give it back.
    """
    if timeout == 0:
        return _poll(reading, writing, timeout)
    with TURNS.lent():
        if not watched or timeout is None or timeout < _LONG or writing:
            return _poll(reading, writing, timeout)
        if not WATCH.enter_alone():
            found = WATCH.wait(reading, timeout)
            return _poll(reading, writing, timeout) if found is None else found
        try:
            return _poll(reading, writing, timeout)
        finally:
            WATCH.leave_alone()


def _poll(reading: Sequence[int], writing: Sequence[int], timeout: Optional[float]) -> List[int]:
    if not _POLLS:
        return _select(reading, writing, timeout)
    poller = select.poll()
    for descriptor in reading:
        poller.register(descriptor, select.POLLIN)
    for descriptor in writing:
        poller.register(descriptor, select.POLLOUT)
    # Rounded up: a wake-up one millisecond early would only start another wait.
    milliseconds = None if timeout is None else int(timeout * 1000) + 1 if timeout else 0
    return [descriptor for descriptor, _ in poller.poll(milliseconds)]


def _select(reading: Sequence[int], writing: Sequence[int], timeout: Optional[float]) -> List[int]:
    """Wait as :func:`_poll` does. On Windows a failed connect counts as an exception, and a wait for nothing fails."""
    if not reading and not writing:
        return []
    return list(dict.fromkeys(itertools.chain(*select.select(reading, writing, writing, timeout))))


def _discard(raw: Any) -> None:
    """Read and drop the bytes that have arrived, without waiting.

    With unread bytes TCP would close with a reset, which could overtake a close frame.
    """
    with contextlib.suppress(OSError, MemoryError):
        for _ in range(_MOST_DISCARDED):
            if not socket.socket.recv(raw, _CHUNK):  # the encrypted bytes
                return


def _close(raw: Union[io.FileIO, socket.socket]) -> None:
    with contextlib.suppress(OSError):  # the program has closed the descriptor, as one that becomes a daemon does
        raw.close()


def _shutdown(raw: Any) -> None:
    with contextlib.suppress(OSError):  # already disconnected
        if hasattr(socket.socket, "shutdown"):
            # Calls the plain socket's method for TLS too: the method of TLS drops the keys.
            socket.socket.shutdown(raw, socket.SHUT_RDWR)
        else:  # eventlet's class lacks the method; its objects do not
            raw.shutdown(socket.SHUT_RDWR)

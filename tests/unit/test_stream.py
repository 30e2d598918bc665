"""The stream under the WebSocket, on socket pairs and on sockets with a test's behaviour."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import sys
import threading
import time

import pytest
import trustme

from cometchat._transport.net import _stream as stream_module
from cometchat._transport.net._stream import BufferedStream, DeadlineReached, Interrupted, Interrupter

DEADLINE = 10.0


@pytest.fixture(params=["eventfd", "socketpair"])
def interrupter(request, monkeypatch):
    """An interrupter: the one of this system, and the one of all others."""
    if request.param == "socketpair":
        monkeypatch.delattr(os, "eventfd", raising=False)
    made = Interrupter()
    assert isinstance(made._reader, socket.socket) == (request.param == "socketpair" or not hasattr(os, "eventfd"))
    monkeypatch.undo()
    yield made
    made.close()


@pytest.fixture
def pair(interrupter):
    """A stream, and the socket at its other end."""
    raw, other = socket.socketpair()
    other.settimeout(DEADLINE)
    stream = BufferedStream(raw, interrupter)
    stream.read_deadline = stream.write_deadline = time.monotonic() + DEADLINE
    yield stream, other
    stream.close()
    other.close()


def waiting(call):
    """Run the function on another thread until it waits in poll(). Returns (the thread, its exception)."""
    raised = []

    def run():
        try:
            call()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run, name="test-waiting")
    in_poll = threading.Event()
    original = stream_module.wait_ready

    def wait_ready(*arguments, **options):
        if threading.current_thread() is thread:
            in_poll.set()
        return original(*arguments, **options)

    stream_module.wait_ready = wait_ready
    try:
        thread.start()
        assert in_poll.wait(DEADLINE)
    finally:
        stream_module.wait_ready = original
    return thread, raised


def outcome(thread, raised):
    thread.join(DEADLINE)
    assert not thread.is_alive()
    return raised


def test_bytes_in_portions(pair):
    """recv() returns the requested number of bytes, from those that came at once, and b"" at the end."""
    stream, other = pair
    other.sendall(b"abcdef")
    assert [stream.recv(2), stream.recv(3), stream.recv(9)] == [b"ab", b"cde", b"f"]
    other.close()
    assert [stream.recv(1), stream.recv(1)] == [b"", b""]


def test_a_deadline(pair):
    """recv() ends at the deadline, not before.

    With one in the past it does not wait, and still takes available bytes.
    """
    stream, other = pair
    started = time.monotonic()
    stream.read_deadline = started + 0.05
    with pytest.raises(DeadlineReached):
        stream.recv(1)
    assert time.monotonic() >= started + 0.05
    stream.read_deadline = started - 5
    with pytest.raises(DeadlineReached):
        stream.recv(1)
    other.sendall(b"x")
    assert stream.recv(1) == b"x"


def test_no_deadline(pair):
    """Without a deadline recv() waits until bytes arrive."""
    stream, other = pair
    stream.read_deadline = None
    heard = []
    thread, raised = waiting(lambda: heard.append(stream.recv(5)))
    other.sendall(b"late")
    assert outcome(thread, raised) == [] and heard == [b"late"]


@pytest.mark.parametrize("end", ["interrupt", "abandon"])
def test_an_interrupt(pair, interrupter, end):
    """A blocked recv() ends with Interrupted, and so does every later one."""
    stream, _ = pair
    thread, raised = waiting(lambda: stream.recv(1))
    (interrupter.interrupt if end == "interrupt" else stream.abandon)()
    assert [type(error) for error in outcome(thread, raised)] == [Interrupted]
    with pytest.raises(Interrupted):
        stream.recv(1)


def test_an_interrupter_does_not_rely_on_a_shutdown(pair, interrupter, monkeypatch):
    """On systems other than Linux, shutting down the reading half wakes no reader. A blocked recv() still ends."""
    stream, other = pair
    monkeypatch.setattr(socket.socket, "shutdown", lambda *arguments: pytest.fail("a shutdown"))
    thread, raised = waiting(lambda: stream.recv(1))
    interrupter.interrupt()
    assert [type(error) for error in outcome(thread, raised)] == [Interrupted]
    monkeypatch.undo()
    stream.send(b"x")
    assert other.recv(1) == b"x"


def test_an_interrupter_that_is_closed(interrupter):
    """A closed interrupter can interrupt and be closed again. Its descriptor may belong to another file by now."""
    interrupter.close()
    interrupter.interrupt()
    interrupter.close()
    assert (interrupter.interrupted, interrupter.fileno()) == (True, -1)


def test_an_interrupter_that_interrupts_without_end(interrupter):
    """An interrupt does not wait if the interrupter is full, since it was already used."""
    for _ in range(3000):
        interrupter.interrupt()
    assert stream_module.wait_ready([interrupter.fileno()], [], 0.0) == [interrupter.fileno()]


def test_sending_after_an_interrupt(pair, interrupter):
    """After an interrupter the other end still gets sent bytes. After abandon() it has come to its end."""
    stream, other = pair
    interrupter.interrupt()
    stream.send(b"goodbye")
    assert other.recv(99) == b"goodbye"
    stream.abandon()
    assert other.recv(99) == b""
    with pytest.raises(OSError):
        stream.send(b"more")


def test_an_interrupt_just_before_the_bytes_are_read(pair, interrupter):
    """If the interrupt comes between waiting and reading, its end of the stream does not count as the peer's."""
    stream, _ = pair
    original = stream._raw

    class Raw:
        def fileno(self):
            return original.fileno()

        def recv(self, size):
            interrupter.interrupt()
            return b""

    stream._raw = Raw()
    with pytest.raises(Interrupted):
        stream.recv(1)
    stream._raw = original


def test_an_interrupt_in_the_middle_of_a_read(interrupter):
    """Over TLS too the reader ends, and a close frame can be sent: the read meets no end that is fatal for TLS."""
    authority = trustme.CA()
    serving, calling = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(serving)
    authority.configure_trust(calling)
    raw, accepted = socket.socketpair()
    accepted.settimeout(DEADLINE)
    heard = []

    def serve():
        with serving.wrap_socket(accepted, server_side=True) as other:
            heard.append(other.recv(99))

    server = threading.Thread(target=serve, name="test-tls", daemon=True)
    server.start()
    stream = BufferedStream(raw, interrupter)
    stream.read_deadline = stream.write_deadline = time.monotonic() + DEADLINE
    stream.start_tls(calling, "localhost")

    def read():
        interrupter.interrupt()
        return stream._raw.recv(1)

    with pytest.raises(Interrupted):
        stream._patiently(read)
    stream.send(b"goodbye")
    server.join(DEADLINE)
    assert heard == [b"goodbye"]
    stream.close()


@pytest.mark.parametrize("interrupted", [False, True])
def test_an_end_with_unread_bytes_is_not_a_reset(interrupted, interrupter):
    """A peer that sends while the stream is closed is not cut off before it has read the close frame."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        raw = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    with other:
        other.settimeout(DEADLINE)
        stream = BufferedStream(raw, interrupter)
        stream.write_deadline = time.monotonic() + DEADLINE
        other.sendall(bytes(50_000))
        raw.settimeout(DEADLINE)
        assert len(raw.recv(50_000, socket.MSG_PEEK | socket.MSG_WAITALL)) == 50_000
        raw.setblocking(False)
        if interrupted:
            interrupter.interrupt()
        stream.send(b"goodbye")
        stream.close()
        # BrokenPipeError after a reset, after which asyncio, for example, no longer reads arrived bytes
        other.send(b"more")
        assert other.recv(99) == b"goodbye"


def test_the_end_does_not_read_an_endless_stream(pair, monkeypatch):
    """close() releases a socket on which more bytes come than it reads."""
    stream, other = pair
    monkeypatch.setattr(stream_module, "_MOST_DISCARDED", 1)
    monkeypatch.setattr(stream_module, "_CHUNK", 10)
    other.sendall(bytes(100))
    stream.close()
    assert stream._raw.fileno() == -1


def test_the_end_without_memory_for_unread_bytes(pair, monkeypatch):
    """The socket is released all the same."""
    stream, other = pair
    monkeypatch.setattr(stream_module, "_CHUNK", sys.maxsize // 2)
    stream.close()
    assert other.recv(1) == b""


def test_room(pair):
    """writable says whether there is room. It is False for a closed stream."""
    stream, _ = pair
    assert stream.writable
    stream.write_deadline = time.monotonic() + 0.05
    with pytest.raises(DeadlineReached):
        stream.send(bytes(2**24))
    assert not stream.writable
    stream.close()
    assert not stream.writable


def test_a_sender_without_room_whose_stream_is_closed(pair):
    """close() ends a send() that waits for room, with an OSError."""
    stream, _ = pair
    thread, raised = waiting(lambda: stream.send(bytes(2**24)))
    stream.close()
    assert len(outcome(thread, raised)) == 1 and isinstance(raised[0], OSError)


def test_a_sender_without_room_that_is_interrupted(pair, interrupter):
    """A peer that does not read must not keep a connection that was interrupted: the wait ends before its deadline.

    Bytes that have room are still sent.
    """
    stream, other = pair
    stream.write_deadline = None
    for _ in range(2):  # while it waits, and before
        thread, raised = waiting(lambda: stream.send(bytes(2**24)))
        interrupter.interrupt()
        assert [type(each) for each in outcome(thread, raised)] == [DeadlineReached]
    other.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            other.recv(2**20)
    stream.send(b"goodbye")
    assert other.recv(99) == b"goodbye"


def test_a_stream_that_was_closed(pair):
    """A closed stream can be closed and abandoned. It neither returns nor accepts bytes."""
    stream, _ = pair
    stream.close()
    stream.close()
    stream.abandon()
    with pytest.raises(Interrupted):
        stream.recv(1)
    with pytest.raises(OSError):
        stream.send(b"x")


def test_waiting_on_a_descriptor_that_is_gone(pair):
    """A sender that starts to wait just after close() gets an OSError, not poll's ValueError."""
    stream, _ = pair
    stream.close()
    with pytest.raises(Interrupted):
        stream._wait(for_reading=False, deadline=None, interrupts=[])


def test_the_end_after_the_program_has_closed_all_descriptors(pair, interrupter):
    """A program that becomes a daemon closes the descriptors of the SDK too. Both parts still end, without an error."""
    stream, _ = pair
    os.close(stream._raw.fileno())
    stream.close()
    os.close(interrupter.fileno())
    interrupter.close()
    assert (stream._raw.fileno(), interrupter.fileno()) == (-1, -1)


def test_a_close_while_a_signal_handler_holds_up_a_sender(pair):
    """A sender's thread may be inside a signal handler that waits for this end. close() does not wait for it."""
    stream, other = pair
    with stream._turn:
        stream.close()
    assert other.recv(1) == b""


def test_a_socket_that_is_taken_back(pair):
    """The caller can take back the socket of a stream, but not after it has read ahead: those bytes would be lost."""
    stream, other = pair
    other.sendall(b"ab")
    stream.recv(1)
    with pytest.raises(ConnectionAbortedError):
        stream.detach()
    stream.recv(1)
    raw = stream.detach()
    stream.close()
    assert raw.fileno() >= 0
    raw.close()


@pytest.mark.parametrize("end", ["interrupt", "close"])
def test_no_tls_after_the_end(pair, interrupter, end):
    """TLS is not started on a stream that was interrupted or closed."""
    stream, _ = pair
    (interrupter.interrupt if end == "interrupt" else stream.close)()
    with pytest.raises(Interrupted):
        stream.start_tls(ssl.create_default_context(), "localhost")


def test_no_tls_after_data(pair):
    """TLS is not started after plain data has arrived: it would be lost, or count as TLS's."""
    stream, other = pair
    other.sendall(b"ab")
    stream.recv(1)
    with pytest.raises(ConnectionAbortedError):
        stream.start_tls(ssl.create_default_context(), "localhost")


class Moody:
    """A TLS socket that first needs the other direction: reading needs to write, writing to read."""

    def __init__(self, *moods):
        self.moods = list(moods)
        self.sent = b""

    def fileno(self):
        return 0

    def _mood(self):
        if self.moods:
            raise self.moods.pop(0)

    def recv(self, size):
        self._mood()
        return b"data"

    def send(self, data):
        self._mood()
        self.sent += data[:3]
        return len(data[:3])


@pytest.fixture
def moody(pair, monkeypatch):
    """Make the stream's socket a moody one. Returns the directions that it waited for."""
    stream, _ = pair
    original, waits = stream._raw, []

    def wait_ready(reading, writing, timeout, **options):
        waits.append("read" if 0 in reading else "write")
        return [0]

    monkeypatch.setattr(stream_module, "wait_ready", wait_ready)

    def make(*moods):
        stream._raw = stream._secured = Moody(*moods)
        return stream, waits

    yield make
    stream._raw, stream._secured = original, None


def test_reading_that_has_to_write(moody):
    """A TLS read that needs room to write waits for that, and one that needs more bytes waits for those."""
    stream, waits = moody(ssl.SSLWantWriteError(), ssl.SSLWantReadError(), BlockingIOError())
    assert stream.recv(9) == b"data"
    assert waits == ["write", "read", "read"]


def test_writing_that_has_to_read(moody):
    """A TLS write that needs bytes to read waits for those. All of the data is sent, in parts."""
    stream, waits = moody(ssl.SSLWantReadError(), ssl.SSLWantWriteError(), BlockingIOError())
    stream.send(b"all of it")
    assert stream._raw.sent == b"all of it"
    assert waits == ["write", "read", *["write"] * 7]


def test_tls_writes_no_more_than_there_is_room_for(moody):
    """TLS writes record by record, after a check for room: a KeyUpdate in between would end the connection."""
    stream, waits = moody()
    records = []

    def send(data):
        records.append((len(data), len(waits)))
        return len(data)

    stream._raw.send = send
    stream.send(bytes(40_000))
    assert records == [(16_384, 1), (16_384, 2), (7_232, 3)]


def _plain(library, reason):
    error = ssl.SSLError(1, "x")
    error.library, error.reason = library, reason
    return error


ENDS = {
    "EOF": ssl.SSLEOFError(8, "EOF"),
    "closed": ssl.SSLZeroReturnError(6, "closed"),
    "OpenSSL 3.5, reset": _plain("SYS", None),
    "OpenSSL 3.5, end": _plain("SSL", "UNEXPECTED_EOF_WHILE_READING"),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_a_write_that_meets_a_reset(moody, end):
    """If Python reports only an end for TLS's write, the error is a reset, as without TLS."""
    stream, _ = moody(end)
    with pytest.raises(ConnectionResetError) as caught:
        stream.send(b"more")
    assert caught.value.__cause__ is end


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_a_read_that_meets_a_reset(moody, end):
    """The same holds for a read."""
    stream, _ = moody(end)
    with pytest.raises(ConnectionResetError) as caught:
        stream.recv(1)
    assert caught.value.__cause__ is end


@pytest.mark.parametrize("call", ["send", "recv"])
def test_another_failure_is_not_a_reset(moody, call):
    """An error of TLS that is not its end is raised unchanged."""
    failure = _plain("SSL", "BAD_LENGTH")
    stream, _ = moody(failure)
    with pytest.raises(ssl.SSLError) as caught:
        stream.send(b"more") if call == "send" else stream.recv(1)
    assert caught.value is failure and caught.value.__cause__ is None


def test_a_failure_is_passed_on_and_an_interrupted_one_is_not(moody, interrupter):
    """An error of TLS is raised unchanged. After an interrupt, the interrupt is the cause."""
    failure = ssl.SSLError(1, "bad record")
    stream, _ = moody(failure)
    with pytest.raises(ssl.SSLError) as caught:
        stream.recv(1)
    assert caught.value is failure
    stream, _ = moody(failure)
    original = stream._raw.recv

    def recv(size):
        interrupter.interrupt()
        return original(size)

    stream._raw.recv = recv
    with pytest.raises(Interrupted) as caught:
        stream.recv(1)
    assert caught.value.__cause__ is failure

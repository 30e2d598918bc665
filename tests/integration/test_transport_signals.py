"""Calls of a signal handler: RequestsRest.close() and Socket.interrupt(), at every line of the interrupted call.

A trace function stands in for the signal. Like a handler, it runs on the thread of the interrupted call, between two
lines of it. But it always runs at the line that the test names.
"""

from __future__ import annotations

import functools
import socket
import sys
import time
from types import FrameType
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import pytest

import cometchat
from cometchat import CometChatException
from cometchat._transport.http import RequestsRest
from cometchat._transport.net import BufferedStream, Interrupter
from cometchat._transport.websocket import WebSocketClientSocket
from cometchat._transport.websocket._socket import _FrameBuffer

from .conftest import DEADLINE, Peer, RawServer, finished, frame, in_thread
from .transport_peers import Count, answer

Serve = Callable[..., RawServer]

#: A file and a line of it.
Place = Tuple[str, int]

#: The files whose lines are interrupted: the transport's, and those of the libraries that keep connections for it.
WATCHED = (
    f"{cometchat.__path__[0]}/_transport/",
    "/urllib3/connectionpool.py",
    "/urllib3/poolmanager.py",
    "/urllib3/_collections.py",
    "/urllib3/connection.py",
    "/requests/adapters.py",
    "/requests/models.py",
    "/queue.py",
    "/websocket/_core.py",
    "/websocket/_abnf.py",
)


@functools.lru_cache(maxsize=None)
def is_watched(file: str) -> bool:
    return any(part in file for part in WATCHED)


class Tracer:
    """Traces one call on this thread.

    Without a place it records the call's lines. With one, it calls ``action`` when the call first reaches that place,
    and the rest of the call runs untraced, which is quicker.
    """

    def __init__(self, at: Optional[Place], action: Callable[[], object]) -> None:
        self.places: Dict[Place, None] = {}
        self.fired = False
        self._at = at
        self._action = action

    def run(self, call: Callable[[], Any]) -> Any:
        """Make the call. Returns its result or its exception."""
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            return call()
        except CometChatException as error:
            return error
        finally:
            sys.settrace(before)

    def _trace(self, current: FrameType, event: str, _: Any) -> Any:
        return self._line if is_watched(current.f_code.co_filename) else None

    def _line(self, current: FrameType, event: str, _: Any) -> Any:
        place = (current.f_code.co_filename, current.f_lineno)
        if event == "line":
            if self._at is None:
                self.places[place] = None
            elif place == self._at and not self.fired:
                self.fired = True
                self._action()
                sys.settrace(None)
        return self._line


Made = Tuple[Any, Callable[[], Any]]


def interrupted_everywhere(make: Callable[[], Made], action: Callable[[Any], object]) -> List[Tuple[Place, Any, Any]]:
    """Make an object and a call of it, and interrupt the call at each of its lines, in one run after the other.

    :param make: makes a new object and the call.
    :param action: the signal handler's call on the object.
    :returns: for each run: the line, the object, and the call's result or exception.
    """

    def once(at: Optional[Place]) -> Tuple[Tracer, Any, Any]:
        thing, call = make()
        tracer = Tracer(at, lambda: action(thing))
        return tracer, thing, tracer.run(call)

    tracer, thing, result = finished(*in_thread(lambda: once(None)))
    places = list(tracer.places)
    assert len(places) > 2, "the call has lines"
    action(thing)
    results, missed = [(places[-1], thing, result)], 0
    for place in places:
        thread, outcome = in_thread(lambda place=place: once(place))
        thread.join(DEADLINE)
        assert not thread.is_alive(), f"the call interrupted at {place} hangs"
        tracer, thing, result = finished(thread, outcome)
        if not tracer.fired:
            missed += 1
            action(thing)
        results.append((place, thing, result))
    assert missed <= len(places) // 5, "a call takes nearly the same way each time"
    return results


# HTTP.


@pytest.fixture
def server(serve: Serve) -> Iterator[Tuple[str, Count, Count]]:
    """The address of a server, with its numbers of opened and ended connections."""
    began, ended = Count(), Count()

    def script(peer: Peer) -> None:
        began.up()
        try:
            while True:
                peer.read_head()
                peer.socket.sendall(answer(200, b'{"data": {"ok": 1}}'))
        finally:
            ended.up()

    yield f"http://127.0.0.1:{serve(script).port}/v3.0/me", began, ended


def get(rest: RequestsRest, url: str) -> Any:
    return rest.call("GET", url, headers={}, timeout=5)


@pytest.mark.timeout(600)  # PyPy takes six times as long under a trace function
@pytest.mark.parametrize("calls_before", [0, 1], ids=["new connection", "kept connection"])
def test_close_at_every_line_of_a_call(server: Tuple[str, Count, Count], calls_before: int) -> None:
    """The call returns its answer or raises ERR_CLIENT_CLOSED. No connection is left, and no lock blocks."""
    url, began, ended = server

    def make() -> Made:
        rest = RequestsRest()
        for _ in range(calls_before):
            get(rest, url)
        return rest, lambda: get(rest, url)

    for place, rest, result in interrupted_everywhere(make, RequestsRest.close):
        code = getattr(result, "code", None)
        assert result == {"ok": 1} or code == "ERR_CLIENT_CLOSED", (place, result)
        rest.close()
    ended.wait_for(began.value)


@pytest.mark.parametrize("name", ["close", "forget_connections"])
def test_close_at_every_line_of_an_end(server: Tuple[str, Count, Count], name: str) -> None:
    """The same holds for close() itself: every connection ends once the calls are over."""
    url, began, ended = server

    def make() -> Made:
        rest = RequestsRest()
        get(rest, url)
        return rest, getattr(rest, name)

    for _, rest, result in interrupted_everywhere(make, RequestsRest.close):
        assert result is None
    ended.wait_for(began.value)


# The WebSocket.


class Pair:
    """A WebSocket after its upgrade, and the socket at its other end."""

    def __init__(self) -> None:
        mine, self.peer = socket.socketpair()
        self.peer.settimeout(DEADLINE)
        self.client = WebSocketClientSocket(proxies=None, ca_certs=None, max_message_size=99)
        self.client._interrupter = Interrupter()
        self.client._stream = stream = BufferedStream(mine, self.client._interrupter)
        self.client._frames = _FrameBuffer(stream, 99)
        self.client._upgraded = True

    def interrupt(self) -> None:
        self.client.interrupt()

    def heard(self) -> bytes:
        """Close the client, and return all bytes that its peer has received."""
        self.client.close()
        data = b""
        while True:
            more = self.peer.recv(4096)
            if not more:
                self.peer.close()
                return data
            data += more

    def receive(self) -> Any:
        return self.client.receive(time.monotonic() + DEADLINE)


def _interrupted(name: str, *arguments: Any) -> List[Tuple[Place, Any, Any]]:
    def make() -> Made:
        pair = Pair()
        return pair, lambda: getattr(pair.client, name)(*arguments)

    return interrupted_everywhere(make, Pair.interrupt)


def test_interrupt_at_every_line_of_a_send() -> None:
    """The whole frame is sent, and then the close frame."""
    for place, pair, result in _interrupted("send", "hello", 5.0):
        assert result is None, place
        data = pair.heard()
        assert (data[0], data[1], len(data)) == (0x81, 0x85, 11 + 8), place


def test_interrupt_at_every_line_of_an_interrupt() -> None:
    """The next receive() ends, and a close frame can still be sent."""
    for place, pair, result in _interrupted("interrupt"):
        assert result is None
        with pytest.raises(CometChatException, match="interrupted"):
            pair.receive()
        assert pair.heard()[0] == 0x88, place


def test_interrupt_at_every_line_of_a_close() -> None:
    """The close frame is sent, and the connection ends."""
    for place, pair, result in _interrupted("close", 1001):
        assert result is None
        data = pair.heard()
        assert (data[0], len(data)) == (0x88, 8), place


def test_interrupt_at_every_line_of_a_receive() -> None:
    """receive() ends at once, with the message if that was already read. The next one ends too."""

    def make() -> Made:
        pair = Pair()
        pair.peer.sendall(frame(9, b"ping") + frame(1, b"hello"))
        return pair, pair.receive

    for place, pair, result in interrupted_everywhere(make, Pair.interrupt):
        assert result == [b"hello"] or "interrupted" in result.message, place
        with pytest.raises(CometChatException, match="interrupted"):
            while True:
                pair.receive()
        pair.heard()


def test_interrupt_at_every_line_of_an_open(serve: Serve) -> None:
    """open() fails at once, or the socket was already open and the next receive() ends."""
    server = serve(lambda peer: (peer.upgrade(), peer.wait_for_end()))

    def make() -> Made:
        client = WebSocketClientSocket(proxies=None, ca_certs=None, max_message_size=99)
        return client, lambda: client.open(server.url(), DEADLINE)

    for place, client, result in interrupted_everywhere(make, WebSocketClientSocket.interrupt):
        if result is None:
            with pytest.raises(CometChatException, match="interrupted"):
                client.receive(time.monotonic() + DEADLINE)
        else:
            assert "interrupted" in result.message, place
        client.close()

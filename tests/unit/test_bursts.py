"""Frames that come together: read together, queued together, told one after the other."""

from __future__ import annotations

import random
import socket
import threading
import time
from typing import Any, Callable, Iterator, List, Tuple

import pytest

from cometchat import CometChatException
from cometchat._protocol import Delivery
from cometchat._runtime.call_queue import Call, CallQueue
from cometchat._runtime.dispatcher import Dispatcher
from cometchat._runtime.registry import Registry
from cometchat._transport.framing import whole_texts
from cometchat._transport.stream import BufferedStream
from cometchat._transport.websocket import WebSocketClientSocket

DEADLINE = 10.0
LIMIT = 70_000


def frame(payload: bytes, opcode: int = 1, fin: bool = True) -> bytes:
    """A server's frame."""
    length = len(payload)
    if length < 126:
        head = bytes([length])
    elif length < 65_536:
        head = b"\x7e" + length.to_bytes(2, "big")
    else:
        head = b"\x7f" + length.to_bytes(8, "big")
    return bytes([(0x80 if fin else 0) | opcode]) + head + payload


@pytest.fixture
def line() -> Iterator[Tuple[WebSocketClientSocket, socket.socket]]:
    """A WebSocket after its upgrade, and the other end."""
    mine, peer = socket.socketpair()
    client = WebSocketClientSocket(proxies=None, ca_certs=None, max_message_size=LIMIT, user_agent="tests/1")
    client._take_stream(BufferedStream(mine))
    client._upgraded = True
    yield client, peer
    client.close()
    peer.close()


def soon() -> float:
    return time.monotonic() + DEADLINE


# The bytes.


def test_whole_texts_are_taken_in_a_row() -> None:
    """Of one and of two bytes of length, empty ones too; the place is that behind the last."""
    payloads = [b"", b"a", b"b" * 125, b"c" * 126, b"d" * 65_535]
    wire = b"xx" + b"".join(map(frame, payloads))
    assert whole_texts(wire, 2, LIMIT) == (payloads, len(wire))


@pytest.mark.parametrize(
    "other",
    [
        frame(b"a", opcode=2),
        frame(b"a", opcode=9),
        frame(b"a", opcode=8),
        frame(b"a", opcode=0),
        frame(b"a", fin=False),
        b"\xc1\x01a",  # a reserved bit
        b"\x81\x81mask?",
        b"\x81\xfe\x00\x7emask" + b"a" * 126,
        frame(b"e" * 65_536),
        frame(b"a" * 11),  # over the limit
        b"\x81",
        b"\x81\x02a",
        b"\x81\x7e\x00",
        b"\x81\x7e\x00\x0aaaaaaaaaa",
    ],
)
def test_all_else_ends_the_row(other: bytes) -> None:
    """A control frame, a fragment, a mask, a length of eight bytes, one over the limit, half a frame: not touched."""
    before = frame(b"a") + frame(b"b")
    assert whole_texts(before + other, 0, 10) == ([b"a", b"b"], len(before))


# The socket.


def test_what_is_here_comes_at_once(line: Tuple[WebSocketClientSocket, socket.socket]) -> None:
    """Frames that have arrived come together, and the half one behind them when it is whole."""
    client, peer = line
    half = frame(b"late")
    peer.sendall(frame(b"one") + frame(b"two") + half[:3])
    assert client.receive_burst(soon()) == [b"one", b"two"]
    peer.sendall(half[3:] + frame(b"last"))
    assert client.receive_burst(soon()) == [b"late"]
    assert client.receive_burst(soon()) == [b"last"]


def test_a_lone_frame_is_not_held_back(line: Tuple[WebSocketClientSocket, socket.socket]) -> None:
    """One frame comes as soon as it is here, long before the deadline; and at the deadline nothing."""
    client, peer = line
    peer.sendall(frame(b"alone"))
    started = time.monotonic()
    assert client.receive_burst(started + DEADLINE) == [b"alone"]
    assert time.monotonic() - started < DEADLINE / 2
    assert client.receive_burst(time.monotonic() + 0.01) == []


def test_receive_takes_one_of_many(line: Tuple[WebSocketClientSocket, socket.socket]) -> None:
    """The answer to auth is read alone: what came with it stays for the next look."""
    client, peer = line
    peer.sendall(frame(b"auth") + frame(b"one") + frame(b"two"))
    assert client.receive(soon()) == b"auth"
    assert client.receive_burst(soon()) == [b"one", b"two"]


def test_a_text_within_a_fragmented_message_is_refused(line: Tuple[WebSocketClientSocket, socket.socket]) -> None:
    """The short way does not lead around the rules of fragments."""
    client, peer = line
    peer.sendall(frame(b"begun", fin=False) + frame(b"out of place"))
    with pytest.raises(CometChatException) as caught:
        client.receive_burst(soon())
    assert caught.value.code == "ERR_PROTOCOL"


def test_a_message_over_the_limit_is_refused_after_those_before_it(
    line: Tuple[WebSocketClientSocket, socket.socket],
) -> None:
    """What came before it is given first."""
    client, peer = line
    client._frames._limit = client._max_message_size = 10
    peer.sendall(frame(b"fits") + frame(b"a" * 11))
    assert client.receive_burst(soon()) == [b"fits"]
    with pytest.raises(CometChatException) as caught:
        client.receive_burst(soon())
    assert caught.value.code == "ERR_PROTOCOL" and caught.value.details == "closed with code 1009"


def some_wire(chance: random.Random) -> Tuple[bytes, List[bytes]]:
    """What a server may write, and the messages in it."""
    wire, messages = b"", []
    for _ in range(chance.randrange(1, 30)):
        payload = bytes(chance.choices(b'{"a":1} \xc3\xa9', k=chance.choice([0, 1, 60, 125, 126, 300, 65_540])))
        kind = chance.randrange(6)
        if kind == 0:
            wire += frame(payload[:100], opcode=chance.choice([9, 10]))
            continue
        if kind == 1:
            cut = len(payload) // 2
            wire += frame(payload[:cut], fin=False) + frame(b"p", opcode=9) + frame(payload[cut:], opcode=0)
        else:
            wire += frame(payload, opcode=2 if kind == 2 else 1)
        messages.append(payload)
    return wire, messages


@pytest.mark.parametrize("seed", range(30))
def test_nothing_is_lost_or_told_twice(line: Tuple[WebSocketClientSocket, socket.socket], seed: int) -> None:
    """Whatever frames come, in whatever pieces: the messages are those that were sent, in their order."""
    client, peer = line
    chance = random.Random(seed)
    wire, messages = some_wire(chance)

    def write() -> None:
        place = 0
        while place < len(wire):
            size = chance.choice([1, 2, 3, 100, 5000, 70_000])
            peer.sendall(wire[place : place + size])
            place += size

    peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**20)
    writing = threading.Thread(target=write, name="test-writing", daemon=True)
    writing.start()
    heard: List[bytes] = []
    while len(heard) < len(messages):
        burst = client.receive_burst(soon())
        assert burst, "not all of them came"
        heard += burst
    writing.join(DEADLINE)
    assert heard == messages


# The queue.


def event(seq: int, size: int = 1) -> Call:
    return Call(seq, "kind", "method", (), True, None, size, True)


def test_events_are_put_in_together() -> None:
    """They keep their place between what came before and after, and only the newest stay where too many wait."""
    queue = CallQueue(3, max_bytes=100)
    queue.put(Call(1, "kind", "method", (), True, None, 0, False))
    queue.put_events([event(2), event(3)])
    queue.put(Call(4, "kind", "method", (), True, None, 0, False))
    queue.put_events([event(5), event(6)])
    assert queue.dropped == 1 and queue.overflowed
    assert [queue.get().seq for _ in range(len(queue))] == [1, 3, 4, 5, 6]  # type: ignore[union-attr]
    queue.put_events([event(7, 60), event(8, 60)])
    assert [queue.get().seq for _ in range(len(queue))] == [8]  # type: ignore[union-attr]
    queue.put_events([event(9, 100)])
    assert [queue.get().seq for _ in range(len(queue))] == [9]  # type: ignore[union-attr]


def test_one_wake_up_for_all_of_them() -> None:
    """Events that are queued together ring the bell once, and only for one who waits."""
    queue = CallQueue(100)
    rings: List[None] = []

    class Bell:
        def put(self, item: None) -> None:
            rings.append(item)

    queue._bell = Bell()  # type: ignore[assignment]
    queue.put_events([event(1), event(2)])
    assert rings == []
    queue._idle = True
    queue.put_events([event(3), event(4), event(5)])
    assert rings == [None] and len(queue) == 5


def test_events_are_numbered_together() -> None:
    """Each has a number of its own, in their order, and the listener of later does not hear them."""
    registry = Registry()
    dispatcher = Dispatcher(registry, "cometchat-dispatcher-test")
    first = registry.stamp(lambda seq: None)
    dispatcher.post_events([(Delivery("user", "on_user_online", (name,)), 5) for name in "ab"])
    assert [dispatcher.queue.get()[:4] for _ in range(2)] == [  # type: ignore[index]
        (first + 1, "user", "on_user_online", ("a",)),
        (first + 2, "user", "on_user_online", ("b",)),
    ]
    assert registry.stamp(lambda seq: None) == first + 3


# Many listeners.


class Crowd:
    """Twenty listeners, who note what they hear; ``hooks[number]`` is called from inside."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.dispatcher = Dispatcher(self.registry, "cometchat-dispatcher-test")
        self.heard: List[int] = []
        self.hooks: dict[int, Callable[[], Any]] = {}
        for number in range(20):
            self.add(number)

    def add(self, number: int) -> None:
        crowd = self

        class Listener:
            def on_it(self, argument: str) -> None:
                assert argument == "it"
                crowd.heard.append(number)
                crowd.hooks.get(number, lambda: None)()

        self.registry.add("user", str(number), Listener())

    def tell(self, of_connection: bool = True) -> List[int]:
        self.heard.clear()
        self.dispatcher.post("user", "on_it", "it", of_connection=of_connection, passing=True)
        self.dispatcher.close()
        self.dispatcher._run()
        return self.heard


def test_all_of_many_hear() -> None:
    """Each once, in the order of their registration."""
    assert Crowd().tell() == list(range(20))


def test_many_and_some_raise(caplog: pytest.LogCaptureFixture) -> None:
    """Those that raise are logged by their ids, and the others hear all the same, the one behind the last too."""
    crowd = Crowd()

    def fail() -> None:
        raise KeyError("mine")

    def end() -> None:
        raise StopIteration

    crowd.hooks = {0: fail, 5: end, 6: fail, 19: fail}
    assert crowd.tell() == list(range(20))
    assert [record.args[1] for record in caplog.records] == ["0", "5", "6", "19"]  # type: ignore[index]
    assert all(record.exc_info for record in caplog.records)


def test_many_and_one_lacks_the_method(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the others hear."""
    crowd = Crowd()
    crowd.registry.add("user", "3", object())
    caplog.clear()
    assert crowd.tell() == [number for number in range(20) if number != 3]
    assert [record.args[1] for record in caplog.records] == ["3"]  # type: ignore[index]


def test_many_and_one_leaves_meanwhile() -> None:
    """One that is removed while another is being told does not hear any more; one that comes does not hear yet."""
    crowd = Crowd()

    def change() -> None:
        crowd.registry.remove("user", "9")
        crowd.add(99)

    crowd.hooks[4] = change
    assert crowd.tell() == [number for number in range(20) if number != 9]


def test_many_and_a_cut_meanwhile() -> None:
    """After a cut from inside a callback the next listener is not told what comes of the connection; else it is."""
    crowd = Crowd()
    crowd.hooks[4] = lambda: crowd.dispatcher.cut(100)
    assert crowd.tell() == list(range(5))
    crowd = Crowd()
    crowd.hooks[4] = lambda: crowd.dispatcher.cut(100)
    assert crowd.tell(of_connection=False) == list(range(20))


def test_many_and_one_is_late() -> None:
    """One that has registered after the event was queued does not hear it."""
    crowd = Crowd()
    crowd.dispatcher.post("user", "on_it", "it", passing=True)
    crowd.add(50)
    assert crowd.tell() == [*range(20), *range(20), 50]


@pytest.mark.parametrize("number", [0, 7, 19])
def test_who_is_slow_is_named(number: int, caplog: pytest.LogCaptureFixture) -> None:
    """The warning that too many wait names the listener whose turn it is."""
    crowd = Crowd()
    crowd.dispatcher.queue.overflowed = True
    crowd.hooks[number] = crowd.dispatcher.report
    crowd.tell()
    (warning,) = (record for record in caplog.records if record.levelname == "WARNING")
    assert f"(listener '{number}' has its turn" in warning.getMessage()

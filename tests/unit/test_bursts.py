"""Frames that arrive together: read together, queued together, delivered one after the other."""

from __future__ import annotations

import json
import logging
import random
import socket
import threading
import time
from typing import Any, Callable, Iterator, List, Tuple

import pytest
from listening import full_registry
from rows import each_row

from cometchat import CometChatException
from cometchat._protocol._delivery import Delivery, Self
from cometchat._protocol._frames import Heartbeat
from cometchat._runtime._registry import ListenerRegistry
from cometchat._runtime.account._redaction import Secrets
from cometchat._runtime.connection import FrameRouter, Generation
from cometchat._runtime.connection import _frame_router as frame_router
from cometchat._runtime.connection._counters import Counters
from cometchat._runtime.delivery import Dispatcher, EventQueue, Inbox
from cometchat._transport.net import BufferedStream
from cometchat._transport.websocket import WebSocketClientSocket
from cometchat._transport.websocket._socket import _FrameBuffer, whole_texts

DEADLINE = 10.0
LIMIT = 70_000


def frame(payload: bytes, opcode: int = 1, fin: bool = True) -> bytes:
    """Return a server's frame."""
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
    client = WebSocketClientSocket(proxies=None, ca_certs=None, max_message_size=LIMIT)
    client._stream = stream = BufferedStream(mine)
    client._frames = _FrameBuffer(stream, LIMIT)
    client._upgraded = True
    yield client, peer
    client.close()
    peer.close()


def soon() -> float:
    return time.monotonic() + DEADLINE


# The bytes.


def test_whole_texts_are_taken_in_a_row() -> None:
    """Texts with a length of one or two bytes are taken, also empty ones. The returned position is behind the last."""
    payloads = [b"", b"a", b"b" * 125, b"c" * 126, b"d" * 65_535]
    wire = b"xx" + b"".join(map(frame, payloads))
    assert whole_texts(wire, 2, LIMIT) == (payloads, len(wire))
    assert whole_texts(wire, 2, LIMIT, only_one=True)[0] == payloads[:1]


@each_row(
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
    """Control frames, fragments, masks, lengths of eight bytes or over the limit, and half frames are not touched."""
    before = frame(b"a") + frame(b"b")
    assert whole_texts(before + other, 0, 10) == ([b"a", b"b"], len(before))


# The socket.


def test_complete_frames_come_at_once(line: Tuple[WebSocketClientSocket, socket.socket]) -> None:
    """Complete frames are returned together, and the half one behind them once it is complete."""
    client, peer = line
    half = frame(b"late")
    peer.sendall(frame(b"one") + frame(b"two") + half[:3])
    assert client.receive(soon()) == [b"one", b"two"]
    peer.sendall(half[3:] + frame(b"last"))
    assert client.receive(soon()) == [b"late"]
    assert client.receive(soon()) == [b"last"]


def test_a_lone_frame_is_not_held_back(line: Tuple[WebSocketClientSocket, socket.socket]) -> None:
    """One frame is returned at once, long before the deadline. Without a frame, the result at the deadline is empty."""
    client, peer = line
    peer.sendall(frame(b"alone"))
    started = time.monotonic()
    assert client.receive(started + DEADLINE) == [b"alone"]
    assert time.monotonic() - started < DEADLINE / 2
    assert client.receive(time.monotonic() + 0.01) == []


def test_receive_takes_one_of_many(line: Tuple[WebSocketClientSocket, socket.socket]) -> None:
    """The answer to auth is read alone. Frames that arrived with it stay for the next look."""
    client, peer = line
    peer.sendall(frame(b"auth") + frame(b"one") + frame(b"two"))
    assert client.receive(soon(), only_one=True) == [b"auth"]
    assert client.receive(soon()) == [b"one", b"two"]


def test_a_text_within_a_fragmented_message_is_refused(line: Tuple[WebSocketClientSocket, socket.socket]) -> None:
    """The short way does not lead around the rules of fragments."""
    client, peer = line
    peer.sendall(frame(b"begun", fin=False) + frame(b"out of place"))
    with pytest.raises(CometChatException) as caught:
        client.receive(soon())
    assert caught.value.code == "ERR_PROTOCOL"


def test_a_message_over_the_limit_is_refused_after_those_before_it(
    line: Tuple[WebSocketClientSocket, socket.socket],
) -> None:
    """The messages before it are returned first."""
    client, peer = line
    client._frames._limit = client._max_message_size = 10
    peer.sendall(frame(b"fits") + frame(b"a" * 11))
    assert client.receive(soon()) == [b"fits"]
    with pytest.raises(CometChatException) as caught:
        client.receive(soon())
    assert caught.value.code == "ERR_PROTOCOL" and caught.value.details == "closed with code 1009"


def some_wire(chance: random.Random) -> Tuple[bytes, List[bytes]]:
    """Make a server's bytes, and the messages in them."""
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
def test_nothing_is_lost_or_doubled(line: Tuple[WebSocketClientSocket, socket.socket], seed: int) -> None:
    """For any frames in any pieces, the messages are the sent ones, in their order."""
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
        burst = client.receive(soon())
        assert burst, "not all of them came"
        heard += burst
    writing.join(DEADLINE)
    assert heard == messages


# The queue.


def owed(*names: str, size: int = 1) -> List[Tuple[Delivery, int]]:
    """Return deliveries, with the sizes of their frames."""
    return [(Delivery("user", "on_it", (name,)), size) for name in names]


def taken(events: EventQueue) -> List[Any]:
    """Take the waiting events, and return the methods, or the first arguments of ``on_it``."""
    found: List[Any] = []
    while len(events):
        found += [event.args[0] if event.method == "on_it" else event.method for event in events.take()]  # type: ignore
    return found


def test_events_are_queued_together() -> None:
    """Events keep their place between earlier and later events. If too many wait, only the newest stay."""
    events = EventQueue(full_registry(), 3, max_bytes=100)
    events.post("login", "on_first")
    events.post_ephemeral(owed("a", "b"), 0)
    events.post("login", "on_second")
    events.post_ephemeral(owed("c", "d"), 0)
    assert events.dropped == 1 and events.overflowed
    assert taken(events) == ["on_first", "b", "on_second", "c", "d"]
    events.post_ephemeral(owed("e", "f", size=60), 0)
    assert taken(events) == ["f"]
    events.post_ephemeral(owed("g", size=100), 0)
    assert taken(events) == ["g"]


def test_one_wake_up_for_all_of_them() -> None:
    """Events ring the bell once, and only for a waiting dispatcher."""
    events = EventQueue(full_registry(), 100)
    rings: List[None] = []

    class Bell:
        def put(self, item: None) -> None:
            rings.append(item)

    events._bell = Bell()  # type: ignore[assignment]
    events.post_ephemeral(owed("a", "b"), 0)
    assert rings == []
    assert taken(events) == ["a", "b"] and events.take() == ()
    events.post_ephemeral(owed("c", "d", "e"), 0)
    assert rings == [None] and len(events) == 3


def test_events_are_numbered_together() -> None:
    """Each has its own number, in their order. A listener that is added later does not get them."""
    registry = full_registry()
    events = EventQueue(registry, 100)
    events.post("login", "on_first")
    events.post_ephemeral(owed("a", "b"), 0)
    registry.add("user", "id", object())
    events.take()
    assert [(event.number, event.args) for event in events.take()] == [(2, ("a",)), (3, ("b",))]  # type: ignore
    assert registry.audience("user").since == 4


# From frames to events.


def from_user(kind: str, body: object, device: str = "other") -> bytes:
    envelope = {"type": kind, "sender": "u2", "receiver": "u1", "receiverType": "user", "deviceId": device}
    return json.dumps({**envelope, "body": body}).encode()


def presence(uid: str) -> bytes:
    return from_user("presence", {"action": "online", "user": {"uid": uid, "name": uid}})


def message(number: int, device: str = "other") -> bytes:
    data = {"text": f"text {number}"}
    return from_user(
        "message", {"id": str(number), "category": "message", "type": "text", "sender": "u2", "data": data}, device
    )


def moderated(number: int) -> bytes:
    body = {"id": str(number), "category": "message", "type": "text", "sender": "u2", "data": {"text": "a"}}
    return from_user("on_moderation_status_changed", {"message": body, **body})


PONG = b'{"action":"pong"}'


class Account:
    """The part of an account that the router and the inbox need."""

    def __init__(self) -> None:
        self.me = Self("mine", "u1")
        self.secrets = Secrets()

    def client_name(self) -> str:
        return "client 7, amy"


class Station:
    """A router between frames and a queue, without a reconnect."""

    def __init__(self, limit: int = 1000) -> None:
        registry = full_registry()
        self.events = EventQueue(registry, limit)
        self.account: Any = Account()
        self.counters = Counters()
        self.now = 0.0
        self.relayed: List[bytes] = []

        self.inbox = Inbox(
            registry,
            self.events,
            self.account,
            self.account,
            enabled=False,
            name="test-missed",
        )
        self.generation = Generation(self.events.advance(), registry.lock)
        sharing: Any = type("Sharing", (), {"relay": lambda _, data: self.relayed.append(data)})()
        self.router = FrameRouter(self.account, self.events, self.inbox, self.counters, sharing, lambda: self.now)

    def take(self, *frames: bytes) -> None:
        self.router.take(self.generation, frames)

    def events_in_queue(self) -> List[Tuple[str, Any]]:
        """Take all events. Returns each method, with its uid or text."""
        found: List[Tuple[str, Any]] = []
        while len(self.events):
            for event in self.events.take():
                first = event.args[0]  # type: ignore[union-attr]
                found.append((event.method, getattr(first, "text", getattr(first, "uid", None))))  # type: ignore
        return found

    def stats(self) -> Any:
        return self.counters.stats(messages_fetched=0, events_queued=0, events_dropped=0)


@pytest.fixture
def station() -> Station:
    return Station()


def test_frames_become_events_in_their_order(station: Station) -> None:
    """Batches of ephemeral events come before the messages that follow them, and after the messages before them."""
    station.take(presence("a"), presence("b"), message(1), message(2), presence("c"), message(3), presence("d"))
    assert station.events_in_queue() == [
        ("on_user_online", "a"),
        ("on_user_online", "b"),
        ("on_text_message_received", "text 1"),
        ("on_text_message_received", "text 2"),
        ("on_user_online", "c"),
        ("on_text_message_received", "text 3"),
        ("on_user_online", "d"),
    ]


def test_an_event_that_is_stored_is_not_dropped() -> None:
    """The event is not a message, but of a kind that the service stores: it keeps its place, and survives a flood."""
    small = Station(limit=3)
    small.take(presence("a"), moderated(1), *[presence("b")] * 10, moderated(2))
    assert [method for method, _ in small.events_in_queue()] == [
        "on_message_moderated",
        *["on_user_online"] * 3,
        "on_message_moderated",
    ]
    assert small.events.dropped == 8


def test_one_batch_for_frames_that_come_together(station: Station) -> None:
    """A burst of typing and presence is posted once. A message or a pong ends a batch."""
    batches: List[int] = []  # numbers of events
    post = station.events.post_ephemeral

    def note(events: Any, generation: int) -> bool:
        batches.append(len(events))
        return post(events, generation)

    station.events.post_ephemeral = note  # type: ignore[method-assign]
    station.take(*[presence("a")] * 4, b"not JSON", presence("a"), message(1))
    station.take(*[presence("a")] * 2, PONG, presence("a"))
    station.take(PONG)
    assert batches == [5, 2, 1]


def test_echoes_of_this_connection_are_not_delivered(station: Station) -> None:
    """A message that this client has sent is known, and not delivered. Its typing is dropped."""
    typing = from_user("typing_indicator", {"action": "started", "user": {"uid": "u1"}}, "mine")
    station.take(message(1, "mine"), typing, message(1), message(2))
    assert station.events_in_queue() == [("on_text_message_received", "text 2")]


def test_an_old_generation_is_refused(station: Station) -> None:
    """Nothing of it is queued."""
    station.events.advance()
    station.take(presence("a"), message(1))
    station.take(presence("a"))
    assert len(station.events) == 0


def test_frames_are_counted_and_relayed(station: Station) -> None:
    """All are counted. Events go unchanged to the processes that share the connection."""
    frames = (presence("a"), PONG, b"not JSON", message(1), b"[]")
    station.take(*frames)
    stats = station.stats()
    assert (stats.frames_received, stats.bytes_received) == (5, sum(map(len, frames)))
    assert stats.frames_ignored == 2
    assert station.relayed == [frames[0], frames[3]]


def test_a_pong_is_measured(station: Station) -> None:
    """The time is from the ping to the reading of the frames. A pong without a ping has no time."""
    station.take(PONG)
    assert station.stats().pings == 0

    station.generation.heartbeat = heartbeat = Heartbeat(15.0, 3.0, 0.0)
    heartbeat.sent(1.5)
    station.now = 2.0
    station.take(PONG)
    assert (station.stats().pings, station.stats().ping_round_trip) == (1, 0.5)


def test_the_events_before_a_pong_are_queued_when_ping_returns(station: Station) -> None:
    """They may arrive together with it."""
    queued: List[int] = []

    class Beating:
        def pong(self, now: float) -> None:
            queued.append(len(station.events))

    station.generation.heartbeat = Beating()  # type: ignore[assignment]
    station.take(presence("a"), presence("b"), PONG, presence("c"))
    assert queued == [2]


@pytest.mark.parametrize("code, expected", [("401", "WS_AUTH_FAIL"), ("503", "WS_CONNECTION_FAIL")])
def test_frames_before_a_refusal_are_delivered(station: Station, code: str, expected: str) -> None:
    """The server revokes its acceptance in the middle of a burst. Frames behind that are not read."""
    station.account.secrets.add("header.payload.signature")
    refusal = {"type": "auth", "body": {"code": code, "status": "ERROR header.payload.signature"}}
    with pytest.raises(CometChatException) as caught:
        station.take(presence("a"), json.dumps(refusal).encode(), presence("b"))
    assert caught.value.code == expected
    assert code in str(caught.value.details) and "payload" not in str(caught.value.details)
    assert station.events_in_queue() == [("on_user_online", "a")]


def test_an_answer_that_accepts_again_is_nothing(station: Station) -> None:
    """The connection stays."""
    station.take(b'{"type":"auth","body":{"code":"200","status":"OK"}}', presence("a"))
    assert station.events_in_queue() == [("on_user_online", "a")]


def test_a_frame_that_can_not_be_delivered_does_no_harm(
    station: Station, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A mistake in reading one is logged with its type and counted. The others are delivered."""
    right = frame_router.deliver

    def wrong(event: Any, me: Self) -> Any:
        if event.body["user"]["uid"] == "b":
            raise KeyError("a mistake")
        return right(event, me)

    monkeypatch.setattr(frame_router, "deliver", wrong)
    station.take(presence("a"), presence("b"), presence("c"))
    assert station.events_in_queue() == [("on_user_online", "a"), ("on_user_online", "c")]
    (record,) = caplog.records
    assert record.exc_info is not None and "presence" in record.getMessage() and "client 7" in record.getMessage()
    assert station.stats().frames_ignored == 1


def test_the_log_shows_frames_without_secrets(station: Station, caplog: pytest.LogCaptureFixture) -> None:
    """A long frame is cut, but not in the middle of a secret, since a piece of it would stay."""
    secret = "s3cret-" * 40
    station.account.secrets.add(secret)
    caplog.set_level(logging.DEBUG, "cometchat.frames")
    for before in range(1700, 2000, 20):
        station.take(from_user("presence", {"filler": "a" * before, "jwt": secret, "more": "b" * 5000}))
    station.take(from_user("presence", {"jwt": secret}))
    assert caplog.records and "s3cret" not in caplog.text
    assert all(len(record.getMessage()) < 2100 for record in caplog.records)
    assert "characters" in caplog.records[0].getMessage()


def test_nothing_is_written_out_where_it_is_not_logged(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a log of the level DEBUG, no frame is searched for secrets."""
    logging.getLogger("cometchat.frames").setLevel(logging.INFO)
    monkeypatch.setattr(station.account.secrets, "scrub", lambda text: pytest.fail("a frame was scrubbed"))
    try:
        station.take(presence("a"), b"not JSON")
    finally:
        logging.getLogger("cometchat.frames").setLevel(logging.NOTSET)


# Many listeners.


class Crowd:
    """Twenty listeners that record their calls. ``hooks[number]`` is called from inside."""

    def __init__(self) -> None:
        self.registry = ListenerRegistry()
        self.events = EventQueue(self.registry, 100)
        self.dispatcher = Dispatcher(self.registry, self.events, "cometchat-dispatcher-test", lambda: "client 7")
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

    def disconnect(self) -> None:
        self.events.advance()
        self.events.discard_old()

    def post(self) -> None:
        self.events.post_ephemeral(owed("it"), self.events.generation)

    def tell(self, in_any_case: bool = False) -> List[int]:
        """Deliver an event on this thread. Returns the listeners that got it."""
        self.heard.clear()
        if in_any_case:
            self.events.post("user", "on_it", "it")
        else:
            self.post()
        self.dispatcher.close()
        self.dispatcher._run()
        return self.heard


def failed(caplog: pytest.LogCaptureFixture) -> List[str]:
    """Return the ids of the listeners whose errors were logged."""
    assert all(record.exc_info for record in caplog.records)
    return [record.args[2] for record in caplog.records]  # type: ignore[index,misc]


def test_all_of_many_listeners_are_called() -> None:
    """Each gets the event once, in the order of their registration."""
    assert Crowd().tell() == list(range(20))


def test_many_and_some_raise(caplog: pytest.LogCaptureFixture) -> None:
    """Those that raise are logged by their ids. All others still get the event, also the last one."""
    crowd = Crowd()

    def fail() -> None:
        raise KeyError("mine")

    def end() -> None:
        raise StopIteration

    def leave() -> None:
        raise SystemExit

    crowd.hooks = {0: fail, 5: end, 6: fail, 12: leave, 19: fail}
    assert crowd.tell() == list(range(20))
    assert failed(caplog) == ["0", "5", "6", "12", "19"]


def test_many_and_one_lacks_the_method(caplog: pytest.LogCaptureFixture) -> None:
    """The missing method is logged, and the others get the event."""
    crowd = Crowd()
    crowd.registry.add("user", "3", object())
    caplog.clear()
    assert crowd.tell() == [number for number in range(20) if number != 3]
    assert failed(caplog) == ["3"]


def test_many_and_one_leaves() -> None:
    """A listener that is removed inside another's callback gets nothing more.

    One that is added does not get this event.
    """
    crowd = Crowd()

    def change() -> None:
        crowd.registry.remove("user", "9")
        crowd.add(99)

    crowd.hooks[4] = change
    assert crowd.tell() == [number for number in range(20) if number != 9]


def test_many_and_a_disconnect() -> None:
    """After a disconnect inside a callback, the next listener does not get the old connection's event."""
    crowd = Crowd()
    crowd.hooks[4] = crowd.disconnect
    assert crowd.tell() == list(range(5))
    crowd = Crowd()
    crowd.hooks[4] = crowd.disconnect
    assert crowd.tell(in_any_case=True) == list(range(20))


def test_many_and_a_disconnect_after_the_last() -> None:
    """The disconnect affects no call, and the next event is delivered to all."""
    crowd = Crowd()
    crowd.hooks[19] = crowd.disconnect
    assert crowd.tell() == list(range(20))
    crowd.hooks.clear()
    assert crowd.tell() == list(range(20))


def test_many_and_one_is_late() -> None:
    """A listener that was added after the event was queued does not get it."""
    crowd = Crowd()
    crowd.post()
    crowd.add(50)
    assert crowd.tell() == [*range(20), *range(20), 50]


@pytest.mark.parametrize("number", [0, 7, 19])
def test_a_slow_listener_is_named(number: int, caplog: pytest.LogCaptureFixture) -> None:
    """The warning about too many events names the listener that is in a callback."""
    crowd = Crowd()
    crowd.events.overflowed = True
    crowd.hooks[number] = crowd.dispatcher.report_delay
    crowd.tell()
    (warning,) = (record for record in caplog.records if record.levelname == "WARNING")
    assert f"(listener '{number}' has been in a callback" in warning.getMessage()

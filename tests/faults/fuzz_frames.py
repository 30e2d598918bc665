"""A fuzz target: bytes as a frame of an open connection, through decoder, models and inbox to the listeners."""

from __future__ import annotations

from typing import Any, List

from cometchat import AppSettings, CometChatException, MemorySessionStore
from cometchat._protocol._frames import EVENT_KINDS
from cometchat._protocol._position import REMEMBERED
from cometchat._runtime._registry import ListenerRegistry
from cometchat._runtime.account._account import Account
from cometchat._runtime.account._session import Session
from cometchat._runtime.connection import FrameRouter, Generation
from cometchat._runtime.connection._counters import Counters
from cometchat._runtime.delivery import EventQueue, Inbox
from cometchat._runtime.delivery._history import AccountHistory
from cometchat._runtime.delivery._queue import Event

from .fuzz_values import Draw, LoudLog, as_json, check

LONGEST_ID = 300

TYPES = sorted(EVENT_KINDS) + ["auth", "other"]

ENVELOPE = ["sender", "receiver", "receiverType", "deviceId", "appId", "messageSender"]


class House:
    """The parts between the socket and the listeners."""

    def __init__(self) -> None:
        settings = AppSettings(region="us", fetch_missed_messages=False)
        nothing: Any = None
        registry = ListenerRegistry()
        self.events = EventQueue(registry, settings.max_queued_events)
        self.account = Account("app", settings, nothing, MemorySessionStore(), lock=registry.lock, number=1)
        self.account.session = Session("app", "cometchat-uid-1", "token", "device", {})
        self.generation = Generation(self.events.advance(), registry.lock)
        self.inbox = Inbox(
            registry,
            self.events,
            self.account,
            AccountHistory(self.account),
            enabled=False,
            name="cometchat-missed-fuzz",
        )
        self.router = FrameRouter(self.account, self.events, self.inbox, Counters(), None)
        self.told: List[Event] = []

    def take(self, frame: bytes) -> List[Event]:
        """Return the callbacks for a frame."""
        try:
            self.router.take(self.generation, [frame])
        except CometChatException as error:
            self.account.secrets.scrub_error(error)  # like the connection thread
            check(error)
            assert error.code in ("WS_AUTH_FAIL", "WS_CONNECTION_FAIL")
        self.told = []
        while True:
            taken = self.events.take()
            if not taken:
                break
            self.told += [event for event in taken if isinstance(event, Event)]
        for delivery in self.told:
            try:
                repr(delivery)
            except RecursionError:
                continue  # at the limit of the depth that can be read
        newest = next(reversed(self.inbox._position.ids), "")
        assert len(newest) <= LONGEST_ID, "a long id is kept"
        assert len(self.inbox._position.ids) <= REMEMBERED
        return self.told


def frame_of(data: bytes) -> bytes:
    """Return a frame: the bytes as they are, or JSON made of them."""
    draw = Draw(data)
    kind = draw.byte()
    if kind < 64:
        return draw.rest()
    frame = {"type": draw.pick(TYPES), "body": draw.object(_KEYS)}
    frame.update(draw.object(ENVELOPE, 0))
    if kind > 240:
        frame["body"] = draw.value()
    return as_json(frame, twice=kind % 2 == 1)


def one_input(data: bytes) -> None:
    """Check any frame: only refusals are raised, no mistake is logged, and nothing long is kept."""
    with LoudLog() as log:
        _house.take(frame_of(data))
        log.check()


_KEYS = ["id", "category", "type", "action", "data", "user", "sender", "messageId", "metadata", "reaction", "code"]

_house = House()

#: Inputs to begin with.
SEEDS = [
    b"\x00" + b'{"type":"message","body":{"id":"5","category":"message","type":"text","data":{"text":"x"}}}',
    b"\x00" + b'{"type":"presence","body":{"action":"online","user":{"uid":"u"},"timestamp":1}}',
    b"\x00" + b'{"type":"auth","body":{"code":"401","status":"ERROR"}}',
    b"\x00" + b'{"type":"message","body":{"category":"action","type":"message","data":{"action":"edited",'
    b'"entities":{"on":{"entity":{"id":1}}}}}}',
    bytes(range(64, 255)),
    bytes(range(255, 0, -1)),
]

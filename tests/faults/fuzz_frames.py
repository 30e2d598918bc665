"""A fuzz target: bytes as a frame of a connection that is up, through decoder, models and inbox to the listeners."""

from __future__ import annotations

from typing import Any, Callable, List, Sequence, Tuple

from cometchat import AppSettings, CometChatException, MemorySessionStore
from cometchat._protocol import EVENT_KINDS, Delivery, Self
from cometchat._runtime.account import Account
from cometchat._runtime.inbox import REMEMBERED, Inbox
from cometchat._runtime.link import Link
from cometchat._runtime.run import Run

from .fuzz_values import Draw, LoudLog, as_json, check

LONGEST_ID = 300

TYPES = sorted(EVENT_KINDS) + ["auth", "other"]

ENVELOPE = ["sender", "receiver", "receiverType", "deviceId", "appId", "messageSender"]


class House:
    """The parts between the socket and the listeners."""

    def __init__(self) -> None:
        settings = AppSettings(region="us", fetch_missed_messages=False)
        nothing: Any = None
        self.account = account = Account("app", settings, nothing, MemorySessionStore())
        me = Self(account.resource, "cometchat-uid-1")
        self.run = Run()
        self.told: List[Delivery] = []
        self.claims: List[Callable[[], bool]] = []
        self.inbox = Inbox(
            account, self.post, wanted=lambda: True, me=lambda: me, enabled=False, name="cometchat-missed-fuzz"
        )
        self.link = Link(account, settings, nothing, self.post_events, self.inbox.take)

    def post(self, run: Run, delivery: Delivery, *more: Any) -> None:
        """In the dispatcher's place."""
        self.told.append(delivery)
        self.claims += [claim for claim in more if callable(claim)]

    def post_events(self, run: Run, owed: Sequence[Tuple[Delivery, int]]) -> None:
        """The same for events."""
        self.told += [delivery for delivery, _ in owed]

    def take(self, frame: bytes) -> List[Delivery]:
        """What the listeners are told of a frame."""
        self.told, self.claims = [], []
        try:
            self.link.take(self.run, [frame])
        except CometChatException as error:
            self.account.scrub_error(error)  # as the connection thread does
            check(error)
            assert error.code in ("WS_AUTH_FAIL", "WS_CONNECTION_FAIL")
        assert all([claim() for claim in self.claims])
        for delivery in self.told:
            try:
                repr(delivery)
            except RecursionError:
                continue  # as deep as could just be read
        newest = next(reversed(self.inbox._seen), "")
        assert len(newest) <= LONGEST_ID, "a long id is kept"
        assert len(self.inbox._seen) <= REMEMBERED
        return self.told


def frame_of(data: bytes) -> bytes:
    """A frame: the bytes as they are, or JSON made out of them."""
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
    """Whatever comes: nothing is raised but a refusal, nothing is logged as a mistake, nothing long is kept."""
    with LoudLog() as log:
        _house.take(frame_of(data))
        log.check()


_KEYS = ["id", "category", "type", "action", "data", "user", "sender", "messageId", "metadata", "reaction", "code"]

_house = House()

#: To begin with.
SEEDS = [
    b"\x00" + b'{"type":"message","body":{"id":"5","category":"message","type":"text","data":{"text":"x"}}}',
    b"\x00" + b'{"type":"presence","body":{"action":"online","user":{"uid":"u"},"timestamp":1}}',
    b"\x00" + b'{"type":"auth","body":{"code":"401","status":"ERROR"}}',
    b"\x00" + b'{"type":"message","body":{"category":"action","type":"message","data":{"action":"edited",'
    b'"entities":{"on":{"entity":{"id":1}}}}}}',
    bytes(range(64, 255)),
    bytes(range(255, 0, -1)),
]

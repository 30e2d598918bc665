"""The state of a catch-up, the live messages that wait for it, and the order of ids."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any, Callable, Deque, Dict, Iterable, Optional, Protocol, Tuple

from ..._protocol import ErrorKind, Self, id_of, is_changed, kind_of, older, rank
from ...exceptions import CometChatException
from .._threads import ServiceThread, Wakeup
from ._queue import Stored

#: Number of messages per request: the vendor's documented size of a page.
PAGE = 100

#: Maximum number of live messages that wait for a catch-up, and their maximum size in bytes. The service stores the
#: others, and the catch-up asks for them too.
HELD = 1000
HELD_BYTES = 32 * 1024 * 1024

#: Number of ids before the newest known one at which a catch-up starts. When the connection broke, a message with a
#: lower id may have been stored but not yet pushed.
OVERLAP = 50


class Receiver(Protocol):
    """The part of the account that the inbox uses: the receiver of the events, the rate limit and the login."""

    @property
    def me(self) -> Self:
        """The receiver of the events. Messages that this connection sent are not delivered."""

    @property
    def rate_limit_remaining(self) -> Optional[int]:
        """The number of requests that the service accepts in the current minute; None if unknown."""

    def renew(self) -> None:
        """Renew a refused login."""


class Held:
    """Live messages that wait for a catch-up.

    :ivar skipped: number of messages without room since the last request.
    """

    def __init__(self) -> None:
        self.messages: Deque[Tuple[Dict[str, Any], int]] = deque()
        self.skipped = 0
        self._bytes = 0

    def add(self, body: Dict[str, Any], size: int) -> bool:
        """Keep a message. Returns False without room."""
        if len(self.messages) >= HELD or self._bytes + size > HELD_BYTES:
            return False
        self.messages.append((body, size))
        self._bytes += size
        return True

    def keep(self, wanted: Callable[[Dict[str, Any]], bool]) -> None:
        """Drop the messages that are not wanted."""
        self.messages = deque(entry for entry in self.messages if wanted(entry[0]))
        self._bytes = sum(size for _, size in self.messages)


class Changes(OrderedDict[str, Dict[str, Any]]):
    """The newest change of each older message, by its id, oldest first. Without the content, which is fetched later."""

    def keep(self, body: Dict[str, Any]) -> None:
        """Keep a change, which is newer than all kept ones."""
        message_id = id_of(body)
        if message_id is not None:
            self[message_id] = {key: value for key, value in body.items() if key != "data"}
            self.move_to_end(message_id)

    def keep_older(self, bodies: Iterable[Dict[str, Any]]) -> None:
        """Keep changes that are older than all kept ones."""
        newer_ones = list(self.values())
        self.clear()
        for body in [*bodies, *newer_ones]:
            self.keep(body)


class CatchUp:
    """One catch-up, with its thread.

    :ivar after: the newest known id; None if no id is known, so that only the newest id is requested.
    :ivar limit: number of messages per request.
    :ivar room: set when there may be room for a page, and when the catch-up is stopped.
    :ivar began: monotonic seconds.
    :ivar continues: whether the connection has broken since, so that messages after the newest id are requested too.
    :ivar thread: None until it is started.
    """

    def __init__(self, generation: int, after: Optional[str], began: float) -> None:
        self.generation = generation
        self.after = after
        self.began = began
        self.limit = PAGE
        self.stopped = Wakeup()
        self.room = Wakeup()
        self.released = self.renewed = self.continues = False
        self.thread: Optional[ServiceThread] = None

    def asks_for(self, generation: int) -> bool:
        """Return True if its thread works for a generation. A call that failed may have left it without a thread."""
        return self.generation == generation and self.thread is not None and self.thread.alive

    def stop(self) -> None:
        """End the catch-up's waits."""
        self.stopped.set()
        self.room.set()


def own_id(body: Dict[str, Any]) -> Optional[str]:
    """Return a live message's id; None if it changes an older message and has that message's id."""
    return None if is_changed(body) else id_of(body)


def changed_id(body: Dict[str, Any]) -> Optional[str]:
    """Return the id of the older message that a live message changes; None for a new message."""
    return id_of(body) if own_id(body) is None else None


def is_older(message_id: Optional[str], floor: Optional[str]) -> bool:
    return message_id is not None and floor is not None and 0 <= rank(message_id) <= rank(floor)


def overlapped(after: str, floor: str) -> str:
    """Return the id to start a request from: a little before the newest known id, but at least the first one."""
    start = rank(after)
    return after if start < 0 else str(max(start - OVERLAP, min(rank(floor), start), 0))


def is_final(error: CometChatException) -> bool:
    """Return True if another request would get the same answer."""
    return kind_of(error) not in (ErrorKind.TEMPORARY, ErrorKind.RATE_LIMIT, ErrorKind.OPERATOR)


def asked_from(stored: Stored) -> Optional[str]:
    """Return the id to request from so that a message comes again, even if newer messages are known."""
    number_of = rank(stored.message_id or "")
    return stored.known_before if number_of < 1 else older(stored.known_before, str(number_of - 1))

"""Taps: parts that get each event of the service before it is queued for the listeners.

A listener that blocks delays the other listeners. It does not delay a tap.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Any, Callable, Optional, Protocol, Tuple

from ..._fields import number
from ..._log import ClientLog
from ..._protocol import EVENT_KINDS, EventKind, Self, ServerEvent, deliver, deliver_message, id_of

logger = logging.getLogger("cometchat.frames")


class Received:
    """An event of the service: a frame of the connection, or a message of the history.

    :ivar size: size of its frame, in bytes.
    :ivar is_stored: whether the service stores it, or it changes stored data.
    """

    __slots__ = ("_event", "_me", "_data", "_fetched", "size", "is_stored")

    def __init__(self, event: ServerEvent, me: Self, data: bytes, size: int, fetched: bool = False) -> None:
        self._event = event
        self._me = me
        self._data = data
        self._fetched = fetched
        self.size = size
        self.is_stored = EVENT_KINDS.get(event.type) is EventKind.STORED

    @property
    def uid(self) -> Optional[str]:
        """The user who gets the event."""
        return self._me.uid

    @property
    def key(self) -> Optional[str]:
        """The key that identifies the event in every process that receives it; None without such a key."""
        if not self.is_stored:
            return None
        body = self._event.body
        message_id = id_of(body) if self._event.type == "message" else None
        if message_id is None:
            return hashlib.blake2b(self._data, digest_size=16).hexdigest()
        changed = None if self._fetched else number(body, "deletedAt") or number(body, "editedAt")
        return f"{message_id}:{changed}" if changed else message_id

    @property
    def message_id(self) -> Optional[str]:
        """The message's id; None if the event is not a message, or changes an older message."""
        body = self._event.body
        if self._event.type != "message":
            return None
        if not self._fetched and (number(body, "editedAt") or number(body, "deletedAt")):
            return None
        return id_of(body)

    @property
    def sent_at(self) -> Optional[float]:
        """The time at which the service got the message, in Unix seconds; None if unknown."""
        return number(self._event.body, "sentAt")

    def call(self) -> Optional[Tuple[str, str, Tuple[Any, ...]]]:
        """Return the kind of listeners, the method and its arguments; None if this connection sent the event."""
        if self._fetched:
            delivery = deliver_message(self._event.body, self._me, fetched=True)
        else:
            delivery = deliver(self._event, self._me)
        return None if delivery is None else delivery[:3]


class Tap(Protocol):
    """Gets the events of one client. Each method returns at once."""

    def opened(self) -> None:
        """Note that a connection is up. Events may have been missed before it. On the connection thread."""

    def received(self, received: Received) -> None:
        """Receive an event, in the order of arrival. On the connection thread."""


class Taps:
    """One client's taps. Each change replaces the whole tuple, so that reading takes no lock."""

    def __init__(self, client_name: Callable[[], str]) -> None:
        self._taps: Tuple[Tap, ...] = ()
        self._log = ClientLog(logger, client_name)

    def __bool__(self) -> bool:
        return bool(self._taps)

    def add(self, tap: Tap) -> None:
        """Start to hand the events to a tap."""
        self._taps += (tap,)

    def remove(self, tap: Tap) -> None:
        """Stop handing events to a tap. No-op for an unknown tap."""
        self._taps = tuple(each for each in self._taps if each is not tap)

    def opened(self) -> None:
        """Tell all taps that a connection is up."""
        for tap in self._taps:
            self._try(tap.opened)

    def received(self, event: ServerEvent, me: Self, data: bytes) -> None:
        """Hand an event to all taps."""
        received = Received(event, me, data, len(data))
        for tap in self._taps:
            self._try(tap.received, received)

    def _try(self, call: Callable[..., None], *args: object) -> None:
        try:
            call(*args)
        except Exception:  # a tap must not end the connection
            self._log.exception("A tap raised.")

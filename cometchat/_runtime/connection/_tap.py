"""Taps: they get each event of a client before it waits for the listeners."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any, Optional, Protocol, Tuple

from ..._fields import moment
from ..._protocol._delivery import Self, deliver, deliver_message, is_changed
from ..._protocol._frames import EVENT_KINDS, EventKind, ServerEvent, id_of


class Received:
    """An event of the service: a frame of the connection, or a message of the history.

    :ivar name: identifies this object among those of all processes. All taps of a client get the same object. Empty
        for a stored event, which has a key.
    :ivar size: size of its frame, in bytes.
    :ivar is_stored: whether the service stores it, or it changes stored data.
    """

    __slots__ = ("_event", "_me", "_data", "_fetched", "name", "size", "is_stored")

    def __init__(self, event: ServerEvent, me: Self, data: bytes, size: int, fetched: bool = False) -> None:
        self._event = event
        self._me = me
        self._data = data
        self._fetched = fetched
        self.size = size
        self.is_stored = EVENT_KINDS.get(event.type) is EventKind.STORED
        self.name = "" if self.is_stored else uuid.uuid4().hex

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
        changed = None if self._fetched else moment(body, "deletedAt") or moment(body, "editedAt")
        return f"{message_id}:{changed}" if changed else message_id

    @property
    def message_id(self) -> Optional[str]:
        """The message's id; None if the event is not a message, or changes an older message."""
        body = self._event.body
        if self._event.type != "message" or (not self._fetched and is_changed(body)):
            return None
        return id_of(body)

    @property
    def sent_at(self) -> Optional[float]:
        """The time at which the service got the message, in Unix seconds; None if unknown."""
        return moment(self._event.body, "sentAt")

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
        """Receive an event, in the order of arrival. On the router's thread."""

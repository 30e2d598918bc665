"""The messages that wait for a catch-up. Live ones are delivered after the missed ones, and changes without room last.

=============  ===============================================  ======================================================
state          a new live message                               what follows
=============  ===============================================  ======================================================
not holding    is queued at once                                :meth:`Waiting.hold`
holding        waits in ``live``, or is skipped without room    :meth:`Waiting.release`, or :meth:`Waiting.discard`
=============  ===============================================  ======================================================

In both states ``changes`` may contain changes that had no room.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Container, Dict, Iterable, List, NamedTuple, Optional

from ..._protocol._delivery import Delivery
from ..._protocol._frames import id_of

#: Maximum number of live messages that wait for a catch-up, and their maximum size in bytes. The service stores the
#: others, and the catch-up asks for them too.
HELD = 1000
HELD_BYTES = 32 * 1024 * 1024


class Message(NamedTuple):
    """A message for the inbox.

    :ivar id: None if a live message changes an older message, and has that message's id.
    :ivar body: as it arrived.
    :ivar size: in bytes.
    :ivar delivery: None if no listener is called.
    """

    id: Optional[str]
    body: Dict[str, Any]
    size: int
    delivery: Optional[Delivery]

    @property
    def changed_id(self) -> Optional[str]:
        """The id of the older message that a live message changes; None for a new message."""
        return id_of(self.body) if self.id is None else None


class Waiting:
    """One inbox's waiting messages. The inbox calls it under its lock.

    :ivar holding: whether live messages wait.
    :ivar live: the live messages that wait, in the order of their arrival.
    :ivar skipped: number of live messages without room since the last request.
    :ivar changes: the newest change of each older message that had no room, by its id, oldest first. Without the
        content, which is fetched later. They are newer than ``live``.
    """

    def __init__(self) -> None:
        self.holding = False
        self.live: List[Message] = []
        self.skipped = 0
        self.changes: OrderedDict[str, Dict[str, Any]] = OrderedDict()
        self._bytes = 0

    def hold(self) -> None:
        """Let live messages wait from now on. No-op if they do."""
        self.holding = True

    def add(self, message: Message) -> None:
        """Keep a live message. A change without room loses its content, and another message is skipped."""
        is_change = message.changed_id is not None
        if is_change and self.changes:
            self.keep_change(message.body)  # after the kept ones
        elif len(self.live) < HELD and self._bytes + message.size <= HELD_BYTES:
            self.live.append(message)
            self._bytes += message.size
        elif is_change:
            self.keep_change(message.body)
        else:
            self.skipped += 1

    def keep_change(self, body: Dict[str, Any]) -> None:
        """Keep a change without room, which is newer than all kept ones."""
        message_id = id_of(body)
        if message_id is not None:
            self.changes[message_id] = {key: value for key, value in body.items() if key != "data"}
            self.changes.move_to_end(message_id)

    def keep_older(self, bodies: Iterable[Dict[str, Any]]) -> None:
        """Keep changes without room that are older than all kept ones."""
        newer_ones, self.changes = self.changes, OrderedDict()
        for body in [*bodies, *newer_ones.values()]:
            self.keep_change(body)

    def remove(self, ids: Container[Optional[str]]) -> None:
        """Remove the live messages with these ids, which are queued."""
        self._keep_live(message for message in self.live if message.id not in ids)

    def release(self) -> List[Message]:
        """End the wait. Returns the live messages."""
        released = self.live
        self.holding, self.skipped = False, 0
        self._keep_live(())
        return released

    def discard(self, older: Iterable[Dict[str, Any]] = ()) -> None:
        """End the wait. The messages are fetched later, and the changes are kept.

        :param older: bodies of changes that came before.
        """
        self.keep_older([*older, *(message.body for message in self.release() if message.id is None)])

    def clear(self) -> None:
        """Forget everything."""
        self.release()
        self.changes.clear()

    def _keep_live(self, messages: Iterable[Message]) -> None:
        self.live = list(messages)
        self._bytes = sum(message.size for message in self.live)

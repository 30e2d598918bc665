"""The position of an inbox in its user's messages: which ids are queued, and after which one messages may be missing.

Ids are numbers that grow with time. So a position is a few ids, in this order::

    older messages    |  all queued  |  some may be missing  |  not yet arrived
                floor ^    gap.start ^                 known ^

============  =====  =====  ====  ===================================================================================
state         floor  known  gap   meaning
============  =====  =====  ====  ===================================================================================
unknown       None   None   None  No message counts as missed: there is no listener, or the newest id is not known yet.
own           None   an id  None  The newest id is not known yet, but that of a message is.
refused       None   ""     None  The service does not tell the newest id, so only live messages are delivered.
complete      an id  an id  None  Every message from ``floor`` to ``known`` is queued.
gap           an id  an id  Gap   A catch-up must fetch the messages after ``gap.start``.
============  =====  =====  ====  ===================================================================================

A message without a number as its id changes no position, except that it is known until a number is.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Iterable, Optional

from ._frames import newer, older, rank

#: Maximum number of remembered ids. They prevent that a message is delivered twice.
REMEMBERED = 20_000

#: Number of ids before the newest known one at which a catch-up starts. When the connection broke, a message with a
#: lower id may have been stored but not yet pushed.
OVERLAP = 50


class Gap:
    """Messages that may be missing.

    :ivar start: every message up to this id is queued. It never goes back.
    :ivar after: the id after which the next page begins. At first it may be a little before ``start``.
    """

    __slots__ = ("start", "after")

    def __init__(self, start: str, after: str) -> None:
        self.start: str = start
        self.after: str = after

    def advance(self, message_id: Optional[str]) -> None:
        """Note that the next message of a page is queued."""
        self.after = newer(message_id, self.after) or self.after
        self.start = newer(self.after, self.start) or self.start


class Position:
    """One inbox's position. The inbox calls it under its lock.

    :ivar floor: the newest id when this user's first listener was added. Older messages were not missed.
    :ivar known: the newest id that was queued, or that the service had when the first listener was added. ``""`` if the
        service does not tell it.
    :ivar gap: the messages to fetch, also while no catch-up runs.
    :ivar ids: the ids of messages that were queued or sent, oldest first.
    """

    __slots__ = ("floor", "known", "gap", "ids")

    def __init__(self) -> None:
        self.floor: Optional[str] = None
        self.known: Optional[str] = None
        self.gap: Optional[Gap] = None
        self.ids: OrderedDict[str, None] = OrderedDict()

    def reset(self) -> None:
        """Forget the position: without a listener, no message is missed. The remembered ids stay."""
        self.floor = self.known = self.gap = None

    # --- the beginning

    def begin(self, newest: str) -> None:
        """Begin after the newest id at the service, unless a live message was earlier."""
        # Not newer(): live messages may be older than the missed ones.
        self.known = newest if self.known is None else self.known
        self.floor = older(newest, self.known) if self.floor is None else self.floor

    def begin_live(self, message_id: Optional[str]) -> None:
        """Begin at a live message. No-op if an id is known."""
        if self.known is None and rank(message_id or "") >= 0:
            self.floor = message_id  # nothing before it was missed

    def begin_without_id(self) -> None:
        """Begin although the service does not tell the newest id. The next connection asks again."""
        self.known = ""

    def resume(self, position: str, floor: Optional[str], handled: Iterable[str]) -> Gap:
        """Continue after the messages that another process has handled, and return the gap from there.

        :param handled: ids of messages that must not be delivered again.
        """
        self.ids = OrderedDict.fromkeys(handled)
        self.floor, self.known = floor or position, position
        self.gap = Gap(position, overlapped(position, self.floor))
        return self.gap

    # --- messages

    def add(self, message_id: Optional[str]) -> None:
        """Note that a message is queued, or needs no queue because this client has sent it."""
        if message_id is not None:
            self.remember(message_id)
            self.known = newer(message_id, self.known)

    def remember(self, message_id: str) -> None:
        """Remember a message without moving the position: those before it may not have arrived."""
        ids = self.ids
        ids[message_id] = None
        if len(ids) > REMEMBERED:
            ids.popitem(last=False)

    def remove(self, message_id: str, known_before: Optional[str]) -> None:
        """Note that a queued message was discarded.

        :param known_before: the newest known id before it was queued.
        """
        self.ids.pop(message_id, None)
        number = rank(message_id)  # older than others that were known: then ask from before it
        ask_from = known_before if number < 1 else older(known_before or None, str(number - 1))
        self.known = older(ask_from, self.known)
        self.floor = older(ask_from, self.floor)

    def is_older(self, message_id: Optional[str]) -> bool:
        """Return True if a fetched message is older than the first listener."""
        if message_id is None or self.floor is None:
            return False
        return 0 <= rank(message_id) <= rank(self.floor)

    def handled_up_to(self, message_id: Optional[str], fetched: bool) -> Optional[str]:
        """Return the id up to which all messages are handled after this one is handled."""
        if self.gap is None:
            return newer(message_id, self.known)
        return newer(message_id, self.gap.start) if fetched else self.gap.start

    # --- the gap

    def open_gap(self) -> Optional[Gap]:
        """Open a gap, because messages may have been missed. Returns None if no id is known.

        A discard may have moved the known position to before an earlier gap.
        """
        start = older(None if self.gap is None else self.gap.start, self.known or None)
        if start is not None:
            self.floor = start if self.floor is None else self.floor
            self.gap = Gap(start, overlapped(start, self.floor))
        return self.gap

    def open_gap_after(self, message_id: str) -> Gap:
        """Open a gap after the id that was the service's newest one when the first listener was added."""
        self.floor = older(message_id, self.floor)  # a discard may have moved it
        self.gap = Gap(message_id, message_id)
        return self.gap

    def extend_gap(self) -> Optional[Gap]:
        """Note that a live message had no room. An earlier gap may be left. Returns None if no id is known."""
        if self.gap is None and self.known:
            self.gap = Gap(self.known, self.known)  # the connection was up, so all pushed messages have arrived
        return self.gap

    def close_gap(self) -> None:
        """Note that no message is missing."""
        self.gap = None


def overlapped(after: str, floor: str) -> str:
    """Return the id to start a request from: a little before the newest known id, but at least the first one."""
    start = rank(after)
    return after if start < 0 else str(max(start - OVERLAP, min(rank(floor), start), 0))

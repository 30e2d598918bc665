"""The calls that listeners are owed, in order, and bounded in what can be done without.

Two lanes. In one nothing is dropped: changes of the connection, answers to the user's own calls, and messages, of which
no more are put in than :meth:`CallQueue.has_room` allows. In the other are events that pass, typing indicators and the
like: where too many wait, the oldest is dropped. A number for each says which lane is next.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from typing import Any, Callable, Deque, NamedTuple, Optional, Sequence, Tuple, Union

#: Bytes of frames that wait for listeners, in either lane: an event may be as large as a frame.
MAX_BYTES = 64 * 1024 * 1024


class Call(NamedTuple):
    """A call that the listeners of a kind are owed.

    :ivar size: bytes of the message that it tells of, or of the event; 0 for what is no frame's.
    :ivar passing: an event that can be done without.
    """

    seq: int
    kind: str
    method: str
    args: Tuple[Any, ...]
    of_connection: bool
    claim: Optional[Callable[[], bool]]
    size: int
    passing: bool


#: A call; an event, set when its turn comes; or None, the end.
Item = Union[Call, threading.Event, None]


class _Place(NamedTuple):
    """An item in its lane, with its place among those of both."""

    number: int
    item: Item


class CallQueue:
    """Taken from by one thread, put into by many.

    :param limit: how many events may wait, and how many messages.
    :param max_bytes: of each.
    """

    def __init__(self, limit: int, max_bytes: int = MAX_BYTES) -> None:
        self._limit = limit
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._number = 0
        self._kept: Deque[_Place] = deque()
        self._events: Deque[Tuple[int, Call]] = deque()
        self._event_bytes = 0
        self._messages = self._message_bytes = 0
        self._idle = self._starved = False
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        #: Called on the taking thread, without a lock, once there is room that :meth:`has_room` did not find.
        self.on_room: Callable[[], None] = lambda: None
        #: Events that were dropped.
        self.dropped = 0
        #: Called on the taking thread, without a lock, when it is empty after something did not fit.
        self.on_caught_up: Callable[[], None] = lambda: None
        #: Since it was empty last, something did not fit.
        self.overflowed = False
        #: How often it was empty after that.
        self.times_caught_up = 0

    def put(self, item: Item) -> None:
        """Put a call in; does not wait."""
        with self._lock:
            self._number += 1
            if isinstance(item, Call) and item.passing:
                self._put_event(item)
            else:
                if isinstance(item, Call) and item.size:
                    self._messages += 1
                    self._message_bytes += item.size
                self._kept.append(_Place(self._number, item))
            wakes, self._idle = self._idle, False
        if wakes:
            self._bell.put(None)

    def put_events(self, events: Sequence[Call]) -> None:
        """Put events in that may be dropped, with one wake-up for all; does not wait."""
        with self._lock:
            first, self._number = self._number + 1, self._number + len(events)
            self._events.extend(enumerate(events, first))
            self._event_bytes += sum([event.size for event in events])
            self._drop_oldest()
            wakes, self._idle = self._idle, False
        if wakes:
            self._bell.put(None)

    def get(self) -> Item:
        """The next one; waits for it."""
        while True:
            fed = caught_up = False
            with self._lock:
                kept, events = self._kept, self._events
                if events and not (kept and kept[0].number < events[0][0]):
                    event = events.popleft()[1]
                    self._event_bytes -= event.size
                    return event
                found = bool(kept)
                if found:
                    item, fed = self._take()
                else:
                    self._idle = True
                    caught_up, self.overflowed = self.overflowed, False
                    self.times_caught_up += caught_up
            if fed:
                self.on_room()
            if found:
                return item
            if caught_up:
                self.on_caught_up()
            self._bell.get()

    def has_room(self) -> bool:
        """One more message fits. False: :attr:`on_room` is called once there is room for many."""
        with self._lock:
            if self._messages < self._limit and self._message_bytes < self._max_bytes:
                return True
            self._starved = self.overflowed = True
            return False

    def __len__(self) -> int:
        return len(self._kept) + len(self._events)

    def _put_event(self, event: Call) -> None:
        self._events.append((self._number, event))
        self._event_bytes += event.size
        self._drop_oldest()

    def _drop_oldest(self) -> None:
        while len(self._events) > self._limit or (self._event_bytes > self._max_bytes and len(self._events) > 1):
            self._event_bytes -= self._events.popleft()[1].size
            self.dropped += 1
            self.overflowed = True

    def _take(self) -> Tuple[Item, bool]:
        """The first of those that are kept, and whether there is room again that somebody waits for."""
        item = self._kept.popleft().item
        if not isinstance(item, Call) or not item.size:
            return item, False
        self._messages -= 1
        self._message_bytes -= item.size
        fed = self._starved and self._is_half_empty()
        self._starved = self._starved and not fed
        return item, fed

    def _is_half_empty(self) -> bool:
        return self._messages <= self._limit // 2 and self._message_bytes <= self._max_bytes // 2

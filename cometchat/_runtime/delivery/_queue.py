"""The queue of events for the listeners: in order, with limits that lose no message.

There are four kinds of events. *State* events (transitions of the connection, results of the user's calls) are never
dropped. *Stored* events (messages and their changes) are never lost: the inbox posts one only if
:meth:`EventQueue.has_room`, and fetches the others from the service later. *Kept* events (pins, an AI assistant's run,
unknown types) can't be fetched, and are dropped only beyond a total size. *Ephemeral* events (typing, presence,
receipts, reactions, transient messages) are dropped, oldest first, when too many wait. Ephemeral events have one lane,
all others the other. Each event has a number, which gives the order across the lanes.

A listener gets no event that is older than its registration. So an event that has no listener is not queued. A durable
inbox is the exception: its position must pass all messages in order.

Each event of a connection carries its generation. The queue refuses events of an older generation, and
``disconnect()`` discards the ones that still wait.
"""

from __future__ import annotations

import contextlib
import queue
from collections import deque
from typing import Any, Callable, Deque, List, NamedTuple, Optional, Sequence, Tuple, Union

from ..._protocol._delivery import Delivery
from .._registry import CONNECTION, ListenerRegistry
from .._threads import Wakeup

#: Maximum total size of the frames in one lane, in bytes. One event may be as large as a frame.
MAX_BYTES = 64 * 1024 * 1024

#: Maximum number of ephemeral events that the dispatcher takes at once.
_BATCH = 64


class Stored(NamedTuple):
    """Data with which the inbox fetches a stored event again if it is discarded.

    :ivar message_id: None if the event has no id, because it changes an older message.
    :ivar known_before: the newest known id before this one.
    :ivar body: the message; None if no listener gets it.
    :ivar uid: the user of the durable inbox; None without a durable inbox.
    :ivar position: the id up to which all messages are handled after this one is handled.
    """

    message_id: Optional[str]
    known_before: Optional[str]
    body: Optional[dict[str, Any]] = None
    uid: Optional[str] = None
    position: Optional[str] = None


class Event(NamedTuple):
    """A call of the listeners of one kind.

    :ivar generation: of its connection; None if it must be delivered in any case.
    :ivar size: size of the frame, in bytes.
    """

    number: int
    kind: str
    method: str
    args: Tuple[Any, ...]
    generation: Optional[int] = None
    size: int = 0
    stored: Optional[Stored] = None


#: ``_new(Event, (...))`` is a faster ``Event(...)``, for the events that arrive in floods.
_new = tuple.__new__

_Lasting = Union[Event, Wakeup]


class EventQueue:
    """One client's events. Any thread posts, the dispatcher takes. The client's lock guards all state.

    :param limit: maximum number of stored events, and of ephemeral events.
    :param max_bytes: maximum total size of the events in each lane, in bytes.
    :ivar generation: the number of the current generation. Only the connection changes it, by :meth:`advance`.
    :ivar dropped: number of dropped events.
    """

    def __init__(self, registry: ListenerRegistry, limit: int, max_bytes: int = MAX_BYTES) -> None:
        self._registry = registry
        self._lock = registry.lock
        self._limit = limit
        self._max_bytes = max_bytes
        self._lasting: Deque[Tuple[int, _Lasting]] = deque()
        self._ephemeral: Deque[Event] = deque()
        self._ephemeral_bytes = 0
        self._stored = self._lasting_bytes = 0
        self._wanted_room: List[Wakeup] = []
        self._oldest = 0  # events of older generations were discarded
        self._idle = False  # the dispatcher has found the queue empty, and no event was added since
        self._ended = False
        self._producers = 0
        # A signal handler may call its put().
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.generation: int = 0
        self.dropped: int = 0
        #: An event did not fit since the queue was last empty.
        self.overflowed: bool = False

    def __len__(self) -> int:
        return len(self._lasting) + len(self._ephemeral)

    # --- posting: any thread

    def advance(self) -> int:
        """Begin the next generation. Returns its number. From now on the queue refuses events of older ones."""
        with self._lock:
            self.generation += 1
            return self.generation

    def post(self, kind: str, method: str, *args: Any, generation: Optional[int] = None) -> None:
        """Queue a state event. Without a listener for it, only note the transition."""
        with self._lock:
            number = self._next_number()
            if kind == CONNECTION and method != "on_connection_error":
                self._registry.last_transition = method
            if kind not in self._registry.audiences:
                return  # a later listener does not get it
            self._add(number, Event(number, kind, method, args, generation))

    def post_stored(self, delivery: Delivery, generation: int, size: int, stored: Stored) -> bool:
        """Queue a stored event, if it has a listener or is of a durable inbox.

        :returns: False if the generation is not the current one.
        """
        with self._lock:
            if generation != self.generation:
                return False
            number = self._next_number()
            kind, method, args = delivery[:3]
            if stored.uid is None and kind not in self._registry.audiences:
                return True
            self._add(number, Event(number, kind, method, args, generation, size, stored))
            self._stored += 1  # last: without memory for the event it must not count
            self._lasting_bytes += size
            return True

    def post_kept(self, delivery: Delivery, generation: int, size: int) -> bool:
        """Queue a kept event, if it has a listener. It is dropped if too many bytes wait.

        :returns: False if the generation is not the current one.
        """
        with self._lock:
            if generation != self.generation:
                return False
            number = self._next_number()
            kind, method, args = delivery[:3]
            if kind not in self._registry.audiences:
                return True
            if self._lasting_bytes >= self._max_bytes:
                self.dropped += 1
                self.overflowed = True
                return True
            self._add(number, Event(number, kind, method, args, generation, size))
            self._lasting_bytes += size
            return True

    def post_ephemeral(self, events: Sequence[Tuple[Delivery, int]], generation: int) -> bool:
        """Queue the ephemeral events that have a listener, with one wake-up.

        :param events: each with the size of its frame, in bytes.
        :returns: False if the generation is not the current one.
        """
        with self._lock:
            if generation != self.generation:
                return False
            number, audiences = self._registry.last_number, self._registry.audiences
            add = self._ephemeral.append
            for (kind, method, args, _), size in events:
                number += 1
                if kind in audiences:
                    add(_new(Event, (number, kind, method, args, generation, size, None)))
                    self._ephemeral_bytes += size
            self._registry.last_number = number
            if not self._ephemeral:
                return True  # no event has a listener
            self._ring()
            self._drop_oldest()
            return True

    def has_room(self, fetchable: bool = True) -> bool:
        """Return True if one more stored event fits.

        :param fetchable: whether the event can be fetched later. Other events are limited in bytes only.
        """
        with self._lock:
            if self._lasting_bytes < self._max_bytes and (self._stored < self._limit or not fetchable):
                return True
            self.overflowed = True
            return False

    def when_room(self, wakeup: Wakeup) -> None:
        """Set ``wakeup`` once the queue is half empty."""
        with self._lock:
            if self._is_half_empty():
                wakeup.set()
            else:
                self._wanted_room.append(wakeup)

    def passed(self, marker: Optional[Wakeup] = None) -> Wakeup:
        """Return a Wakeup that is set when all events that wait now are delivered: the given one, or a new one."""
        marker = Wakeup() if marker is None else marker
        with self._lock:
            if self._idle:  # the dispatcher has delivered all events
                marker.set()
                return marker
            self._add(self._next_number(), marker)
            return marker

    def discard_old(self, after: int = 0) -> List[Stored]:
        """Discard the events of older generations. Returns the stored ones of generations after one, oldest first."""
        with self._lock:
            self._oldest = self.generation
            self._discard(lambda event: self.is_discarded(event) and (event.generation or 0) <= after)
            discarded = self._discard(self.is_discarded)
            self._ephemeral = deque(event for event in self._ephemeral if not self.is_discarded(event))
            self._ephemeral_bytes = sum(event.size for event in self._ephemeral)
            self._registry.changes += 1  # the dispatcher checks again before the next listener
        return discarded

    def discard_messages(self) -> List[Stored]:
        """Discard the messages that have an id, so that they are fetched again. Returns them, oldest first."""
        with self._lock:
            return self._discard(lambda event: event.stored is not None and event.stored.message_id is not None)

    def add_producer(self) -> None:
        """Keep the dispatcher running until :meth:`remove_producer`, because a thread still posts results."""
        with self._lock:
            self._producers += 1

    def remove_producer(self) -> None:
        """Note that the thread has posted its last event."""
        with self._lock:
            self._producers -= 1
        if self._ended:
            self._bell.put(None)

    def end(self) -> None:
        """Make :meth:`wait` return False when the queue is empty and no producer is left."""
        self._ended = True
        self._bell.put(None)

    # --- taking: the dispatcher

    def is_discarded(self, event: Event) -> bool:
        """Return True if ``disconnect()`` has discarded the event. Takes no lock."""
        generation = event.generation
        return generation is not None and generation < self._oldest

    def take(self) -> Sequence[_Lasting]:
        """Take the next event, or several ephemeral ones. Returns () if the queue is empty."""
        with self._lock:
            lasting, ephemeral = self._lasting, self._ephemeral
            if ephemeral and not (lasting and lasting[0][0] < ephemeral[0].number):
                return self._take_ephemeral(lasting[0][0] if lasting else None)
            if not lasting:
                self._idle = True
                return ()
            item = lasting[0][1]
            taken = (item,)
            if not isinstance(item, Wakeup):
                self._make_room(item)
            lasting.popleft()  # last: it needs no memory, and the event must not be lost without memory
            return taken

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Wait for the next event, at most ``timeout`` seconds.

        :returns: False when the queue was ended, is empty, and has no producer.
        """
        if self._ended and not self._producers and not len(self):
            return False
        with contextlib.suppress(queue.Empty):
            self._bell.get(timeout=timeout)
        return True

    def caught_up(self) -> bool:
        """Return True one time after each overflow, when the queue is empty again."""
        with self._lock:
            overflowed, self.overflowed = self.overflowed, False
            return overflowed

    # --- the caller holds the lock

    def _next_number(self) -> int:
        self._registry.last_number += 1
        return self._registry.last_number

    def _add(self, number: int, item: _Lasting) -> None:
        self._ring()
        self._lasting.append((number, item))

    def _ring(self) -> None:
        """Wake the dispatcher if it waits. It can't take an event before the caller releases the lock."""
        if self._idle:
            # In this order: a KeyboardInterrupt in between causes one more ring, and not a dispatcher that sleeps on.
            self._bell.put(None)
            self._idle = False

    def _discard(self, unwanted: Callable[[Event], bool]) -> List[Stored]:
        """Discard waiting events that are not ephemeral. Returns the stored ones, oldest first."""
        discarded: List[Stored] = []
        others: Deque[Tuple[int, _Lasting]] = deque()
        for number, item in self._lasting:
            if isinstance(item, Wakeup) or not unwanted(item):
                others.append((number, item))
                continue
            self._make_room(item)
            if item.stored is not None:
                discarded.append(item.stored)
        self._lasting = others
        return discarded

    def _take_ephemeral(self, before: Optional[int]) -> List[Event]:
        ephemeral = self._ephemeral
        taken: List[Event] = []
        for _ in range(min(_BATCH, len(ephemeral))):
            if before is not None and ephemeral[0].number > before:
                break
            taken.append(ephemeral.popleft())
        self._ephemeral_bytes -= sum([event.size for event in taken])
        return taken

    def _drop_oldest(self) -> None:
        """Drop the oldest ephemeral events if too many wait."""
        ephemeral = self._ephemeral
        while len(ephemeral) > self._limit or (self._ephemeral_bytes > self._max_bytes and len(ephemeral) > 1):
            self._ephemeral_bytes -= ephemeral.popleft().size
            self.dropped += 1
            self.overflowed = True

    def _make_room(self, event: Event) -> None:
        """Note that an event that is not ephemeral leaves the queue."""
        self._stored -= event.stored is not None
        self._lasting_bytes -= event.size
        if self._wanted_room and self._is_half_empty():
            wanted, self._wanted_room = self._wanted_room, []
            for wakeup in wanted:
                wakeup.set()

    def _is_half_empty(self) -> bool:
        return self._stored <= self._limit // 2 and self._lasting_bytes <= self._max_bytes // 2

"""The events that a process received and that may not yet be in the stream. A new leader adds them."""

from __future__ import annotations

import threading
from collections import deque
from typing import Callable, Deque, Dict, List, NamedTuple

from ..._event_source import Received
from ._queue import MAX_WAITING, MAX_WAITING_BYTES

#: Time for which an event in the stream is still kept, in seconds, because a Redis that restarts without its data loses
#: the stream.
KEPT = 60.0

#: Maximum time for which an event is kept, in seconds. Redis recognizes it for longer.
LONGEST_KEPT = 3000.0


class _Kept(NamedTuple):
    at: float
    number: int
    key: str
    received: Received


class KeptEvents:
    """One process's events, limited in number and bytes. Any thread.

    :param clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._events: Deque[_Kept] = deque()
        self._numbers: Dict[str, int] = {}
        self._last = self._added = 0
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._events)

    @property
    def last(self) -> int:
        """The number of the newest event."""
        return self._last

    def is_after(self, number: int, key: str) -> bool:
        """Return True if a kept event has this key and a higher number."""
        return self._numbers.get(key, 0) > number

    def add(self, key: str, received: Received) -> None:
        """Keep an event."""
        now = self._clock()
        with self._lock:
            self._last += 1
            self._events.append(_Kept(now, self._last, key, received))
            self._numbers[key] = self._last
            self._bytes += received.size
            self._remove(now)

    def note_added(self, key: str) -> None:
        """Note that this event and all events before it are in the stream. No-op if the event is not kept."""
        now = self._clock()
        with self._lock:
            self._added = max(self._added, self._numbers.get(key, 0))
            self._remove(now)

    def all(self) -> List[Received]:
        """Return the events, in order."""
        now = self._clock()
        with self._lock:
            self._remove(now)
            return [each.received for each in self._events]

    def _remove(self, now: float) -> None:
        """Remove events that are over the limit, too old, or in the stream. The caller holds the lock."""
        events = self._events
        while events and (
            (events[0].at < now - KEPT and events[0].number <= self._added)
            or events[0].at < now - LONGEST_KEPT
            or len(events) > MAX_WAITING
            or (self._bytes > MAX_WAITING_BYTES and len(events) > 1)
        ):
            oldest = events.popleft()
            self._bytes -= oldest.received.size
            if self._numbers.get(oldest.key) == oldest.number:
                del self._numbers[oldest.key]

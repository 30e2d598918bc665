"""The records of what the sandbox saw, and waits for new records.

The sandbox's loop thread writes them. Any thread reads them.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, TypeVar

from ._webhook import Delivery

T = TypeVar("T")

#: Number of records of each kind that are kept, and the number of further ones after which the oldest are dropped.
_KEPT, _BEYOND = 100_000, 10_000


@dataclass(frozen=True, repr=False)
class Attempt:
    """One WebSocket upgrade request, accepted or refused. ``time`` is ``time.monotonic()`` on its arrival."""

    time: float
    path: str
    #: Case-insensitive. Not in the repr: it may hold credentials.
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return f"<Attempt {self.path}>"


@dataclass(frozen=True, repr=False)
class Request:
    """One HTTP request. ``time`` is ``time.monotonic()`` on its arrival. ``status`` is 0 without an answer."""

    time: float
    method: str
    #: As in the request: with or without the version prefix, without the query.
    path: str
    status: int
    #: Case-insensitive. Not in the repr: it holds credentials.
    headers: Mapping[str, str]
    #: The query's parameters, decoded. The first value of a repeated one.
    query: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path} {self.status}>"


class Journal:
    """The records, and one condition that every change of the sandbox notifies. Only :meth:`add` adds to a list.

    A sandbox may run for weeks, so each list is limited.
    """

    def __init__(self) -> None:
        self.attempts: List[Attempt] = []
        self.requests: List[Request] = []
        #: Each with the uid of its connection.
        self.frames: List[Tuple[Optional[str], Dict[str, Any]]] = []
        self.violations: List[str] = []
        self.close_codes: List[int] = []
        self.deliveries: List[Delivery] = []
        self._condition = threading.Condition()
        self._changes = 0
        self._listeners: List[Callable[[], None]] = []

    def add(self, records: List[T], entry: T) -> None:
        """Add an entry to one of the lists."""
        records.append(entry)
        if len(records) > _KEPT + _BEYOND:
            del records[:-_KEPT]
        self.changed()

    def changed(self) -> None:
        """Notify the waiting threads of a change outside these records that a predicate may look at."""
        with self._condition:
            self._changes += 1
            self._condition.notify_all()
            listeners = list(self._listeners)
        for listener in listeners:
            listener()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call a function on every change too, in the thread that makes the change. The function must not raise."""
        with self._condition:
            self._listeners.append(listener)

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Stop calling the function."""
        with self._condition:
            self._listeners.remove(listener)

    def clear(self) -> None:
        """Drop all records."""
        lists = (self.attempts, self.requests, self.frames, self.violations, self.close_codes, self.deliveries)
        for records in lists:
            records.clear()
        self.changed()

    def wait_until(self, predicate: Callable[[], T], timeout: float) -> Optional[T]:
        """Return the predicate's first truthy value, or None after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            with self._condition:
                seen = self._changes
            # Outside the lock: a slow predicate must not stop the sandbox, and a predicate that calls the sandbox must
            # not deadlock.
            value = predicate()
            if value:
                return value
            with self._condition:
                left = deadline - time.monotonic()
                if left <= 0 or not self._condition.wait_for(lambda: self._changes != seen, left):
                    return predicate() or None

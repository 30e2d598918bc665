"""What the sandbox saw, and waiting for it to see more.

Written by the sandbox's loop thread, read by any thread. It knows nothing of HTTP or WebSocket.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Attempt:
    """One WebSocket upgrade request, whatever came of it. ``time`` is ``time.monotonic()`` on its arrival."""

    time: float
    path: str
    #: Case-insensitive. Out of the repr: it may hold credentials.
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Request:
    """One HTTP request. ``time`` is ``time.monotonic()`` on its arrival; ``status`` is 0 where it is never answered."""

    time: float
    method: str
    #: As it was asked for, with or without the version prefix, without the query.
    path: str
    status: int
    #: Case-insensitive. Out of the repr: it holds credentials.
    headers: Mapping[str, str] = field(repr=False)
    #: The query's parameters, decoded; of one that is there several times, the first.
    query: Mapping[str, str] = field(default_factory=dict)


class Journal:
    """The lists of what happened, and one condition that is signalled on every change of the sandbox."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._changes = 0
        self._attempts: List[Attempt] = []
        self._requests: List[Request] = []
        self._frames: List[Tuple[Optional[str], Dict[str, Any]]] = []
        self._violations: List[str] = []
        self._close_codes: List[int] = []

    @property
    def attempts(self) -> List[Attempt]:
        return self._copy(self._attempts)

    @property
    def requests(self) -> List[Request]:
        return self._copy(self._requests)

    @property
    def frames(self) -> List[Tuple[Optional[str], Dict[str, Any]]]:
        return self._copy(self._frames)

    @property
    def violations(self) -> List[str]:
        return self._copy(self._violations)

    @property
    def close_codes(self) -> List[int]:
        return self._copy(self._close_codes)

    def note_attempt(self, attempt: Attempt) -> None:
        self._note(self._attempts, attempt)

    def note_request(self, request: Request) -> None:
        self._note(self._requests, request)

    def note_frame(self, uid: Optional[str], frame: Dict[str, Any]) -> None:
        self._note(self._frames, (uid, frame))

    def note_violation(self, violation: str) -> None:
        self._note(self._violations, violation)

    def note_close_code(self, code: int) -> None:
        self._note(self._close_codes, code)

    def changed(self) -> None:
        """Something that a predicate may look at has changed, outside these lists."""
        with self._condition:
            self._changes += 1
            self._condition.notify_all()

    def clear(self) -> None:
        """Forget everything noted so far."""
        with self._condition:
            for noted in (self._attempts, self._requests, self._frames, self._violations, self._close_codes):
                noted.clear()
        self.changed()

    def wait_until(self, predicate: Callable[[], T], timeout: float) -> Optional[T]:
        """The predicate's first truthy value, or None where none came in ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            with self._condition:
                seen = self._changes
            # Outside the lock: a slow predicate is not to hold up the sandbox, nor one that calls it back to deadlock.
            value = predicate()
            if value:
                return value
            with self._condition:
                left = deadline - time.monotonic()
                if left <= 0 or not self._condition.wait_for(lambda: self._changes != seen, left):
                    return predicate() or None

    def _note(self, noted: List[T], entry: T) -> None:
        with self._condition:
            noted.append(entry)
        self.changed()

    def _copy(self, noted: List[T]) -> List[T]:
        with self._condition:
            return list(noted)

"""Who listens: listener_id -> listener, with the sequence number from which on it hears."""

from __future__ import annotations

import itertools
import logging
import threading
from types import TracebackType
from typing import Callable, ContextManager, Dict, NamedTuple, Optional, Tuple, Type, TypeVar

L = TypeVar("L")

logger = logging.getLogger("cometchat.listeners")


class Entry:
    """One registration. ``active`` turns False when it ends, and is read without a lock.

    :ivar told: the last transition that the listener was told of, or could see when it came. The dispatcher's own.
    """

    __slots__ = ("listener_id", "listener", "since", "active", "told")

    def __init__(self, listener_id: str, listener: object, since: int, told: Optional[str] = None) -> None:
        self.listener_id = listener_id
        self.listener = listener
        self.since = since
        self.active = True
        self.told = told


class Heard(NamedTuple):
    """Who hears of a kind, as of now, in the order of their registration.

    :ivar listeners: of the entries.
    :ivar newest: all of them hear what has this number, or a higher one.
    """

    entries: Tuple[Entry, ...]
    listeners: Tuple[object, ...]
    newest: int


_NOBODY = Heard((), (), 0)


class Registry:
    """The listeners of every kind, and the one count that orders notifications and registrations.

    Reading takes no lock: each change puts a new tuple in the old one's place.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: Dict[str, Dict[str, Entry]] = {}
        self._snapshots: Dict[str, Heard] = {}
        self._seq = 0
        #: Grows with each change of who is to hear what. Read without a lock, before :meth:`heard`.
        self.changes = 0
        self._names = itertools.count(1)
        #: Called with the kind of each new registration, on the thread that made it, without a lock.
        self.on_add: Callable[[str], None] = lambda kind: None
        #: There is no connection now, and none is being made.
        self.is_down: Callable[[], bool] = lambda: True

    def begin_anew(self) -> None:
        """In the child of a fork: the lock may have been somebody's."""
        self._lock = threading.Lock()

    def stamp(self, enqueue: Callable[[int], None], count: int = 1) -> int:
        """Number notifications and queue them, as one step: the queue's order is the numbers' order.

        :param enqueue: is called with the first number; must not wait.
        :param count: of notifications, at least 1.
        :returns: the last number.
        """
        with self._lock:
            first, self._seq = self._seq + 1, self._seq + count
            enqueue(first)
            return self._seq

    def add(self, kind: str, listener_id: str, listener: object) -> None:
        """Register; the listener hears of what is queued from now on. In place of one with the same id."""
        told = "on_disconnected" if self.is_down() else None
        with self._lock:
            entries = self._entries.setdefault(kind, {})
            replaced: Optional[Entry] = entries.get(listener_id)
            if replaced is not None:
                replaced.active = False
            entries[listener_id] = Entry(listener_id, listener, self._seq + 1, told)
            self._renew(kind, entries)
        if replaced is not None and replaced.listener is not listener:
            logger.warning(
                "The %s listener id %r was in use: the new listener takes its place. Give each an id of its own.",
                kind,
                listener_id,
            )
        self.on_add(kind)

    def remove(self, kind: str, listener_id: str) -> None:
        """End a registration; an unknown id: nothing."""
        with self._lock:
            entries = self._entries.get(kind, {})
            entry = entries.get(listener_id)
            if entry is None:
                return
            entry.active = False
            del entries[listener_id]
            self._renew(kind, entries)

    def during(self, kind: str, listener: L) -> During[L]:
        """Registers for the time of a ``with`` block, under an id that nobody else has."""
        return During(self, kind, listener, f"with-{next(self._names)}")

    def entries(self, kind: str) -> Tuple[Entry, ...]:
        """The listeners of a kind, in the order of their registration."""
        return self.heard(kind).entries

    def heard(self, kind: str) -> Heard:
        """The same, with what the dispatcher wants to know of them."""
        return self._snapshots.get(kind, _NOBODY)

    def disturb(self) -> None:
        """Something else has changed: who is being told of something looks again before it goes on."""
        with self._lock:
            self.changes += 1

    def _renew(self, kind: str, entries: Dict[str, Entry]) -> None:
        found = tuple(entries.values())
        newest = max((entry.since for entry in found), default=0)
        self._snapshots[kind] = Heard(found, tuple(entry.listener for entry in found), newest)
        self.changes += 1


class During(ContextManager[L]):
    """A registration for the time of a ``with`` block. May be entered again; within itself it is the same one."""

    def __init__(self, registry: Registry, kind: str, listener: L, listener_id: str) -> None:
        self._registry = registry
        self._kind = kind
        self._listener = listener
        self._listener_id = listener_id
        self._depth = 0

    def __enter__(self) -> L:
        self._depth += 1
        if self._depth == 1:
            self._registry.add(self._kind, self._listener_id, self._listener)
        return self._listener

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._depth = max(0, self._depth - 1)
        if not self._depth:
            self._registry.remove(self._kind, self._listener_id)

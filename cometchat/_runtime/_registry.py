"""The registered listeners, and the client's lock.

A listener gets no event that is older than its registration. So one number counts events and registrations, under one
lock: the client's. This lock guards all state that several threads of a client change (the connection, the login, the
queue, the inbox). It is an RLock, because a signal handler may run on the thread that holds it.
"""

from __future__ import annotations

import itertools
import logging
import threading
from typing import Callable, ContextManager, Dict, NamedTuple, Optional, Tuple, TypeVar

from .. import _fork
from .._log import SafeLog
from ._threads import Wakeup

L = TypeVar("L")

logger = SafeLog(logging.getLogger("cometchat.listeners"))

#: The kind of the listeners that get the connection's transitions.
CONNECTION = "connection"


class Entry:
    """One registration. ``active`` turns False when it ends, and is read without a lock.

    :ivar since: the number of the first event for the listener.
    :ivar known: the last transition that the listener knows: it was called for it, or it was registered in that state.
        Only the dispatcher changes it.
    """

    __slots__ = ("listener_id", "listener", "since", "active", "known")

    def __init__(self, listener_id: str, listener: object, since: int, known: Optional[str]) -> None:
        self.listener_id = listener_id
        self.listener = listener
        self.since = since
        self.active = True
        self.known = known


class Audience(NamedTuple):
    """The listeners of one kind at this moment, in the order of their registration.

    :ivar listeners: the entries' listeners.
    :ivar since: all of them get events with this number or a higher one.
    """

    entries: Tuple[Entry, ...]
    listeners: Tuple[object, ...]
    since: int


_EMPTY = Audience((), (), 0)


class ListenerRegistry(_fork.ForkSafe):
    """The listeners of all kinds. Reading takes no lock: each change replaces a whole tuple.

    It is in every fork, since listeners are also added before ``init()``, and removed after ``close()``.

    :ivar lock: the client's lock.
    :ivar last_number: of the newest event. Written under the lock, by the queue.
    :ivar last_transition: the newest transition of the connection, as the name of its callback.
    :ivar changes: grows with each change of the audience. Read without a lock, before :meth:`audience`.
    :ivar audiences: the listeners of each kind that has one.
    """

    def __init__(self) -> None:
        self.lock: threading.RLock = threading.RLock()
        self.last_number = 0
        self.last_transition: str = "on_disconnected"
        self.changes: int = 0
        self._last_callback = _set_wakeup()
        self._entries: Dict[str, Dict[str, Entry]] = {}
        self.audiences: Dict[str, Audience] = {}
        self._ids = itertools.count(1)
        self._paused = False
        _fork.register(_fork.Layer.LISTENERS, self)

    def pause_for_fork(self) -> None:
        """See :class:`ForkSafe`."""
        self._paused = self.lock.acquire(timeout=1.0)

    def resume_after_fork(self) -> None:
        """See :class:`ForkSafe`."""
        paused, self._paused = self._paused, False
        if paused:
            self.lock.release()

    def reset_after_fork(self) -> None:
        """In the child of a fork: replace the lock, which another thread of the parent may have held."""
        self.resume_after_fork()  # the parts of a closed client keep the old lock
        self.lock = threading.RLock()
        self.last_transition = "on_disconnected"
        self._last_callback = _set_wakeup()

    def queue_up(self, last_callback: Wakeup) -> Wakeup:
        """Give a client its turn to call the listeners. ``init()`` may have given them to it from an earlier client.

        :param last_callback: is to be set after the client's last callback. The next client waits for it.
        :returns: the one to wait for.
        """
        with self.lock:
            turn, self._last_callback = self._last_callback, last_callback
            return turn

    def add(self, kind: str, listener_id: str, listener: object) -> None:
        """Register a listener. If another listener has the id, replace it and log a warning.

        A listener that has this id already stays registered, so that it gets the events that are queued for it.
        """
        with self.lock:
            known = self.last_transition if self.last_transition == "on_disconnected" else None
            entries = self._entries.setdefault(kind, {})
            replaced: Optional[Entry] = entries.get(listener_id)
            if replaced is not None:
                if replaced.listener is listener:
                    return
                replaced.active = False
            entries[listener_id] = Entry(listener_id, listener, self.last_number + 1, known)
            self._replace_audience(kind, entries)
        if replaced is not None:
            logger.warning(
                "The %s listener id %r was in use. The new listener replaces the old one. Use a different id for each.",
                kind,
                listener_id,
            )

    def remove(self, kind: str, listener_id: str) -> None:
        """End a registration. No-op for an unknown id."""
        with self.lock:
            entries = self._entries.get(kind, {})
            entry = entries.pop(listener_id, None)
            if entry is not None:
                entry.active = False
                self._replace_audience(kind, entries)

    def new_id(self, prefix: str) -> str:
        """Return an id that no listener has."""
        while True:
            listener_id = f"{prefix}-{next(self._ids)}"
            if not any(listener_id in entries for entries in list(self._entries.values())):  # a user's own id
                return listener_id

    def audience(self, kind: str) -> Audience:
        """Return the listeners of one kind."""
        return self.audiences.get(kind, _EMPTY)

    def has_listeners(self, kinds: Tuple[str, ...]) -> bool:
        """Return True if a listener of one of these kinds is registered."""
        return not self.audiences.keys().isdisjoint(kinds)

    def _replace_audience(self, kind: str, entries: Dict[str, Entry]) -> None:
        found = tuple(entries.values())
        if found:
            since = max(entry.since for entry in found)
            self.audiences[kind] = Audience(found, tuple(entry.listener for entry in found), since)
        else:
            self.audiences.pop(kind, None)
        self.changes += 1


def _set_wakeup() -> Wakeup:
    wakeup = Wakeup()
    wakeup.set()
    return wakeup


class ScopedListener(ContextManager[L]):
    """The registration of a connection listener for the duration of a ``with`` block.

    It can be used again, on any thread. Blocks share it.

    :param changed: starts what a client needs for a listener. Called with its kind after a block has begun.
    :param check_open: raises if the client is closed. Called when a block begins.
    """

    def __init__(
        self,
        registry: ListenerRegistry,
        listener: L,
        changed: Callable[[str], None],
        check_open: Callable[[], None] = lambda: None,
    ) -> None:
        self._registry = registry
        self._listener = listener
        self._listener_id = registry.new_id("with")
        self._changed = changed
        self._check_open = check_open
        self._blocks = 0

    def __enter__(self) -> L:
        self._check_open()
        with self._registry.lock:  # a second block begins with the listener registered
            self._blocks += 1
            if self._blocks == 1:
                self._registry.add(CONNECTION, self._listener_id, self._listener)
        try:
            self._changed(CONNECTION)
        except BaseException:
            self.__exit__()
            raise
        return self._listener

    def __exit__(self, *exc_info: object) -> None:
        with self._registry.lock:
            self._blocks = max(0, self._blocks - 1)
            if not self._blocks:
                self._registry.remove(CONNECTION, self._listener_id)

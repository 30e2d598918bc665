"""Ends the waits between two attempts when the network comes back. One thread per process, while clients wait."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import Callable, Iterator, List, Optional

from ... import _fork
from ..._log import SafeLog
from ..._thread_start import start_thread
from ..._transport.net import NetworkChanges

logger = SafeLog(logging.getLogger("cometchat.connection"))


class Network(_fork.ForkSafe):
    """The waits that end when this machine's network comes back.

    :param changes: starts to listen for network changes; raises OSError if the system does not report them.
    """

    def __init__(self, changes: Callable[[], NetworkChanges] = NetworkChanges) -> None:
        self._new_changes = changes
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In the child of a fork: forget the thread and the waits, which exist only in the parent."""
        self._lock = threading.Lock()
        self._waiting: List[Callable[[int], None]] = []
        self._runs = False
        self._changes: Optional[NetworkChanges] = None

    @contextlib.contextmanager
    def watched(self, on_return: Callable[[int], None]) -> Iterator[None]:
        """Call ``on_return`` on this object's thread each time the network comes back, until the context ends.

        :param on_return: its argument is the number of waits that end.
        """
        self._add(on_return)
        try:
            yield
        finally:
            with self._lock:
                self._waiting.remove(on_return)
                changes = None if self._waiting else self._changes
            if changes is not None:
                with contextlib.suppress(OSError):  # it is already ending
                    changes.stop()

    def _add(self, on_return: Callable[[int], None]) -> None:
        with self._lock:
            self._waiting.append(on_return)
            if self._runs:
                return
            self._runs = True
        changes: Optional[NetworkChanges] = None
        try:
            changes = self._new_changes()
            with self._lock:
                self._changes = changes
            start_thread(threading.Thread(target=self._watch, args=(changes,), name="cometchat-network", daemon=True))
        except Exception as error:  # the system does not report changes, or has no descriptors, threads or memory left
            logger.debug("network changes can't be watched: %s", error)
            with self._lock:
                self._runs, self._changes = False, None
            if changes is not None:
                changes.close()

    def _watch(self, changes: NetworkChanges) -> None:
        try:
            try:
                while self._is_wanted():
                    if changes.wait():
                        self._notify()
            finally:
                with self._lock:
                    if self._changes is changes:  # it raised
                        self._runs, self._changes = False, None
                changes.close()
        except Exception:  # logged last: a log handler may hang
            logger.exception("Network changes are no longer watched; the next wait starts to watch again.")

    def _is_wanted(self) -> bool:
        with self._lock:
            if self._waiting:
                return True
            self._runs, self._changes = False, None
            return False

    def _notify(self) -> None:
        with self._lock:
            waiting = tuple(self._waiting)
        logger.debug("the network changed: ending %d waits", len(waiting))
        for on_return in waiting:
            on_return(len(waiting))


#: Of this process.
NETWORK = Network()

_fork.register(_fork.Layer.PROCESS, NETWORK)

"""The last known addresses of hosts, so that an unreachable name server does not delay an attempt.

A lookup by the system can't be interrupted. So the lookup of a known host runs on a separate thread (one per host), and
the caller waits a second for it. An unknown host is looked up on the caller's thread.
"""

from __future__ import annotations

import copy
import logging
import socket
import threading
import time
from typing import Callable, Dict, List, Optional, Tuple

from ... import _fork
from ..._log import SafeLog
from ..._thread_start import start_thread
from ..._transport.net import Address, LookUp, is_address, look_up
from ..._turns import TURNS

logger = SafeLog(logging.getLogger("cometchat.connection"))

#: Seconds after which the last known addresses are used.
PATIENCE = 1.0

#: Maximum number of remembered hosts.
_MOST = 64

_Key = Tuple[str, int]


class _PendingLookup:
    """A lookup in progress."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.done = threading.Event()
        self.found: List[Address] = []
        self.error: Optional[BaseException] = None


class AddressBook(_fork.ForkSafe):
    """The addresses that the last lookups found. Any thread.

    :param addresses_of: asks the system.
    :param clock: monotonic seconds.
    """

    def __init__(self, addresses_of: LookUp = look_up, clock: Callable[[], float] = time.monotonic) -> None:
        self._addresses_of = addresses_of
        self._clock = clock
        self._known: Dict[_Key, List[Address]] = {}
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In the child of a fork: forget the lookups, whose threads exist only in the parent."""
        self._lock = threading.Lock()
        self._pending: Dict[_Key, _PendingLookup] = {}

    def addresses(self, host: str, port: int) -> List[Address]:
        """Return the host's addresses; the last known ones if the lookup takes longer than a second.

        :raises OSError, UnicodeError: the host has no address, or the name is invalid.
        """
        if is_address(host):
            return self._addresses_of(host, port)
        key = (host, port)
        with self._lock:
            known = self._known.get(key)
        pending = None if known is None else self._begin(key)
        if known is None or pending is None:
            with TURNS.lent():
                found = self._addresses_of(host, port)
            self._keep(key, found)
            return found
        # Do not wait again for a lookup that already hangs.
        with TURNS.lent():
            is_done = pending.done.wait(max(0.0, pending.began + PATIENCE - self._clock()))
        if is_done:
            if pending.error is None:
                return pending.found
            if not _is_temporary(pending.error):
                raise copy.copy(pending.error)  # others may raise it too
        logger.debug("no name server answers for %s: using its last known addresses", host)
        return known

    def _keep(self, key: _Key, found: List[Address]) -> None:
        with self._lock:
            self._known.pop(key, None)
            self._known[key] = found
            if len(self._known) > _MOST:
                del self._known[next(iter(self._known))]

    def _begin(self, key: _Key) -> Optional[_PendingLookup]:
        """Return the lookup in progress, or a new one; None if the system can't start a thread."""
        with self._lock:
            pending = self._pending.get(key)
            if pending is not None:
                return pending
            pending = self._pending[key] = _PendingLookup(self._clock())
        try:
            thread = threading.Thread(target=self._run, args=(key, pending), name="cometchat-look-up", daemon=True)
            start_thread(thread)
        except BaseException as error:  # a KeyboardInterrupt too, or else this host would never be looked up again
            self._end(key, pending)
            if not isinstance(error, Exception):
                raise
            logger.debug("looking up a name without a thread: %s", error)
            return None
        return pending

    def _run(self, key: _Key, pending: _PendingLookup) -> None:
        try:
            pending.found = self._addresses_of(*key)
            self._keep(key, pending.found)
        except Exception as error:  # the waiting threads raise it
            pending.error = error
        finally:
            self._end(key, pending)

    def _end(self, key: _Key, pending: _PendingLookup) -> None:
        with self._lock:
            if self._pending.get(key) is pending:
                del self._pending[key]
        if not pending.found and pending.error is None:  # the lookup never ran
            pending.error = socket.gaierror(socket.EAI_AGAIN, "not looked up")
        pending.done.set()


def _is_temporary(error: BaseException) -> bool:
    """Return True unless a name server answered that the name does not exist."""
    return isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN


#: Of this process.
ADDRESSES = AddressBook()

_fork.register(_fork.Layer.PROCESS, ADDRESSES)

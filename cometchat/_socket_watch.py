"""One thread that watches the idle sockets of many clients, and wakes their threads a few at a time.

A thread that waits in the system's own poll wakes as soon as its socket is ready. A server that drops five thousand
connections wakes five thousand threads, and each of them asks for Python's global lock every 5 ms. So where many
threads wait, each waits for a lock of its own. The watch asks the system about all of their sockets, and releases a
thread once there is a turn for it; see :mod:`._turns`.

A process with fewer clients than that has no watch, and no such thread. Nor has a system without epoll (it is Linux').
"""

from __future__ import annotations

import logging
import select
import threading
from typing import Any, Dict, List, Optional, Sequence

from . import _fork
from ._log import SafeLog
from ._turns import TURNS, Turns

logger = SafeLog(logging.getLogger("cometchat.connection"))

#: Maximum threads that wait in the system's own poll at the same time. Those beyond wait with the watch.
MOST_ALONE = 200

#: Seconds for which the thread of the watch goes on without a waiter.
_LINGER = 5.0

#: Maximum descriptors that one look brings.
_BATCH = 64


class _Waiter:
    """A thread that waits.

    :ivar released: a lock that is held until the wait is over.
    :ivar ready: the descriptor that is ready; None before, and if the watch has failed.
    :ivar has_turn: the watch has taken a turn for this thread.
    """

    def __init__(self, descriptors: Sequence[int]) -> None:
        self.descriptors = descriptors
        self.released = threading.Lock()
        self.released.acquire()
        self.ready: Optional[int] = None
        self.has_turn = False


class SocketWatch(_fork.ForkSafeDefaults):
    """Watches descriptors for threads. Any thread.

    :param turns: of the threads that it wakes.
    :param most_alone: how many threads wait without it.
    """

    def __init__(self, turns: Turns = TURNS, most_alone: int = MOST_ALONE) -> None:
        self._turns = turns
        self._most_alone = most_alone
        self._epoll: Any = None
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In the child of a fork: the threads that waited are not here."""
        epoll, self._epoll = self._epoll, None
        if epoll is not None:
            epoll.close()
        # Re-entrant: a signal handler may have interrupted the main thread in here, and wait itself.
        self._lock = threading.RLock()
        self._alone: Dict[int, None] = {}
        self._waiters: Dict[int, _Waiter] = {}  # by descriptor

    @property
    def is_watching(self) -> bool:
        """The thread of the watch runs."""
        return self._epoll is not None

    def enter_alone(self) -> bool:
        """Note that this thread waits without the watch. Returns False if so many do that it should not."""
        if len(self._alone) >= self._most_alone:
            return False
        self._alone[threading.get_ident()] = None
        return True

    def leave_alone(self) -> None:
        """Note that this thread has ended its wait. No-op if it had not entered."""
        self._alone.pop(threading.get_ident(), None)

    def wait(self, descriptors: Sequence[int], timeout: float) -> Optional[List[int]]:
        """Wait until a descriptor can be read, or has failed. This thread has a turn then.

        :param timeout: seconds.
        :returns: the descriptor, or all of them if the watch has failed: look yourself then; [] at the timeout; None
            if the watch can't watch them.
        """
        waiter = _Waiter(descriptors)
        with self._lock:
            if not self._add(waiter):
                return None
        woken = False
        try:
            woken = waiter.released.acquire(timeout=timeout)
        finally:
            with self._lock:
                self._remove(waiter)
            if waiter.has_turn:
                self._turns.adopt()
        if waiter.ready is not None:
            return [waiter.ready]
        return list(descriptors) if woken else []

    # --- the caller holds the lock

    def _add(self, waiter: _Waiter) -> bool:
        if self._epoll is None and not self._start():
            return False
        added: List[int] = []
        try:
            for descriptor in waiter.descriptors:
                self._epoll.register(descriptor, select.EPOLLIN | select.EPOLLONESHOT)
                added.append(descriptor)
                self._waiters[descriptor] = waiter
        except (OSError, ValueError):  # it is closed, or another thread waits for it
            waiter.descriptors = added
            self._remove(waiter)
            return False
        return True

    def _remove(self, waiter: _Waiter) -> None:
        for descriptor in waiter.descriptors:
            if self._waiters.get(descriptor) is not waiter:
                continue  # the watch has ended
            del self._waiters[descriptor]
            try:
                self._epoll.unregister(descriptor)
            except (OSError, ValueError):  # it was closed, and is not watched any more
                continue

    def _start(self) -> bool:
        if not hasattr(select, "epoll"):
            return False
        try:
            self._epoll = select.epoll()
            threading.Thread(target=self._run, args=(self._epoll,), name="cometchat-sockets", daemon=True).start()
        except (OSError, RuntimeError) as error:
            logger.debug("each thread watches its own socket: %s", error)
            self._drop()
            return False
        return True

    def _drop(self) -> None:
        epoll, self._epoll = self._epoll, None
        waiters, self._waiters = self._waiters, {}
        if epoll is not None:
            epoll.close()
        for waiter in set(waiters.values()):
            if waiter.ready is None:
                waiter.released.release()

    # --- on its thread

    def _run(self, epoll: Any) -> None:
        try:
            while True:
                ready = epoll.poll(_LINGER, _BATCH)
                for descriptor, _ in ready:
                    self._wake(descriptor)
                if ready:
                    continue
                with self._lock:
                    if not self._waiters and self._epoll is epoll:
                        self._drop()
                    if self._epoll is not epoll:
                        return
        except BaseException:
            logger.exception("Unexpected error of the watch over sockets: each thread watches its own.")
            with self._lock:
                if self._epoll is epoll:
                    self._drop()

    def _wake(self, descriptor: int) -> None:
        with self._lock:  # or its thread may not be known yet
            if descriptor not in self._waiters:
                return
        has_turn = self._turns.take_for_another()
        with self._lock:
            waiter = self._waiters.get(descriptor)
            if waiter is not None and waiter.ready is None:
                waiter.ready, waiter.has_turn = descriptor, has_turn
                waiter.released.release()
                return
        if has_turn:
            self._turns.put_back()


#: Of this process.
WATCH = SocketWatch()

_fork.register(_fork.Layer.PROCESS, WATCH)

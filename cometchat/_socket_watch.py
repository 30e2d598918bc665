"""One thread that watches the idle sockets of many clients, and wakes their threads a few at a time.

A thread that waits in the system's poll wakes as soon as its socket is ready. If a server drops five thousand
connections, five thousand threads wake, and each asks for Python's global lock every 5 ms. So if many threads wait,
each waits for its own lock instead. The watch asks the system about all their sockets, and releases a thread when it
has a turn for it; see :mod:`._turns`.

A process with few clients has neither the watch nor its thread, and neither has a system without epoll (Linux has it).
"""

from __future__ import annotations

import logging
import select
import threading
from typing import Any, Dict, List, Optional, Sequence

from . import _fork
from ._log import SafeLog
from ._turns import TURNS, Ticket, Turns

logger = SafeLog(logging.getLogger("cometchat.connection"))

#: Maximum number of threads that wait in the system's poll at the same time. Further threads wait with the watch.
MOST_ALONE = 200

#: Seconds for which the watch's thread continues without a waiter.
_LINGER = 5.0

#: Maximum number of descriptors per check.
_BATCH = 64

#: Minimum number of lists in which the system looks for a waiting thread, and Linux's numbers to ask and set it.
_FUTEX_SLOTS = 4096
_PR_FUTEX_HASH, _SET_SLOTS, _GET_SLOTS = 78, 1, 2


class _Waiter(Ticket):
    """A waiting thread, which gets a turn when its descriptor is ready.

    :ivar ready: the descriptor that is ready; None before, and if the watch has failed.
    """

    def __init__(self, descriptors: Sequence[int]) -> None:
        super().__init__()
        self.descriptors = descriptors
        self.ready: Optional[int] = None


class SocketWatch(_fork.ForkSafeDefaults):
    """Watches descriptors for threads. Any thread.

    :param turns: the turns of the threads that it wakes.
    :param most_alone: maximum number of threads that wait without the watch.
    """

    def __init__(self, turns: Turns = TURNS, most_alone: int = MOST_ALONE) -> None:
        self._turns = turns
        self._most_alone = most_alone
        self._epoll: Any = None
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In the child of a fork: forget the waiting threads, which exist only in the parent."""
        epoll, self._epoll = self._epoll, None
        if epoll is not None:
            epoll.close()
        # Re-entrant: a signal handler may interrupt the main thread while it holds the lock, and wait itself.
        self._lock = threading.RLock()
        self._alone: Dict[int, None] = {}
        self._waiters: Dict[int, _Waiter] = {}  # by descriptor

    @property
    def is_watching(self) -> bool:
        """Whether the watch's thread runs."""
        return self._epoll is not None

    def enter_alone(self) -> bool:
        """Note that this thread waits without the watch. Returns False if too many threads already do."""
        if len(self._alone) >= self._most_alone:
            return False
        self._alone[threading.get_ident()] = None
        return True

    def leave_alone(self) -> None:
        """Note that this thread has ended its wait. No-op if it had not entered."""
        self._alone.pop(threading.get_ident(), None)

    def wait(self, descriptors: Sequence[int], timeout: float) -> Optional[List[int]]:
        """Wait until a descriptor is readable or failed. This thread then has a turn.

        :param timeout: seconds.
        :returns: the descriptor; all descriptors if the watch failed, so that the caller must check; [] at the timeout;
            None if the watch can't watch them.
        """
        waiter = _Waiter(descriptors)
        with self._lock:
            if not self._add(waiter):
                return None
        woken = False
        try:
            woken = waiter.granted.acquire(timeout=timeout)
        finally:
            with self._lock:
                self._remove(waiter)
            if waiter.ready is not None and not woken:
                self._turns.withdraw(waiter)
        if waiter.ready is not None:
            self._turns.resume()  # no-op, unless the time ended before its turn came
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
            except (OSError, ValueError):  # it is closed, and the system has dropped it
                continue

    def _start(self) -> bool:
        if not hasattr(select, "epoll"):
            return False
        try:
            self._epoll = select.epoll()
            threading.Thread(target=self._run, args=(self._epoll,), name="cometchat-sockets", daemon=True).start()
            spread_waiting_threads()
        except (OSError, RuntimeError) as error:
            logger.debug("no socket watch, each thread watches its own socket: %s", error)
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
                waiter.granted.release()

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
            logger.exception("Unexpected error of the socket watch. Each thread watches its own socket.")
            with self._lock:
                if self._epoll is epoll:
                    self._drop()

    def _wake(self, descriptor: int) -> None:
        with self._lock:  # or its thread may not be known yet
            waiter = self._waiters.get(descriptor)
            if waiter is None or waiter.ready is not None:
                return
            self._turns.request(waiter)
            waiter.ready = descriptor


def spread_waiting_threads() -> None:
    """Make the time to wake a thread independent of the number of threads that wait.

    Since version 6.16, Linux has some lists of waiting threads for each process: eight for each core. It searches a
    whole list to wake one thread, so a process with 5,000 clients spent most of its time in these searches.
    """
    try:
        import ctypes  # here, because few processes have so many threads

        prctl = ctypes.CDLL(None).prctl
        slots = prctl(_PR_FUTEX_HASH, _GET_SLOTS, 0, 0, 0)
        if 0 < slots < _FUTEX_SLOTS:  # -1: the system has no such lists, 0: it has the same lists for all processes
            prctl(_PR_FUTEX_HASH, _SET_SLOTS, _FUTEX_SLOTS, 0, 0)
    except (ImportError, OSError, AttributeError) as error:
        logger.debug("waking a thread takes longer with thousands of threads: %s", error)


#: Of this process.
WATCH = SocketWatch()

_fork.register(_fork.Layer.PROCESS, WATCH)

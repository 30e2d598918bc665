"""Turns limit how many threads of this SDK reconnect at the same time, and a watch wakes their threads in turns.

A server that drops a thousand connections wakes a thousand threads. A thread that waits for Python's global lock asks
for it every 5 ms. With some 600 such threads the process does little else, and the attempts time out. So a thread that
reconnects waits for a turn first. While it waits for the network it lends its turn to another thread.

A thread that waits in the system's poll wakes as soon as its socket is ready. So if many threads wait for idle sockets,
each waits for its own lock instead. One thread, the watch, asks the system about all their sockets, and releases a
thread when it has a turn for it. A process with few clients has neither the watch nor its thread, and neither has a
system without epoll (Linux has it).
"""

from __future__ import annotations

import collections
import contextlib
import logging
import select
import threading
import time
from typing import Any, Callable, ContextManager, Deque, Dict, List, Optional, Sequence

from . import _fork
from ._log import SafeLog
from ._thread_start import start_thread

logger = SafeLog(logging.getLogger("cometchat.connection"))

#: Maximum number of threads that have a turn.
_MOST = 2

#: Maximum number of threads that have or lend a turn, before another thread begins.
_MOST_BEGUN = 64

#: Seconds after which a thread that lends its turn no longer counts, because its server does not answer.
_AWAY = 1.0

#: Seconds after which another thread may use the turn of a thread that hangs, such as in a log handler.
_PATIENCE = 10.0

#: Maximum number of checks for a hanging holder in the time of one patience.
_CHECKS = 100

#: Maximum number of threads that wait in the system's poll at the same time. Further threads wait with the watch.
MOST_ALONE = 200

#: Seconds for which the watch's thread continues without a waiter.
_LINGER = 0.5

#: Maximum number of descriptors per check.
_BATCH = 64

#: Minimum number of lists in which the system looks for a waiting thread, and Linux's numbers to ask and set it.
_FUTEX_SLOTS = 4096
_PR_FUTEX_HASH, _SET_SLOTS, _GET_SLOTS = 78, 1, 2


class Ticket:
    """A thread's place in the queue for a turn.

    :ivar holder: the identifier of the thread that makes this object.
    :ivar granted: a lock that is held until the thread has a turn.
    """

    def __init__(self) -> None:
        self.holder = threading.get_ident()
        self.granted = threading.Lock()
        self.granted.acquire()


#: The context of a thread without a turn.
_NOTHING = contextlib.nullcontext()


class Turns(_fork.ForkSafe):
    """Gives turns to threads. Any thread. A thread has at most one turn.

    A thread that continues gets a turn before a thread that begins, and only some threads begin at the same time.
    Otherwise thousands of attempts would be in progress, and time out. A first attempt begins before the repeated ones,
    because a user waits for it.

    The object is also the context in which a thread lends its turn: see :meth:`lent`.

    :param count: how many turns there are.
    :param patience: Maximum time, in seconds, that a thread keeps a turn while other threads wait for it.
    :param clock: monotonic seconds.
    """

    def __init__(
        self, count: int = _MOST, patience: float = _PATIENCE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._count = count
        self._patience = patience
        self._clock = clock
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Take back all turns in the child of a fork, which does not have the threads that held them."""
        self._lock = threading.RLock()  # re-entrant: a signal handler may interrupt the main thread
        self._free = self._count
        # Monotonic seconds, by thread: since when it has a turn, and since when it lends its turn.
        self._since: Dict[int, float] = {}
        self._lent: Dict[int, float] = {}
        self._continuing: Deque[Ticket] = collections.deque()
        self._first: Deque[Ticket] = collections.deque()
        self._others: Deque[Ticket] = collections.deque()

    def take(self, *, is_first: bool = False) -> None:
        """Wait for a turn. No-op if this thread has one.

        :param is_first: whether it is for a first attempt.
        """
        self._wait_for_turn(self._first if is_first else self._others)

    def give_back(self, *, lends: bool = False) -> bool:
        """Give up this thread's turn. Never waits.

        :param lends: only until :meth:`resume`.
        :returns: False if it has no turn.
        """
        me = threading.get_ident()
        if me not in self._since:  # without the lock, for the many threads that never have a turn
            return False
        with self._lock:
            if self._since.pop(me, None) is None:
                return False  # another thread has just revoked it
            if lends:
                self._lent[me] = self._clock()
            self._free += 1
            self._grant()
        return True

    def resume(self) -> None:
        """Wait for the turn that this thread lends."""
        self._wait_for_turn(self._continuing)

    def lent(self) -> ContextManager[None]:
        """Return a context in which this thread lends its turn, if it has one, for the time of a wait."""
        return self if threading.get_ident() in self._since else _NOTHING  # most threads never have a turn

    def __enter__(self) -> None:
        self.give_back(lends=True)

    def __exit__(self, *_: object) -> None:
        self.resume()

    def request(self, ticket: Ticket) -> None:
        """Ask for a turn for the thread of a ticket. Does not wait."""
        with self._lock:
            (self._continuing if ticket.holder in self._lent else self._others).append(ticket)
            self._grant()

    def withdraw(self, ticket: Ticket) -> None:
        """Remove a request. No-op if the thread has its turn."""
        with self._lock:
            for queue in (self._continuing, self._others):
                with contextlib.suppress(ValueError):  # it is not in this queue
                    queue.remove(ticket)

    def _wait_for_turn(self, queue: Deque[Ticket]) -> None:
        me = threading.get_ident()
        if me in self._since:
            return
        with self._lock:
            if self._free and not (self._continuing or self._first or self._others) and self._may_begin():
                return self._give(me)
            ticket = Ticket()
            queue.append(ticket)
            self._grant()
            waiting = len(self._continuing) + len(self._first) + len(self._others)
        # The threads check for a hanging holder one after the other. If all woke to check, they would slow the process.
        while not ticket.granted.acquire(timeout=self._patience * (1 + waiting / _CHECKS)):
            self._revoke()

    def _grant(self) -> None:
        """Give the free turns to the threads that wait. The caller holds the lock."""
        while self._free:
            queue = self._continuing or self._first or self._others
            if not queue or (queue is not self._continuing and not self._may_begin()):
                return
            ticket = queue.popleft()
            self._give(ticket.holder)
            ticket.granted.release()

    def _give(self, holder: int) -> None:
        self._lent.pop(holder, None)
        self._since[holder] = self._clock()
        self._free -= 1

    def _may_begin(self) -> bool:
        if len(self._lent) < _MOST_BEGUN:
            return True
        late = self._clock() - _AWAY
        return sum(since > late for since in self._lent.values()) < _MOST_BEGUN

    def _revoke(self) -> None:
        """Take the turns of threads that hang, which continue without one."""
        late = self._clock() - self._patience
        with self._lock:
            for holder, since in self._since.copy().items():
                if since <= late:
                    del self._since[holder]
                    self._free += 1
            self._grant()


#: Of this process.
TURNS = Turns()


class _Waiter(Ticket):
    """A waiting thread, which gets a turn when its descriptor is ready.

    :ivar ready: the descriptor that is ready; None before, and if the watch has failed.
    """

    def __init__(self, descriptors: Sequence[int]) -> None:
        super().__init__()
        self.descriptors = descriptors
        self.ready: Optional[int] = None


class SocketWatch(_fork.ForkSafe):
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
        try:
            with self._lock:
                if not self._add(waiter):
                    return None
        except Exception as error:  # the system has no descriptors, threads or memory left
            logger.debug("no socket watch, each thread watches its own socket: %s", error)
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
        try:
            for descriptor in waiter.descriptors:
                self._epoll.register(descriptor, select.EPOLLIN | select.EPOLLONESHOT)
                self._waiters[descriptor] = waiter
        except Exception:  # it is closed, another thread waits for it, or the system has no memory left
            self._remove(waiter)
            return False
        return True

    def _remove(self, waiter: _Waiter) -> None:
        for descriptor in waiter.descriptors:
            if self._waiters.get(descriptor) is not waiter:
                continue  # it was not added, or the watch has ended
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
            start_thread(threading.Thread(target=self._run, args=(self._epoll,), name="cometchat-sockets", daemon=True))
        except Exception:
            self._drop()
            raise
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
            spread_waiting_threads()
            while True:
                ready = epoll.poll(_LINGER, _BATCH)
                for descriptor, _ in ready:
                    self._wake(descriptor)
                if ready:
                    continue
                with self._lock:
                    if not self._waiters:
                        self._drop()
                        return
        except BaseException:
            with self._lock:
                if self._epoll is epoll:
                    self._drop()
            logger.exception("Unexpected error of the socket watch. Each thread watches its own socket.")

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

_fork.register(_fork.Layer.PROCESS, TURNS)
_fork.register(_fork.Layer.PROCESS, WATCH)

"""Turns limit how many threads of this SDK reconnect at the same time.

A server that drops a thousand connections wakes a thousand threads. A thread that waits for Python's global lock asks
for it every 5 ms. With some 600 such threads the process does little else, and the attempts time out. So a thread that
reconnects waits for a turn first. While it waits for the network it lends its turn to another thread.
"""

from __future__ import annotations

import collections
import contextlib
import threading
import time
from typing import Callable, Deque, Dict, Iterator

from . import _fork

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


class Ticket:
    """A thread's place in the queue for a turn.

    :ivar holder: the identifier of the thread that makes this object.
    :ivar granted: a lock that is held until the thread has a turn.
    """

    def __init__(self) -> None:
        self.holder = threading.get_ident()
        self.granted = threading.Lock()
        self.granted.acquire()


class Turns(_fork.ForkSafeDefaults):
    """Gives turns to threads. Any thread. A thread has at most one turn.

    A thread that continues gets a turn before a thread that begins, and only some threads begin at the same time.
    Otherwise thousands of attempts would be in progress, and time out. A first attempt begins before the repeated ones,
    because a user waits for it.

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

    def give_back(self) -> bool:
        """Give up this thread's turn. Never waits.

        :returns: False if it has no turn.
        """
        return self._free_one(lends=False)

    def lend(self) -> bool:
        """Give this thread's turn to another thread until :meth:`resume`. Never waits.

        :returns: False if it has no turn.
        """
        return self._free_one(lends=True)

    def resume(self) -> None:
        """Wait for the turn that this thread lends."""
        self._wait_for_turn(self._continuing)

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """Lend this thread's turn for the time of a wait, if it has one."""
        lends = self.lend()
        try:
            yield
        finally:
            if lends:
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
        if threading.get_ident() in self._since:
            return
        ticket = Ticket()
        with self._lock:
            queue.append(ticket)
            self._grant()
            waiting = len(self._continuing) + len(self._first) + len(self._others)
        # The threads check for a hanging holder one after the other. If all woke to check, they would slow the process.
        while not ticket.granted.acquire(timeout=self._patience * (1 + waiting / _CHECKS)):
            self._revoke()

    def _free_one(self, *, lends: bool) -> bool:
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

    def _grant(self) -> None:
        """Give the free turns to the threads that wait. The caller holds the lock."""
        while self._free:
            queue = self._continuing or (self._may_begin() and (self._first or self._others))
            if not queue:
                return
            ticket = queue.popleft()
            self._lent.pop(ticket.holder, None)
            self._since[ticket.holder] = self._clock()
            self._free -= 1
            ticket.granted.release()

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

_fork.register(_fork.Layer.PROCESS, TURNS)

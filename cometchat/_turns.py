"""Turns limit how many threads of this SDK reconnect at the same time.

A server that drops a thousand connections wakes a thousand threads. A thread that waits for Python's global lock asks
for it every 5 ms. With some 600 such threads the process does little else, and the attempts time out. So a thread that
reconnects waits for a turn first, and gives it back while it waits for the network.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from typing import Iterator

from . import _fork

#: Maximum threads that have a turn, without those that wait for the network.
_MOST = 2

#: Seconds after which a thread continues without a turn, because the holder of a turn may hang, such as in a log
#: handler.
_PATIENCE = 10.0


class Turns(_fork.ForkSafeDefaults):
    """Gives turns to threads. Any thread. A thread has at most one turn.

    :param count: how many turns there are.
    :param patience: seconds.
    """

    def __init__(self, count: int = _MOST, patience: float = _PATIENCE) -> None:
        self._count = count
        self._patience = patience
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Take back all turns in the child of a fork, which does not have the threads that held them."""
        self._mine = threading.local()
        self._free: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(self._count):
            self._free.put(None)

    def take(self) -> None:
        """Wait for a turn. No-op if this thread has one. Continues without a turn after some seconds."""
        if getattr(self._mine, "has_turn", False):
            return
        try:
            self._free.get(timeout=self._patience)
        except queue.Empty:
            return
        self._mine.has_turn = True

    def take_for_another(self) -> bool:
        """Wait for a turn of another thread, which calls :meth:`adopt`. Returns False after some seconds."""
        try:
            self._free.get(timeout=self._patience)
        except queue.Empty:
            return False
        return True

    def adopt(self) -> None:
        """Note that another thread has taken a turn for this one, which had no turn."""
        self._mine.has_turn = True

    def put_back(self) -> None:
        """Free a turn that was taken for another thread, which does not need it."""
        self._free.put(None)

    def give_back(self) -> bool:
        """Give this thread's turn to another thread. Never waits.

        :returns: False if this thread has no turn.
        """
        if not getattr(self._mine, "has_turn", False):
            return False
        self._mine.has_turn = False
        self._free.put(None)
        return True

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """Give this thread's turn back for the time of a wait, if it has one."""
        had_turn = self.give_back()
        try:
            yield
        finally:
            if had_turn:
                self.take()


#: Of this process.
TURNS = Turns()

_fork.register(_fork.Layer.PROCESS, TURNS)

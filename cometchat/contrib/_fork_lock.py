"""A lock that is never left locked in the child of a fork."""

from __future__ import annotations

import threading
from typing import Callable

from cometchat._fork import ForkSafe, Layer, register

#: Maximum wait of a fork for the lock, in seconds. Only fast code runs under the lock.
_PATIENCE = 0.2


class ForkLock(ForkSafe):
    """A reentrant lock with a condition. A fork waits until no other thread holds it.

    So the child finds consistent state and a free lock. If another thread does not release the lock in time, the child
    gets a new one.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition(threading.RLock())
        self._is_paused = False
        register(Layer.APPLICATION, self)

    def __enter__(self) -> None:
        self._condition.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self._condition.release()

    def wait_for(self, predicate: Callable[[], bool], timeout: float) -> None:
        """Wait until the predicate is true, at most ``timeout`` seconds. The caller holds the lock."""
        self._condition.wait_for(predicate, timeout)

    def notify_all(self) -> None:
        """Wake the threads that wait. The caller holds the lock."""
        self._condition.notify_all()

    def pause_for_fork(self) -> None:
        """Take the lock if possible in a short time."""
        self._is_paused = self._condition.acquire(timeout=_PATIENCE)

    def resume_after_fork(self) -> None:
        """Release what :meth:`pause_for_fork` took."""
        if self._is_paused:
            self._is_paused = False
            self._condition.release()

    def reset_after_fork(self) -> None:
        """In the child: release the lock, or replace the one that a thread of the parent holds."""
        if self._is_paused:
            self.resume_after_fork()
        else:
            self._condition = threading.Condition(threading.RLock())

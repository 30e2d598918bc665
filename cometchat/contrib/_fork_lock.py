"""A lock that a fork can't leave locked in the child."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Callable, Optional, Type

from cometchat._fork import ForkSafeDefaults, Layer, register

#: Maximum time that a fork waits for the lock, in seconds. Nothing slow runs under it.
_PATIENCE = 0.2


class ForkLock(ForkSafeDefaults):
    """A reentrant lock with a condition. A fork waits until no other thread holds it.

    The child then finds the protected state as a whole, and the lock free. If another thread does not release the lock
    in time, the child gets a new one.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition(threading.RLock())
        self._is_paused = False
        register(Layer.APPLICATION, self)

    def __enter__(self) -> None:
        self._condition.acquire()

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._condition.release()

    def acquire(self, timeout: float = -1) -> bool:
        """Take the lock. Returns False if another thread holds it for ``timeout`` seconds (-1: no limit)."""
        return self._condition.acquire(timeout=timeout)

    def release(self) -> None:
        """Release the lock that :meth:`acquire` took."""
        self._condition.release()

    def wait_for(self, predicate: Callable[[], bool], timeout: float) -> None:
        """Wait until the predicate is true, at most ``timeout`` seconds. The caller holds the lock."""
        self._condition.wait_for(predicate, timeout)

    def notify_all(self) -> None:
        """Wake the threads that wait. The caller holds the lock."""
        self._condition.notify_all()

    def pause_for_fork(self) -> None:
        """Take the lock, if that is possible in a short time."""
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

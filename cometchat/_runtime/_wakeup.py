"""An event that a signal handler may set, whatever the thread that it interrupts was doing with it."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Callable, Optional


class Wakeup:
    """Like ``threading.Event``, which hangs where a signal handler sets it while its own thread holds its lock.

    One raw lock is the gate: locked while the event is not set. No thread owns it, and ``set()`` never waits for it.
    The flag is the truth; the gate only blocks the waiters. A waiter that comes through the gate opens it again for the
    next one, unless the event was cleared in between: it then leaves the gate locked, and waits again. So with several
    waiters only one of them may clear it, and the others may miss a set() that is cleared at once.

    :param clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._is_set = False
        self._gate = threading.Lock()
        self._gate.acquire()

    def set(self) -> None:
        """Wake all waiters, now and until :meth:`clear`. Never waits."""
        self._is_set = True
        self._open()

    def clear(self) -> None:
        """Let later waiters wait. Never waits."""
        self._is_set = False
        self._gate.acquire(blocking=False)
        if self._is_set:  # set() came in between, and may have found the gate open
            self._open()

    def is_set(self) -> bool:
        """Whether the event is set."""
        return self._is_set

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Wait until the event is set, at most ``timeout`` seconds.

        :returns: whether it is set.
        """
        end = None if timeout is None else self._clock() + timeout
        while not self._is_set:
            left = -1.0 if end is None else min(max(0.0, end - self._clock()), threading.TIMEOUT_MAX)
            if not self._gate.acquire(timeout=left):
                return self._is_set
            if self.is_set():
                self._open()
        return True

    def _open(self) -> None:
        with contextlib.suppress(RuntimeError):  # it was open
            self._gate.release()

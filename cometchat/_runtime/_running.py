"""Implements run_forever(): waits until the client is closed or a signal arrives."""

from __future__ import annotations

import contextlib
import signal
import threading
from types import FrameType
from typing import Any, Callable, Optional

from .. import _fork
from ._threads import Wakeup

#: Seconds before the check of the client.
_CHECK_AFTER = 5.0


def run_until(ended: Wakeup, close: Callable[[], None], check: Callable[[], None]) -> None:
    """Wait until a client is closed, or until a signal in the main thread; then close it.

    :param ended: is set when the client is closed. The signals set it too.
    :param close: closes the client; no-op when it is closed.
    :param check: checks the client once, after some seconds.
    """
    with contextlib.ExitStack() as handlers:
        for number in (signal.SIGINT, signal.SIGTERM):
            # A handler may interrupt any code. So it does not close the client; it only wakes the waiting thread.
            handlers.enter_context(_SignalHandler(number, ended.set))
        if not ended.wait(_CHECK_AFTER):
            check()
            ended.wait()
        close()


class _SignalHandler(_fork.ForkSafe):
    """Handles a signal for the duration of a block. No-op on threads other than the main thread.

    In the child of a fork the block goes on only if the thread that waits has forked. The child of another thread gets
    the handler from before the block. (With Python 3.13.0 the signals of such a child call no handler at times.)
    """

    def __init__(self, number: int, stop: Callable[[], None]) -> None:
        self._number = number
        self._stop = stop
        self._waits = threading.current_thread()
        self._before: Any = None
        self._installed = False

    def __enter__(self) -> None:
        self._before = signal.getsignal(self._number)
        # A handler that was not installed from Python can't be restored, so it is kept.
        if self._before is not None and threading.main_thread() is self._waits:
            _fork.register(_fork.Layer.PROCESS, self)
            with contextlib.suppress(ValueError):  # a sub-interpreter can't handle signals
                signal.signal(self._number, self._handle)
                self._installed = True

    def __exit__(self, *_: object) -> None:
        _fork.unregister(self)
        self._restore()

    def reset_after_fork(self) -> None:
        """In the child of a fork: restore the earlier handler, unless this thread is the one that waits."""
        if threading.main_thread() is not self._waits:
            self._restore()

    def _handle(self, number: int, frame: Optional[FrameType]) -> None:
        self._stop()

    def _restore(self) -> None:
        if self._installed and signal.getsignal(self._number) == self._handle:
            signal.signal(self._number, self._before)

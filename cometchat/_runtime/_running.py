"""Implements run_forever(): waits until the client is closed or a signal arrives."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import FrameType
from typing import Callable, Iterator, Optional

from ._threads import Wakeup

#: Maximum length of one wait, in seconds. Python runs a signal handler between two bytecodes. So a signal just before
#: the system's wait does not end that wait; on Windows no signal does.
_STRETCH = 0.5

#: Number of such waits before the check of the client.
_STRETCHES = 10


def run_until(ended: Wakeup, close: Callable[[], None], check: Callable[[], None]) -> None:
    """Wait until a client is closed, or until a signal in the main thread; then close it.

    :param ended: is set when the client is closed. The signals set it too.
    :param close: closes the client; no-op when it is closed.
    :param check: checks the client once, after 5 s.
    """
    with contextlib.ExitStack() as handlers:
        for number in (signal.SIGINT, signal.SIGTERM):
            # A handler may interrupt any code. So it does not close the client; it only wakes the waiting thread.
            handlers.enter_context(_handled_by(number, ended.set))
        stretches = 0
        while not ended.wait(_STRETCH):
            stretches += 1
            if stretches == _STRETCHES:
                check()
        close()


@contextlib.contextmanager
def _handled_by(number: int, stop: Callable[[], None]) -> Iterator[None]:
    """Handle a signal for the duration of a block. No-op on threads other than the main thread."""
    waits = threading.current_thread()

    def handler(number: int, frame: Optional[FrameType]) -> None:
        if threading.main_thread() is waits:
            stop()
        elif callable(before):  # the child of a fork on another thread, in which nothing waits
            before(number, frame)
        else:
            signal.signal(number, before)
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    # A handler that was not installed from Python can't be restored, so it is kept.
    installed = threading.main_thread() is waits and before is not None and _install(number, handler)
    try:
        yield
    finally:
        if installed and signal.getsignal(number) is handler:
            signal.signal(number, before)


def _install(number: int, handler: Callable[[int, Optional[FrameType]], None]) -> bool:
    """Install a handler. Returns False in a sub-interpreter, which can't handle signals."""
    try:
        signal.signal(number, handler)
    except ValueError:
        return False
    return True

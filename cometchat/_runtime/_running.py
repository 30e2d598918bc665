"""What run_forever() does: it waits until a client is to end, by a signal too."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import FrameType
from typing import Callable, Iterator, Optional

from ._threads import Wakeup

#: Maximum wait, in seconds, at a stretch. Python runs a signal's handler between two steps of its own: a signal that
#: comes just before the system's wait does not end that wait. On Windows no signal does.
_STRETCH = 0.5


def run_until(ended: Wakeup, close: Callable[[], None]) -> None:
    """Wait until a client is closed, or until a signal in the main thread; then close it.

    :param ended: is set when the client is closed. The signals set it, too.
    :param close: closes the client; no-op when it is closed.
    """
    with contextlib.ExitStack() as handlers:
        for number in (signal.SIGINT, signal.SIGTERM):
            # A handler may have interrupted anything: it closes nothing, and wakes the thread that waits.
            handlers.enter_context(_handled_by(number, ended.set))
        while not ended.wait(_STRETCH):
            pass
        close()


@contextlib.contextmanager
def _handled_by(number: int, stop: Callable[[], None]) -> Iterator[None]:
    """Handle a signal for the time of a block. In another thread than the main one this does nothing."""
    waits = threading.current_thread()

    def handler(number: int, frame: Optional[FrameType]) -> None:
        if threading.main_thread() is waits:
            stop()
        elif callable(before):  # the child of a fork that another thread made: nothing waits in it
            before(number, frame)
        else:
            signal.signal(number, before)
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    # A handler that was not installed from Python could not be restored, and stays.
    installed = threading.main_thread() is waits and before is not None and _install(number, handler)
    try:
        yield
    finally:
        if installed and signal.getsignal(number) is handler:
            signal.signal(number, before)


def _install(number: int, handler: Callable[[int, Optional[FrameType]], None]) -> bool:
    """Install a handler. Returns False if this interpreter handles no signals: it is not the main one."""
    try:
        signal.signal(number, handler)
    except ValueError:
        return False
    return True

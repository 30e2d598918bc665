"""A thread of the SDK that no exception ends while it is wanted."""

from __future__ import annotations

import logging
import threading
import time
from typing import Callable, Optional

from ..exceptions import ERR_INTERNAL, exception_for
from ._backoff import Backoff
from ._log import ClientLog

logger = logging.getLogger("cometchat.client")

#: Seconds: a failure after a longer run starts a new series of waits.
_GOOD_RUN = 30.0


class ServiceThread:
    """Runs ``work`` on a daemon thread, and again if it raised. The thread ends when ``work`` returns.

    :param name: the thread's, which names its client.
    :param work: the thread's loop.
    :param wanted: whether ``work`` is to run again after it raised.
    :param wait: waits so many seconds; returns early if the thread is no longer wanted.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], None],
        *,
        wanted: Callable[[], bool],
        wait: Callable[[float], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._work = work
        self._wanted = wanted
        self._wait = wait
        self._clock = clock
        self._backoff = Backoff()
        self._log = ClientLog(logger, self._own_name)
        self._lock = threading.RLock()
        self._starting = False
        self._thread: Optional[threading.Thread] = None
        #: What the report of an exception raised last, or the wait after it; for a debugger.
        self.last_failure: Optional[BaseException] = None

    def start(self) -> None:
        """Start the thread; no-op while it runs. Any thread; also in a signal handler that interrupted this very call.

        :raises CometChatException: ``ERR_INTERNAL``: the system gives no thread.
        """
        with self._lock:
            if self._starting:
                return  # this is a signal handler; the call that it interrupted starts the thread
            self._starting = True
            try:
                if self.alive:
                    return
                self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                self._thread.start()
            except Exception as cause:  # no memory, no descriptors, the interpreter ends, a sub-interpreter, ...
                self._thread = None
                raise exception_for(ERR_INTERNAL, f"No thread can be started: {cause}.") from cause
            finally:
                self._starting = False

    def join(self, timeout: float) -> None:
        """Wait for the thread's end, at most ``timeout`` seconds; no-op on the thread itself."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread() and thread.is_alive():
            thread.join(timeout)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def _run(self) -> None:
        while True:
            started = self._clock()
            try:
                self._work()
                return
            except BaseException as error:  # SystemExit of a logging handler too
                if not self._wanted():
                    if isinstance(error, Exception):
                        return
                    raise
                self._recover(error, self._clock() - started)
                if not self._wanted():
                    return

    def _recover(self, error: BaseException, lived: float) -> None:
        """Report an exception of ``work`` and wait. Nothing that fails here may end the thread."""
        if lived >= _GOOD_RUN:
            self._backoff.reset()
        seconds = self._backoff.next()
        self._try(lambda: self._log.error("Unexpected error: it goes on in %.1f s.", seconds, exc_info=error))
        self._try(lambda: self._wait(seconds))

    def _try(self, step: Callable[[], object]) -> None:
        try:
            step()
        except BaseException as failure:  # such as a logging handler that exits
            self.last_failure = failure

    def _own_name(self) -> str:
        return self.name

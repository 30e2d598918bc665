"""Logs that never raise, even if a handler, filter or formatter does (on a full disk, on a closed stream)."""

from __future__ import annotations

import logging
import queue
import threading
import time
import warnings
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

#: Maximum wait of a fork for the threads that write a record, in seconds.
_PATIENCE = 0.5


class _Pause(NamedTuple):
    """A fork that waits for the writers.

    :ivar thread: the thread that forks. It may write.
    :ivar lock: held until the fork is over.
    :ivar left: gets an item whenever a thread has written its record. A signal handler may call its put().
    """

    thread: int
    lock: threading.Lock
    left: queue.SimpleQueue[None]


class Writers:
    """The threads that write a record of this SDK. During a fork only the thread that forks may write.

    A thread that writes holds two locks: the handler's, and that of the handler's stream. In the child Python makes
    only the first one new. So after a fork in the middle of a record, the child's first record would wait forever.

    The handlers' own locks are not taken: another library may wait in its own fork hook for a thread that writes to the
    log. Threads of the program are not stopped either.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Thread -> number of its records in progress: a handler may use the SDK. A thread changes its own entry only.
        self._records: Dict[int, int] = {}
        self._pause: Optional[_Pause] = None

    def __enter__(self) -> None:
        thread = threading.get_ident()
        records = self._records.get(thread, 0)
        while True:
            self._records[thread] = records + 1
            pause = self._pause  # read afterwards: a fork that begins now sees the entry
            if pause is None or records or pause.thread == thread:
                return
            self._leave(thread)
            with pause.lock:
                pass

    def __exit__(self, *_: object) -> None:
        thread = threading.get_ident()
        records = self._records.get(thread, 1)
        if records > 1:
            self._records[thread] = records - 1
        else:
            self._leave(thread)

    def _leave(self, thread: int) -> None:
        self._records.pop(thread, None)
        pause = self._pause
        if pause is not None:
            pause.left.put(None)

    def pause(self) -> None:
        """Let no other thread begin a record, and wait until none is in progress. A blocked handler is left out."""
        if self._pause is not None:  # a signal handler forks during a fork
            return
        pause = _Pause(threading.get_ident(), threading.Lock(), queue.SimpleQueue())
        pause.lock.acquire()
        self._pause = pause
        ends = self._clock() + _PATIENCE
        while any(thread != pause.thread for thread in list(self._records)):
            try:
                pause.left.get(timeout=max(0.0, ends - self._clock()))
            except queue.Empty:
                return

    def resume(self) -> None:
        """Let other threads write again."""
        pause, self._pause = self._pause, None
        if pause is not None:
            pause.lock.release()

    def reset(self) -> None:
        """In the child of a fork: forget the threads of the parent."""
        thread = threading.get_ident()
        self._records = {each: records for each, records in self._records.items() if each == thread}
        self._pause = None


#: Of this process.
WRITERS = Writers()


class SafeLog:
    """Writes to a logger. Any thread. No method raises, except a ``SystemExit`` on the main thread.

    Each message of a client's log starts with ``[client 3, uid]``, and each record has ``client`` as an attribute, for
    formatters and filters. In a log that is not of one client it is an empty text, since a formatter fails without it.

    :param logger: where the records go.
    :param client_name: returns the name, such as ``client 3, uid``; asked for each record, since the uid changes. None
        for a log that is not of one client.
    """

    __slots__ = ("_logger", "_client_name", "last_failure")

    def __init__(self, logger: logging.Logger, client_name: Optional[Callable[[], str]] = None) -> None:
        self._logger = logger
        self._client_name = client_name
        #: The newest exception of a handler, a filter or a formatter; for a debugger.
        self.last_failure: Optional[BaseException] = None

    def debug(self, message: str, *args: object) -> None:
        """Write a record of the level DEBUG."""
        self._write(logging.DEBUG, message, args)

    def info(self, message: str, *args: object) -> None:
        """Write a record of the level INFO."""
        self._write(logging.INFO, message, args)

    def warning(self, message: str, *args: object, exc_info: Any = None) -> None:
        """Write a record of the level WARNING."""
        self._write(logging.WARNING, message, args, exc_info)

    def error(self, message: str, *args: object, exc_info: Any = None) -> None:
        """Write a record of the level ERROR."""
        self._write(logging.ERROR, message, args, exc_info)

    def exception(self, message: str, *args: object) -> None:
        """Write a record of the level ERROR, with the traceback of the exception that is being handled."""
        self._write(logging.ERROR, message, args, True)

    def _write(self, level: int, message: str, args: Tuple[object, ...], exc_info: Any = None) -> None:
        try:
            if not self._logger.isEnabledFor(level):
                return
            name = ""
            if self._client_name is not None:
                name = self._client_name()
                if not args:
                    message = message.replace("%", "%%")  # the name makes it a format
                message, args = f"[%s] {message}", (name, *args)
            # stacklevel: the caller of warning() and the like.
            with WRITERS:
                self._logger.log(level, message, *args, exc_info=exc_info, extra={"client": name}, stacklevel=3)
        except Exception as error:
            self.last_failure = error
        except SystemExit as error:
            if threading.current_thread() is threading.main_thread():
                raise  # it ends the process, and may be a signal handler's
            self.last_failure = error


def warn_if_switched_off() -> None:
    """Warn in Python's way if the configuration of logging has switched the SDK's loggers off, as it does by default.

    They can't report this themselves. Without the warning a program would not see an exception in its callback.
    """
    if logging.getLogger("cometchat.listeners").disabled:
        warnings.warn(
            "logging.config has switched off the loggers of cometchat, so you don't see its errors, nor exceptions in"
            ' your callbacks. Add "disable_existing_loggers": False to your logging configuration',
            RuntimeWarning,
            stacklevel=1,  # so that Python shows it once, however many clients there are
        )

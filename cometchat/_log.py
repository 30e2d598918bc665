"""Logs that never raise, even if a handler, filter or formatter does (on a full disk, on a closed stream)."""

from __future__ import annotations

import logging
import threading
import warnings
from typing import Any, Callable, Optional, Tuple


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

"""A log that its handlers can't break: a thread that reports an error must not end with another one."""

from __future__ import annotations

import logging
from typing import Any, List


class SafeLog:
    """A logger whose methods never raise, although a handler may: on a full disk or a closed stream."""

    #: Maximum number of errors of handlers that are kept.
    _KEPT = 10

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        #: The newest errors of handlers, for a debugger.
        self.failures: List[Exception] = []

    def debug(self, text: str, *args: object) -> None:
        """Log for developers."""
        self._log(logging.DEBUG, text, *args)

    def info(self, text: str, *args: object) -> None:
        """Log for operators."""
        self._log(logging.INFO, text, *args)

    def warning(self, text: str, *args: object, exc_info: Any = None) -> None:
        """Log something that needs attention."""
        self._log(logging.WARNING, text, *args, exc_info=exc_info)

    def error(self, text: str, *args: object) -> None:
        """Log a failure."""
        self._log(logging.ERROR, text, *args)

    def exception(self, text: str, *args: object) -> None:
        """Log a failure with the traceback of the exception that is handled now."""
        self._log(logging.ERROR, text, *args, exc_info=True)

    def _log(self, level: int, text: str, *args: object, exc_info: Any = None) -> None:
        try:
            self._logger.log(level, text, *args, exc_info=exc_info, stacklevel=3)
        except Exception as error:
            self.failures.append(error)
            del self.failures[: -self._KEPT]

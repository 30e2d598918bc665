"""A client's log: each record names its client, and a logging handler that fails does not fail the client."""

from __future__ import annotations

import logging
from typing import Any, Callable


class ClientLog:
    """Writes to a logger for one client. Any thread. No method raises.

    Each message starts with ``[client 3, uid]``, and each record has ``client`` as an attribute, for formatters and
    filters.

    :param logger: where the records go.
    :param client_name: returns the name, such as ``client 3, uid``; asked for each record, since the uid changes.
    """

    def __init__(self, logger: logging.Logger, client_name: Callable[[], str]) -> None:
        self._logger = logger
        self._client_name = client_name
        #: Records that were lost because a handler, a filter or a formatter raised.
        self.failures = 0

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the name that logging.Logger gives it
        """Whether a record of this level would be written. Returns False if the logger fails."""
        try:
            return self._logger.isEnabledFor(level)
        except Exception:
            self.failures += 1
            return False

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

    def _write(self, level: int, message: str, args: Any, exc_info: Any = None) -> None:
        try:
            if not self._logger.isEnabledFor(level):
                return
            name = self._client_name()
            if not args:
                message = message.replace("%", "%%")  # the name makes it a format
            self._logger.log(
                level,
                f"[%s] {message}",
                name,
                *args,
                exc_info=exc_info,
                extra={"client": name},
                stacklevel=3,  # the caller of warning() and the like
            )
        except Exception:
            self.failures += 1

"""The two errors that end a command, each printed as one line on standard error, and the checks of its options."""

from __future__ import annotations

import math
import sys

#: Parts of Python that some builds lack. (Python 3.9 has no list of all its modules.)
_PARTS_OF_PYTHON = getattr(sys, "stdlib_module_names", frozenset({"bz2", "ctypes", "lzma", "sqlite3", "ssl", "zlib"}))


class UsageError(Exception):
    """The command was called wrongly, or lacks a package: exit code 2."""


class Failed(Exception):
    """The command did not succeed: exit code 1."""


def checked_text(text: str, name: str) -> str:
    """Return the text if it can be sent. (Bytes of another encoding become characters that can't.)

    :raises UsageError: it can't. The message has the name.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"the {name} is not text in this terminal's encoding") from error
    return text


def seconds(text: str) -> float:
    """Read a number of seconds. Returns NaN, which no range contains, if the text is not a number."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def missing_module(error: ImportError, extra: str = "") -> str:
    """Return the text for a module that can't be imported.

    :param extra: the extra of this package that installs it, such as ``[sandbox]``.
    """
    name = (error.name or "").partition(".")[0]
    if not name or not isinstance(error, ModuleNotFoundError):
        return str(error)
    part = name.lstrip("_")  # ``ssl``, for one, consists of ssl and _ssl
    if part in _PARTS_OF_PYTHON:
        return f"this Python ({sys.executable}) lacks its module {part}: install it, or use another Python"
    return f'{name} is not installed: pip install "cometchat{extra}"'

"""The two errors that end a command. Each is printed as one line on standard error."""

from __future__ import annotations


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

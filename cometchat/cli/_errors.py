"""The two errors that end a command. Each is printed as one line on standard error."""

from __future__ import annotations


class UsageError(Exception):
    """The command was called wrongly, or lacks a package: exit code 2."""


class Failed(Exception):
    """The command did not succeed: exit code 1."""

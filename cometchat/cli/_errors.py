"""The two ways in which a command ends badly, each one line on standard error."""

from __future__ import annotations


class UsageError(Exception):
    """The command was called wrongly, or lacks a package: exit code 2."""


class Failed(Exception):
    """What the command was to do, or to see, did not happen: exit code 1."""

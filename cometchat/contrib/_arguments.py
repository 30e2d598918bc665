"""Errors of wrong arguments, worded as in the rest of the SDK."""

from __future__ import annotations

from cometchat import InvalidArgumentException


def wrong(name: str, expected: str) -> InvalidArgumentException:
    """Return the error ``INVALID_<NAME>``; ``expected`` says what would be right."""
    return InvalidArgumentException(f"INVALID_{name.upper()}", f"Invalid {name}: expected {expected}.", name=name)

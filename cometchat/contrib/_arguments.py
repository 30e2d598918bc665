"""The refusal of a wrong argument, in the words that the SDK uses."""

from __future__ import annotations

from cometchat import InvalidArgumentException


def wrong(name: str, expected: str) -> InvalidArgumentException:
    """``INVALID_<NAME>``, with what would be right."""
    return InvalidArgumentException(f"INVALID_{name.upper()}", f"{name} is wrong: {expected}.", name=name)

"""The ids of messages: numbers, possibly as text, that grow with time. (That they are numbers is not confirmed.)"""

from __future__ import annotations

from typing import Any, Mapping, Optional

from .._fields import identifier

#: Maximum length of an id, in characters: the client remembers thousands of ids.
LONGEST = 100


def id_of(body: Mapping[str, Any]) -> Optional[str]:
    """Return a message's id as text; None without a usable id."""
    value = identifier(body, "id")
    if value is None or len(value) > LONGEST:
        return None
    # An address can't contain a lone surrogate.
    return None if any("\ud800" <= each <= "\udfff" for each in value) else value


def rank(message_id: str) -> int:
    """Return an id as a number; -1 if it is not a number."""
    return int(message_id) if message_id.isdecimal() and len(message_id) < 40 else -1


def newer(one: Optional[str], other: Optional[str]) -> Optional[str]:
    """Return the newer of two ids, which is the larger number; the first one if they are not numbers."""
    if one is None or other is None:
        return one if other is None else other
    return other if rank(other) > rank(one) else one


def older(one: Optional[str], other: Optional[str]) -> Optional[str]:
    """Return the older of two ids, which is the smaller number; the first one if they are not numbers."""
    if one is None or other is None:
        return one if other is None else other
    return other if rank(other) < rank(one) else one

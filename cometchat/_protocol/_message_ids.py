"""The ids of messages: numbers that grow with time, as text or not. (That they are numbers is not confirmed.)"""

from __future__ import annotations

from typing import Any, Mapping, Optional

from .._fields import identifier

#: Maximum length of an id, in characters: the client remembers thousands of ids.
LONGEST = 100


def id_of(body: Mapping[str, Any]) -> Optional[str]:
    """Return a message's id as text; None if it has none that is usable."""
    value = identifier(body, "id")
    if value is None or len(value) > LONGEST:
        return None
    # An address can't hold half of a surrogate pair.
    return None if any("\ud800" <= each <= "\udfff" for each in value) else value


def rank(message_id: str) -> int:
    """Return the number that an id is; -1 if it is not a number."""
    return int(message_id) if message_id.isdecimal() and len(message_id) < 40 else -1


def newer(one: Optional[str], other: Optional[str]) -> Optional[str]:
    """Return the newer of two ids: numbers that grow. Of ids that are not numbers, the first."""
    if one is None or other is None:
        return one if other is None else other
    return other if rank(other) > rank(one) else one


def older(one: Optional[str], other: Optional[str]) -> Optional[str]:
    """Return the older of two ids, likewise."""
    if one is None or other is None:
        return one if other is None else other
    return other if rank(other) < rank(one) else one

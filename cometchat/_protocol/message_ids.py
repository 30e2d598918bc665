"""The ids of messages: numbers that grow with time, as text or not. (That they are numbers is not confirmed.)"""

from __future__ import annotations

from typing import Any, Dict, Optional

#: Characters. A longer id is none: thousands are remembered.
LONGEST = 100

_TOO_LARGE = 10**LONGEST


def id_of(body: Dict[str, Any]) -> Optional[str]:
    """A message's id as text; None where it has none that could be one."""
    value = body.get("id")
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        return None
    if isinstance(value, int):
        return str(value) if abs(value) < _TOO_LARGE else None
    # Half of a surrogate pair no address can hold.
    return value if len(value) <= LONGEST and not any("\ud800" <= each <= "\udfff" for each in value) else None


def rank(message_id: str) -> int:
    """Its number; -1 where it is none."""
    return int(message_id) if message_id.isdecimal() and len(message_id) < 40 else -1


def newer(one: Optional[str], other: Optional[str]) -> Optional[str]:
    """The newer of two ids: numbers that grow. Of ids that are no numbers, the first."""
    if one is None or other is None:
        return one if other is None else other
    return other if rank(other) > rank(one) else one


def older(one: Optional[str], other: Optional[str]) -> Optional[str]:
    """The older of two ids, likewise."""
    if one is None or other is None:
        return one if other is None else other
    return other if rank(other) < rank(one) else one

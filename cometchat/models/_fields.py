"""Reading fields of JSON that may lack them or hold another type: a wrong field is None, never an exception."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Tuple

#: Keys that hold a credential: never kept in ``raw``.
SECRET_KEYS = frozenset({"authToken", "jwt"})


def text(data: Mapping[str, Any], key: str) -> Optional[str]:
    """A string; a number is taken for its digits, since ids come as either."""
    value = data.get(key)
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def number(data: Mapping[str, Any], key: str) -> Optional[int]:
    """A whole number: a Unix time in seconds, or a count."""
    value = data.get(key)
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)) and value == value and abs(value) != float("inf"):
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return None


def flag(data: Mapping[str, Any], key: str) -> Optional[bool]:
    """A boolean; 0 and 1 count."""
    value = data.get(key)
    if isinstance(value, (bool, int)):
        return bool(value)
    return None


def mapping(data: Mapping[str, Any], key: str) -> Dict[str, Any]:
    """A JSON object, a copy; an empty one where there is none."""
    value = data.get(key)
    return dict(value) if isinstance(value, dict) else {}


def texts(data: Mapping[str, Any], key: str) -> Tuple[str, ...]:
    """A list of strings, without what is not a string."""
    value = data.get(key)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, (list, tuple)) else ()


def raw(data: Mapping[str, Any]) -> Dict[str, Any]:
    """All of the object but its secrets. A plain dict, so that a model can be pickled and copied."""
    copied = dict(data)
    if not SECRET_KEYS.isdisjoint(copied):
        for key in SECRET_KEYS:
            copied.pop(key, None)
    return copied

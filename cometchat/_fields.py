"""Readers of JSON fields: one for each kind of field, the same for every frame, answer and model.

The service may leave a field out, send null, or send another type than it documents. A reader never raises: in place of
a value that it can't use, it returns None or an empty container. It accepts numbers that arrive as text, ids that
arrive as numbers, and objects that arrive as JSON text.
"""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, Optional, Tuple

#: Keys that hold a credential. ``raw`` never contains them. (``fat`` is the token for media files, and ``wsChannel``
#: has the secret of a channel.)
SECRET_KEYS = frozenset({"authToken", "jwt", "fat", "wsChannel"})

#: Maximum number of levels of a text that is read whole: as many as the outbox accepts, and those of the envelopes.
#: The decoders read some more, but with these Python's own functions, such as repr() and json.dumps(), fail.
DEEPEST = 600

#: Maximum size of a whole number, in bits: about 100 digits. Python refuses to write thousands of digits.
_LONGEST_NUMBER = 340

#: Maximum length of a number in text, in characters.
_LONGEST_DIGITS = 19

#: Maximum Unix time, in seconds.
_LATEST = 10**19


def plain_text(value: Any) -> Any:
    """Return the plain string of a str subclass, such as a str enum's value; any other value as it is."""
    return str.__str__(value) if isinstance(value, str) and type(value) is not str else value


def text(data: Mapping[str, Any], key: str) -> Optional[str]:
    """Read a string. A whole number counts as its digits."""
    value = data.get(key)
    return value if value is None or type(value) is str else text_of(value)


def text_of(value: object) -> Optional[str]:
    """Read a string that was taken from its object already."""
    if isinstance(value, str):
        return str(plain_text(value))
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= _LONGEST_NUMBER:
        return str(value)
    return None


def identifier(data: Mapping[str, Any], key: str) -> Optional[str]:
    """Read the id of a message, user or group: a number or text. Empty text is not an id."""
    return text(data, key) or None


def related_id(data: Mapping[str, Any], key: str) -> Optional[str]:
    """Read the id of a related message, such as the parent. Returns None for 0 too, as a number and as text."""
    value = identifier(data, key)
    return None if value == "0" else value


def number(data: Mapping[str, Any], key: str) -> Optional[int]:
    """Read a whole number, such as a count. Digits in text count."""
    value = data.get(key)
    if type(value) is int:
        return value if value.bit_length() <= _LONGEST_NUMBER else None
    if isinstance(value, float) and value == value and abs(value) != float("inf"):
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _LONGEST_DIGITS:
        return int(value)
    return None


def moment(data: Mapping[str, Any], key: str) -> Optional[int]:
    """Read a Unix time in seconds. Zero means "never", as a number and as text."""
    value = data.get(key)
    if value is None:
        return None  # most messages lack most times
    if type(value) is not int:
        value = number(data, key)
    return value if value is not None and 0 < value <= _LATEST else None


_FLAGS = {"1": True, "true": True, "0": False, "false": False}


def flag(data: Mapping[str, Any], key: str) -> Optional[bool]:
    """Read a boolean. Numbers count, and these texts: ``0``, ``1``, ``false``, ``true``."""
    value = data.get(key)
    if isinstance(value, (bool, int)):
        return bool(value)
    return _FLAGS.get(value.lower()) if isinstance(value, str) else None


def mapping(data: Mapping[str, Any], key: str) -> Dict[str, Any]:
    """Read a JSON object, or JSON text that holds one. Returns a copy; an empty dict if the field holds no object."""
    value = data.get(key)
    if isinstance(value, dict):
        return value.copy()
    return _parsed(value) if isinstance(value, str) and value.lstrip()[:1] == "{" else {}


def _parsed(value: str) -> Dict[str, Any]:
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        return {}
    # Few texts have enough brackets, and are searched.
    is_deep = value.count("{") + value.count("[") > DEEPEST and is_deeper(parsed, DEEPEST)
    return parsed if isinstance(parsed, dict) and not is_deep else {}


def is_deeper(value: Any, levels: int) -> bool:
    """Return True if a value has more levels of containers. Checks level by level, because recursion would fail."""
    level = [value]
    for _ in range(levels + 1):
        inner: List[Any] = []
        for each in level:
            if isinstance(each, dict):
                inner.extend(each.values())
            elif isinstance(each, (list, tuple)):
                inner.extend(each)
        if not inner:
            return False
        level = inner
    return True


def texts(data: Mapping[str, Any], key: str) -> Tuple[str, ...]:
    """Read a list of strings, without the items that are not strings."""
    value = data.get(key)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, (list, tuple)) else ()


def mappings(data: Mapping[str, Any], key: str) -> Tuple[Dict[str, Any], ...]:
    """Read a list of JSON objects, without the items that are not objects. Returns copies."""
    value = data.get(key)
    return tuple(item.copy() for item in value if isinstance(item, dict)) if isinstance(value, (list, tuple)) else ()


def raw(data: Mapping[str, Any]) -> Dict[str, Any]:
    """Return all fields of an object but its credentials. A plain dict, so that models can be copied and pickled."""
    copied = data.copy() if type(data) is dict else dict(data)
    if not SECRET_KEYS.isdisjoint(copied):
        for key in SECRET_KEYS:
            copied.pop(key, None)
    return copied

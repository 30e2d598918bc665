"""The parts of the checks of clients' frames and bodies. They take data, and return a list of problems.

They follow the protocol's description alone and not the client's code, so that each checks the other.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, List, Mapping

Check = Callable[[Any], bool]
Fields = Mapping[str, Check]

_UUID4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
#: JavaScript's client sends a uuid, Android's 30 letters and digits.
_RESOURCE = re.compile(rf"[A-Za-z]+-[0-9A-Za-z]+(_[0-9A-Za-z]+)*-({_UUID4}|[0-9A-Za-z]{{30}})-\d{{13}}")

#: Required beside version and apiVersion.
_MORE_APP_INFO = ("userAgent", "origin", "resource", "platform", "language", "osVersion", "sid")


def text(value: Any) -> bool:
    """Return whether the value is a text and not empty."""
    return isinstance(value, str) and value != ""


def any_text(value: Any) -> bool:
    """Return whether the value is a text."""
    return isinstance(value, str)


def number_or_text(value: Any) -> bool:
    """Return whether the value is an id: a number, or a text that is not empty."""
    return text(value) or (isinstance(value, int) and not isinstance(value, bool))


def milliseconds(value: Any) -> bool:
    """Return whether the value is a Unix time in milliseconds."""
    return isinstance(value, int) and not isinstance(value, bool) and 10**12 <= value < 10**13


def is_object(value: Any) -> bool:
    """Return whether the value is a JSON object."""
    return isinstance(value, dict)


def texts(value: Any) -> bool:
    """Return whether the value is a list of texts and not empty."""
    return isinstance(value, list) and bool(value) and all(text(item) for item in value)


def resource(value: Any) -> bool:
    """Return whether the value is a name that clients give to their connection."""
    return isinstance(value, str) and _RESOURCE.fullmatch(value) is not None


def one_of(*choices: Any) -> Check:
    """Make a check for one of these values."""
    return lambda value: value in choices


def exactly(wanted: Any) -> Check:
    """Make a check for this value."""
    return lambda value: value == wanted


def this_id(wanted: str) -> Check:
    """Make a check for this uid, in any case."""
    return lambda value: isinstance(value, str) and value.lower() == wanted


def problems(where: str, value: Any, required: Fields, optional: Fields) -> List[str]:
    """Return the problems of an object's keys and values. Values are not quoted: they may be credentials."""
    if not isinstance(value, dict):
        return [f"{where} is not an object"]
    wrong = [f"{where}.{key} is missing" for key in required if key not in value]
    for key, found in value.items():
        check = required.get(key) or optional.get(key)
        if check is None:
            wrong.append(f"{where}.{key} is not of the protocol")
        elif not check(found):
            wrong.append(f"{where}.{key} is wrong")
    return wrong


def app_info(where: str, value: Any, more: Fields) -> List[str]:
    """Return the problems of an ``appInfo``. It must have ``more`` beside version and apiVersion."""
    required: Dict[str, Check] = {"version": text, "apiVersion": exactly("v3.0"), **more}
    return problems(where, value, required, {"uts": milliseconds, **dict.fromkeys(_MORE_APP_INFO, any_text)})

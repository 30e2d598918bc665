"""Decodes JSON from bytes with orjson if it is installed (``cometchat[speed]``), else with the standard library."""

from __future__ import annotations

import json
import re
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

from .._fields import DEEPEST, is_deeper
from ._printable import printable

#: Maximum number of digits of an integer. Python refuses more than 4,300; one such number must not make a whole page
#: unreadable.
_MOST_DIGITS = 4_300

#: Number of levels of a deeper text that are read. Deeper values become null. A peer must not make a whole page
#: unreadable by one message.
_MOST_LEVELS = 128

#: Maximum length of a text that can't have too many levels, in bytes: each level has two brackets.
_FLAT = 2 * DEEPEST

#: Maximum length of a truncated object's id, in characters.
_LONGEST_ID = 64

#: Gets the ids of truncated objects, printable; "" for those without an id.
OnTruncated = Callable[[Sequence[str]], None]

#: A text, in which no quotation mark is escaped, or a bracket outside of texts. A text that does not end goes up to the
#: end. (For escapes the pattern would need a nested repetition, for which Python takes 120 bytes per escape.)
_TOKEN = re.compile(rb'"[^"]*"?|[\[{\]}]')


def _integer(digits: str) -> Union[int, float]:
    try:
        return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)
    except ValueError:  # this process allows fewer digits
        return float(digits)


_decoder: Any = json.JSONDecoder(parse_int=_integer)  # the type stubs lack some of its methods
_quick: Any = json.JSONDecoder()  # without a call for each integer
_scan: Callable[[str, int], Tuple[Any, int]] = _quick.scan_once


def plain_loads(data: bytes, on_truncated: Optional[OnTruncated] = None) -> Any:
    """Decode JSON with the standard library.

    UTF-8 without white space around the value goes directly to the scanner. All other input, invalid JSON included,
    takes the slow path, which checks the encoding and skips white space. The result is the same.
    Text that is nested too deep, more than 600 levels (on PyPy some hundred), is read down to 128 levels.

    :param on_truncated: called if that happens.
    :raises ValueError: it is not JSON.
    """
    try:
        try:
            text = data.decode()
            value, end = _scan(text, 0)
            is_whole = end == len(text)
        except (ValueError, StopIteration):
            is_whole = False
        if not is_whole:
            value = _loads(data)
    except RecursionError:
        return _truncated(data, on_truncated)
    return value if len(data) <= _FLAT or not _is_deep(data, value) else _truncated(data, on_truncated)


def _is_deep(data: bytes, value: Any) -> bool:
    """Return True if a value has too many levels. Few texts have enough brackets for that, and are searched."""
    return data.count(b"[") + data.count(b"{") > DEEPEST and is_deeper(value, DEEPEST)


def _truncated(data: bytes, on_truncated: Optional[OnTruncated]) -> Any:
    """Return the value of a text that is nested too deep, down to the levels that are read."""
    readable = _cut_below(data, _MOST_LEVELS)
    try:
        value = _loads(readable)  # not in the handler: the error's frames are as many as the levels
    except (RecursionError, ValueError):
        raise ValueError("the JSON is nested too deep") from None
    if on_truncated is not None:
        on_truncated(_truncated_ids(value, _MOST_LEVELS))
    return value


def _truncated_ids(value: Any, levels: int) -> List[str]:
    """Return the ids of the outermost objects that have an id, and null inside of ``levels`` others."""
    found: Dict[str, None] = {}
    waiting: List[Tuple[Any, int, str]] = [(value, 0, "")]
    while waiting:
        each, depth, owner = waiting.pop()
        if isinstance(each, dict):
            own = each.get("id")
            if not owner and isinstance(own, (str, int)):
                owner = printable(str(own)[:_LONGEST_ID])
            each = list(each.values())
        if isinstance(each, list):
            waiting += [(child, depth + 1, owner) for child in reversed(each)]
        elif each is None and depth == levels:
            found[owner] = None
    return list(found)


def _cut_below(data: bytes, levels: int) -> bytes:
    """Return JSON in UTF-8 with null in the place of each array and object that has ``levels`` others around it."""
    kept: List[bytes] = []
    depth = start = 0
    for token in _TOKEN.finditer(data.replace(rb"\\", b"__").replace(rb'\"', b"__")):  # of the same length
        if token[0] in (b"[", b"{"):
            depth += 1
            if depth == levels + 1:
                kept += (data[start : token.start()], b"null")
        elif token[0] in (b"]", b"}"):
            if depth == levels + 1:
                start = token.end()
            depth -= 1
    if depth <= levels:
        kept.append(data[start:])
    return b"".join(kept)


def _loads(data: bytes) -> Any:
    """Return the value. An integer with too many digits becomes a float, usually infinity."""
    return _decoder.decode(data.decode(json.detect_encoding(data), "surrogatepass"))


try:
    import orjson
except ImportError:  # pragma: no cover - the tests run with it
    loads = plain_loads
else:

    def loads(data: bytes, on_truncated: Optional[OnTruncated] = None) -> Any:
        """Return the value.

        :param on_truncated: as for :func:`plain_loads`.
        :raises ValueError: it is not JSON.
        """
        try:
            value = orjson.loads(data)
        except ValueError:
            # The standard library accepts more, such as NaN. Whether a text is a frame must not depend on installed
            # packages.
            return plain_loads(data, on_truncated)
        return value if len(data) <= _FLAT or not _is_deep(data, value) else _truncated(data, on_truncated)


def decoder(on_truncated: OnTruncated) -> Callable[[bytes], Any]:
    """Return a function of one argument that calls :func:`loads` (faster than a ``functools.partial``)."""

    def decode(data: bytes) -> Any:
        return loads(data, on_truncated)

    return decode

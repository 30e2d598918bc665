"""Decodes JSON from bytes with orjson if it is installed (``cometchat[speed]``), else with the standard library."""

from __future__ import annotations

import json
import re
from typing import Any, Callable, List, Tuple, Union

#: Maximum number of digits of an integer. Python refuses more than 4,300; one such number must not make a whole page
#: unreadable.
_MOST_DIGITS = 4_300

#: Maximum number of levels of a text that is nested too deep to be read: what lies below them becomes null. A peer must
#: not make a whole page unreadable by one message.
_MOST_LEVELS = 128

#: A text, or a bracket outside of texts. A text that does not end goes up to the end.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{\]}]', re.DOTALL)


def _integer(digits: str) -> Union[int, float]:
    try:
        return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)
    except ValueError:  # this process allows fewer digits
        return float(digits)


_decoder: Any = json.JSONDecoder(parse_int=_integer)  # the type stubs lack some of its methods
_quick: Any = json.JSONDecoder()  # without a call for each integer
_scan: Callable[[str, int], Tuple[Any, int]] = _quick.scan_once


def plain_loads(data: bytes) -> Any:
    """Decode JSON with the standard library.

    UTF-8 without white space around the value goes directly to the scanner. All other input, invalid JSON included,
    takes the slow path, which checks the encoding and skips white space. The result is the same.
    Text that is nested too deep for Python, some thousand levels, is read down to 128 levels.

    :raises ValueError: it is not JSON.
    """
    try:
        try:
            text = data.decode()
            value, end = _scan(text, 0)
        except (ValueError, StopIteration):
            return _loads(data)
        return value if end == len(text) else _loads(data)
    except RecursionError:
        readable = _cut_below(data, _MOST_LEVELS)
    try:
        return _loads(readable)  # not in the handler: the error's frames are as many as the levels
    except (RecursionError, ValueError):
        raise ValueError("the JSON is nested too deep") from None


def _cut_below(data: bytes, levels: int) -> bytes:
    """Return JSON in UTF-8 with null in the place of each array and object that has ``levels`` others around it."""
    kept: List[bytes] = []
    depth = start = 0
    for token in _TOKEN.finditer(data):
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
    loads: Callable[[bytes], Any] = plain_loads
else:

    def loads(data: bytes) -> Any:
        """Return the value.

        :raises ValueError: it is not JSON.
        """
        try:
            return orjson.loads(data)
        except ValueError:
            # The standard library accepts more, such as NaN. Whether a text is a frame must not depend on installed
            # packages.
            return plain_loads(data)

"""Decodes JSON from bytes with orjson if it is installed (``cometchat[speed]``), else with the standard library."""

from __future__ import annotations

import json
from typing import Any, Callable, Tuple, Union

#: Maximum number of digits of an integer. Python refuses more than 4,300; one such number must not make a whole page
#: unreadable.
_MOST_DIGITS = 4_300


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

    :raises ValueError: it is not JSON, or is nested too deep.
    """
    try:
        try:
            text = data.decode()
            value, end = _scan(text, 0)
        except (ValueError, StopIteration):
            return _loads(data)
        return value if end == len(text) else _loads(data)
    except RecursionError:
        # Not "from" it: it has one frame per level.
        raise ValueError("the JSON is nested too deep") from None


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

        :raises ValueError: it is not JSON, or is nested too deep.
        """
        try:
            return orjson.loads(data)
        except ValueError:
            # The standard library accepts more, such as NaN. Whether a text is a frame must not depend on installed
            # packages.
            return plain_loads(data)

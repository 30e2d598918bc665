"""JSON from bytes: with orjson where it is installed (``cometchat[speed]``), else with the standard library."""

from __future__ import annotations

import json
from typing import Any, Callable, Tuple

_decoder: Any = json.JSONDecoder()  # of whose methods the type stubs know less than there are
_scan: Callable[[str, int], Tuple[Any, int]] = _decoder.scan_once


def plain_loads(data: bytes) -> Any:
    """The value, by the standard library.

    UTF-8 with nothing around the value goes straight to its scanner. All else, and what is no JSON, goes the whole way,
    with a look at the encoding and at white space: the answer is the same.

    :raises ValueError: it is no JSON. :raises RecursionError: it is too deep.
    """
    try:
        text = data.decode()
        value, end = _scan(text, 0)
    except (ValueError, StopIteration):
        return json.loads(data)
    return value if end == len(text) else json.loads(data)


try:
    import orjson
except ImportError:  # pragma: no cover - the tests run with it
    loads: Callable[[bytes], Any] = plain_loads
else:

    def loads(data: bytes) -> Any:
        """The value.

        :raises ValueError: it is no JSON. :raises RecursionError: it is too deep.
        """
        try:
            return orjson.loads(data)
        except ValueError:
            # The standard library takes more, NaN for one: what is a frame must not depend on what is installed.
            return plain_loads(data)

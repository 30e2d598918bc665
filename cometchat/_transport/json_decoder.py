"""JSON from bytes: with orjson where it is installed (``cometchat[speed]``), else with the standard library."""

from __future__ import annotations

import json
from typing import Any, Callable

try:
    import orjson
except ImportError:  # pragma: no cover - the tests run with it
    loads: Callable[[bytes], Any] = json.loads
else:

    def loads(data: bytes) -> Any:
        """The value.

        :raises ValueError: it is no JSON. :raises RecursionError: it is too deep.
        """
        try:
            return orjson.loads(data)
        except ValueError:
            # The standard library takes more, NaN for one: what is a frame must not depend on what is installed.
            return json.loads(data)

"""Reads the JSON of clients, and checks values of tests. Python also takes NaN and infinite numbers: not JSON."""

from __future__ import annotations

import json
import math
from typing import Any


def read_json(text: str) -> Any:
    """Return the value of a JSON text.

    :raises ValueError: it is not JSON, has a number outside a double's range, or is nested too deep for Python.
    """
    try:
        return json.loads(text, parse_float=_finite, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deep") from None


def check_json(name: str, value: object) -> None:
    """Raise ValueError unless JSON can hold a value that a test gives."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{name}: give a value that JSON can hold: {error}") from None


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number that is too large")
    return number


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")

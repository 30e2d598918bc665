"""Recognizes functions whose code a call does not run. The SDK is synchronous: it would never run that code."""

from __future__ import annotations

import inspect
from typing import Optional


def deferred(value: object) -> Optional[str]:
    """Return ``"an async function"`` or ``"a generator function"``; None for any other value.

    The same holds for an object whose ``__call__`` is one.
    """
    functions = (value, getattr(value, "__call__", None))
    if any(inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each) for each in functions):
        return "an async function"
    return "a generator function" if any(inspect.isgeneratorfunction(each) for each in functions) else None

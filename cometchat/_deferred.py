"""Recognizes functions whose code a call does not run. The SDK is synchronous: it would never run that code."""

from __future__ import annotations

import inspect
from typing import Optional


def deferred(value: object) -> Optional[str]:
    """Return ``"an async function"`` or ``"a generator function"``; None for any other value.

    The same holds for an object whose ``__call__`` is one.
    """
    return _kind(value) or _kind(getattr(value, "__call__", None))


def _kind(function: object) -> Optional[str]:
    is_async, is_async_generator = inspect.iscoroutinefunction(function), inspect.isasyncgenfunction(function)
    if is_async and is_async_generator:
        return None  # no function is both, but a plain mock of ``create_autospec`` seems to be
    if is_async or is_async_generator:
        return "an async function"
    return "a generator function" if inspect.isgeneratorfunction(function) else None

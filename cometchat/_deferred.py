"""Recognizes functions whose code a call does not run: async functions, generators, and those with other arguments.

The SDK is synchronous, so it would never run the code of the first two.
"""

from __future__ import annotations

import inspect
from typing import Any, Optional


def deferred(value: object) -> Optional[str]:
    """Return ``"an async function"`` or ``"a generator function"``; None for any other value.

    The same holds for an object whose ``__call__`` is one.
    """
    return _kind(value) or _kind(getattr(value, "__call__", None))


def misfit(function: Any, *arguments: object) -> Optional[str]:
    """Return in words why a function can't be called with these arguments; None if it can."""
    try:
        # Not the signature of a wrapped function: its decorator may add arguments.
        inspect.signature(function, follow_wrapped=False).bind(*arguments)
    except TypeError as error:
        return str(error)
    except ValueError:
        return None  # a function in C need not have a signature
    return None


def _kind(function: object) -> Optional[str]:
    is_async, is_async_generator = inspect.iscoroutinefunction(function), inspect.isasyncgenfunction(function)
    if is_async and is_async_generator:
        return None  # no function is both, but a plain mock of ``create_autospec`` seems to be
    if is_async or is_async_generator:
        return "an async function"
    return "a generator function" if inspect.isgeneratorfunction(function) else None

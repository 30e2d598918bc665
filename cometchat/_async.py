"""Recognizes async functions. The SDK is synchronous: it would call them, and never run their code."""

from __future__ import annotations

import inspect


def is_async(value: object) -> bool:
    """Return True for an ``async def``, with or without ``yield``, and for an object whose ``__call__`` is one.

    A plain mock of ``create_autospec`` seems to be both kinds, which no function is.
    """
    return any(
        inspect.iscoroutinefunction(function) != inspect.isasyncgenfunction(function)
        for function in (value, getattr(value, "__call__", None))
    )

"""The exceptions that an exception wraps. Pure: loads neither socket nor ssl."""

from __future__ import annotations

from typing import Iterator


def exception_chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and the errors that it wraps as cause, context, argument or ``reason``."""
    seen = set()
    todo = [error]
    while todo:
        current = todo.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = (*current.args, getattr(current, "reason", None), current.__cause__, current.__context__)
        todo.extend(item for item in inner if isinstance(item, BaseException))


def shorten(error: BaseException) -> None:
    """Shorten a library's error to one line in a traceback, without its frames and its causes.

    The causes stay reachable, by ``__context__`` and for :func:`exception_chain`.
    """
    drop_frames(error)
    if error.__cause__ is not None:
        error.__context__ = error.__cause__
        error.__cause__ = None
    error.__suppress_context__ = True


def drop_frames(error: BaseException) -> None:
    """Drop the frames of an error that is kept, and of its causes. They would keep whole messages alive."""
    for each in exception_chain(error):
        each.__traceback__ = None

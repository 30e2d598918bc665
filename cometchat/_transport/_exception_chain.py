"""What an exception wraps. Apart from ``errors``, which loads socket and ssl."""

from __future__ import annotations

from typing import Iterator


def exception_chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it wraps: causes, contexts, and exceptions that libraries pass as arguments or ``reason``."""
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


def drop_frames(error: BaseException) -> None:
    """Of an error that is kept: its frames, and its causes', would keep what they have read, up to whole messages."""
    for each in exception_chain(error):
        each.__traceback__ = None

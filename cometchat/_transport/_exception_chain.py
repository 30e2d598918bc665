"""The exceptions that an exception wraps. Pure: loads neither socket nor ssl."""

from __future__ import annotations

from inspect import CO_VARARGS
from types import FrameType
from typing import Iterator, List


def exception_chain(error: BaseException, *, contexts: bool = True) -> Iterator[BaseException]:
    """Yield an error and the errors that it wraps as cause, context, argument or ``reason``.

    :param contexts: False to leave contexts out. The caller may be handling an older exception, which is one of them.
    """
    seen = set()
    todo = [error]
    while todo:
        current = todo.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = (*current.args, getattr(current, "reason", None), current.__cause__)
        todo += [item for item in inner if isinstance(item, BaseException)]
        if contexts and current.__context__ is not None:
            todo.append(current.__context__)


def pass_on_interruption(error: BaseException) -> None:
    """Raise what a signal handler raised, if it is this error or one that it wraps. No-op for all other errors.

    Programs limit the time of a call with a handler that raises, such as those of Celery and RQ. Its exception may be
    of any class. So the handler is found by its argument: Python passes to it the frame that it interrupts.
    """
    # urllib3 gives the traceback of the wrapped error to its own one too.
    raised = [each for each in exception_chain(error, contexts=False) if _is_of_handler(each)]
    if raised:
        raise raised[-1]


def _is_of_handler(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        interrupted, trace = trace.tb_frame, trace.tb_next
        if any(argument is interrupted for argument in _arguments(trace.tb_frame)):
            return True
    return False


def _arguments(frame: FrameType) -> List[object]:
    """Return the positional arguments of a function that runs or ran in a frame."""
    code, values = frame.f_code, frame.f_locals
    found = [values.get(name) for name in code.co_varnames[: code.co_argcount]]
    if code.co_flags & CO_VARARGS:
        found += values.get(code.co_varnames[code.co_argcount + code.co_kwonlyargcount], ())
    return found


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

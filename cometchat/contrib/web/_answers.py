"""Answers to requests, which a framework converts to its responses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterator, Mapping, Optional, Set

from ._component import COMPONENT_ETAG, component_script

#: Headers of an answer that must not be cached. Django 4.2 understands "private" only.
NO_STORE = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}

#: Headers of a stream, so that proxies do not delay its events.
STREAM_HEADERS = {**NO_STORE, "X-Accel-Buffering": "no"}


@dataclass(frozen=True)
class Answer:
    """The answer to a request."""

    status: int
    content_type: str
    body: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class StreamAnswer:
    """An answer whose body comes in pieces.

    Call ``close()`` of the body when the browser has closed the connection, even if nothing was taken from it.
    """

    status: int
    content_type: str
    body: Iterator[str]
    headers: Mapping[str, str]


def component_answer(if_none_match: Optional[str] = None) -> Answer:
    """Answer with the light's script, or with 304 if the browser already has it.

    :param if_none_match: the request's header of this name.
    """
    headers = {"Cache-Control": "no-cache", "ETag": COMPONENT_ETAG, "X-Content-Type-Options": "nosniff"}
    if if_none_match is not None and COMPONENT_ETAG in if_none_match:
        return Answer(304, "text/javascript; charset=utf-8", "", headers)
    return Answer(200, "text/javascript; charset=utf-8", component_script(), headers)


class Slot:
    """The right to hold one stream open. :meth:`release` returns it; no-op when called twice.

    :param taken: the slots of the feed. This one is added.
    """

    def __init__(self, taken: Set[Slot]) -> None:
        self._taken = taken
        taken.add(self)

    def release(self) -> None:
        """Free the slot. Takes no lock, because the garbage collector may call it on any thread."""
        self._taken.discard(self)


class CountedStream(Iterator[str]):
    """The pieces of a stream. It holds a slot until it ends, is closed or is garbage-collected."""

    def __init__(self, pieces: Iterator[str], slot: Slot) -> None:
        self._pieces = pieces
        self._slot = slot

    def __next__(self) -> str:
        try:
            return next(self._pieces)
        except BaseException:  # includes StopIteration
            self._slot.release()
            raise

    def close(self) -> None:
        """End the stream."""
        close: Optional[Callable[[], None]] = getattr(self._pieces, "close", None)
        try:
            if close is not None:
                close()
        finally:
            self._slot.release()

    def __del__(self) -> None:
        self._slot.release()

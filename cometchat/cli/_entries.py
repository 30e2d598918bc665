"""Waits for the entries of a queue so that Ctrl-C works on every system."""

from __future__ import annotations

import queue
import time
from typing import Optional, TypeVar, Union

T = TypeVar("T")

#: Maximum length of one wait, in seconds. On Windows no signal ends a wait for a lock, before Python 3.14.
_STRETCH = 0.5


def next_entry(entries: Union[queue.Queue[T], queue.SimpleQueue[T]], deadline: Optional[float] = None) -> T:
    """Wait for an entry.

    :param deadline: monotonic seconds; None for no limit.
    :raises queue.Empty: no entry came before the deadline.
    """
    while True:
        left = _STRETCH if deadline is None else min(_STRETCH, max(0.0, deadline - time.monotonic()))
        try:
            return entries.get(timeout=left)
        except queue.Empty:
            if left < _STRETCH:
                raise

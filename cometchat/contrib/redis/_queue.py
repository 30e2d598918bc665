"""A queue for one thread: limited in bytes, because one frame may have a megabyte."""

from __future__ import annotations

import queue
import threading
from typing import Any, List, NamedTuple, Optional

#: Maximum total size of the waiting frames, in bytes.
MAX_WAITING_BYTES = 16 * 2**20

#: Maximum number of waiting frames.
MAX_WAITING = 10_000

#: Maximum number of items to take at once, and the maximum total size of their frames, in bytes. Redis ends the
#: subscription of a process with 32 MiB of unread data (client-output-buffer-limit), and sends a batch without a pause.
BATCH = 500
BATCH_BYTES = 4 * 2**20


class Item(NamedTuple):
    """A task and its data."""

    kind: str
    value: Any
    size: int = 0


class LimitedQueue:
    """A queue with many writers and one reader. Signal handlers may write to it."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[Item] = queue.SimpleQueue()
        # Reentrant: a signal handler may have interrupted the thread that holds it.
        self._lock = threading.RLock()
        self._bytes = 0

    @property
    def waits(self) -> int:
        """The number of waiting items."""
        return self._items.qsize()

    def put(self, kind: str, value: Any = None) -> None:
        """Add a small item that must not be lost. Takes no lock."""
        self._items.put(Item(kind, value))

    def offer(self, kind: str, value: Any, size: int) -> bool:
        """Add a frame. Returns False and drops the frame if the queue is full."""
        with self._lock:
            if self._bytes + size > MAX_WAITING_BYTES or self._items.qsize() >= MAX_WAITING:
                return False
            self._bytes += size
        self._items.put(Item(kind, value, size))
        return True

    def take(self, wait: float) -> List[Item]:
        """Wait for an item, at most some seconds. Returns it and the following items, up to a batch."""
        items: List[Item] = []
        size = 0
        item = self._next(wait)
        while item is not None:
            items.append(item)
            size += item.size
            if len(items) >= BATCH or size >= BATCH_BYTES:
                break
            item = self._next(0.0)
        if size:
            with self._lock:
                self._bytes -= size
        return items

    def _next(self, wait: float) -> Optional[Item]:
        try:
            return self._items.get(timeout=wait) if wait > 0 else self._items.get_nowait()
        except queue.Empty:
            return None

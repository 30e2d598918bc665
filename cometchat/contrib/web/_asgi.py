"""The stream of events under ASGI: many pages, one thread, and no blocking of the event loop.

The feed's stream is an iterator that waits. While there are pages, one thread reads it and passes each piece to all
pages. A new page gets the newest status first.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from typing import AsyncIterator, Callable, List, Optional

from cometchat._fork import ForkSafe, Layer, register

from ..._log import SafeLog
from ..._runtime._threads import wait_after
from ..._thread_start import start_thread
from .._fork_lock import ForkLock
from ._answers import Slot
from ._feed import StatusFeed
from ._process import server_is_ending

logger = SafeLog(logging.getLogger("cometchat.web"))

#: Maximum age of a page's stream, in seconds. The browser then opens the next one. In between, a server can stop.
_MAX_AGE = 25.0

#: Default maximum number of pages per process. A page costs memory, and with synchronous middleware also a thread.
DEFAULT_MAX_PAGES = 100


class Page:
    """One page's stream, an asynchronous iterable. Created on any thread, and iterated on its event loop.

    :param streams: all pages.
    :param slot: of the feed; released at the end.
    """

    def __init__(self, streams: Streams, slot: Slot) -> None:
        self._streams = streams
        self._slot = slot
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._pieces: Optional[asyncio.Queue[Optional[str]]] = None

    def put(self, piece: Optional[str]) -> None:
        """Pass a piece to the page; None ends the stream. Any thread."""
        loop, pieces = self._loop, self._pieces
        if loop is None or pieces is None:
            return
        try:
            loop.call_soon_threadsafe(pieces.put_nowait, piece)
        except RuntimeError as closed:  # the server closed its loop before the page's stream
            logger.debug("A page's event loop is closed: %s", closed)

    def __aiter__(self) -> AsyncIterator[str]:
        return self._iterate()

    async def _iterate(self) -> AsyncIterator[str]:
        self._loop, self._pieces = asyncio.get_running_loop(), asyncio.Queue()
        end = time.monotonic() + _MAX_AGE * random.uniform(0.8, 1.0)  # nosec B311
        try:
            self._streams.add(self)
            while True:
                try:
                    piece = await asyncio.wait_for(self._pieces.get(), max(0.0, end - time.monotonic()))
                except asyncio.TimeoutError:
                    return
                if piece is None:
                    return
                yield piece
        finally:
            self.close()

    def close(self) -> None:
        """End the stream, even if it was never iterated. No-op when called twice."""
        self._streams.remove(self)
        self._slot.release()

    def __del__(self) -> None:
        self._slot.release()


class Streams(ForkSafe):
    """All pages of a feed under ASGI in this process.

    :param jitter: 0 to 1, at random.
    :param wait: waits for so many seconds.
    """

    def __init__(
        self,
        feed: StatusFeed,
        jitter: Callable[[], float] = random.random,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self.feed = feed
        self._jitter = jitter
        self._wait = wait
        self._lock = ForkLock()
        self._pages: List[Page] = []
        self._thread: Optional[threading.Thread] = None
        self._first: List[str] = []
        register(Layer.APPLICATION, self)

    def reset_after_fork(self) -> None:
        """In the child: forget the pages and the thread, which exist only in the parent."""
        self._pages, self._thread, self._first = [], None, []

    def open(self, max_pages: Optional[int] = None) -> Optional[Page]:
        """Return a page's stream, or None if there are too many. Any thread; does not wait."""
        slot = self.feed.take_slot(DEFAULT_MAX_PAGES if max_pages is None else max_pages)
        return None if slot is None else Page(self, slot)

    def add(self, page: Page) -> None:
        """Start to pass pieces to a page.

        :raises RuntimeError: the system can't start a thread.
        """
        with self._lock:
            if self._thread is None:
                self._first = []
                thread = threading.Thread(target=self._run, name="cometchat-events", daemon=True)
                start_thread(thread)  # it waits for the lock
                self._thread = thread
            self._pages.append(page)
            for piece in self._first:
                page.put(piece)

    def remove(self, page: Page) -> None:
        """Stop passing pieces to a page."""
        with self._lock:
            if page in self._pages:
                self._pages.remove(page)

    def _run(self) -> None:
        failures = 0
        continues = True
        while continues:
            try:
                continues = self._take()
                failures = 0
            except BaseException:  # SystemExit too
                logger.exception("Unexpected error of the status streams; they continue.")
                self._wait(wait_after(failures, self._jitter()))
                failures += 1

    def _take(self) -> bool:
        """Pass on one stream of the feed. Returns True if another must follow."""
        is_ending, given = server_is_ending(), 0
        for given, piece in enumerate(self.feed.events(is_ending), 1):
            with self._lock:
                # The start of a stream and the newest status, for a new page.
                self._first = (
                    [piece] if given == 1 else [self._first[0], piece] if "event: status" in piece else self._first
                )
                for page in self._pages:
                    page.put(piece)
                if not self._pages:
                    self._thread = None
                    return False
        with self._lock:
            if given > 1 and self._pages and not is_ending():
                return True
            for page in self._pages:  # the feed is closed, or the server stops
                page.put(None)
            self._thread = None
            return False

"""The stream of events under ASGI: any number of pages, one thread, and an event loop that is never held.

The feed's stream is an iterator that waits. One thread takes from it while there are pages, and hands each piece to all
of them; a new page gets the newest status first.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from typing import AsyncIterator, List, Optional

from ._feed import StatusFeed
from ._process import server_is_ending

logger = logging.getLogger("cometchat.web")

#: Seconds after which a page's stream ends, and the browser opens the next: a server can stop then.
_MAX_AGE = 25.0


class _Page:
    """One page: what the thread leaves here, its event loop takes."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[Optional[str]] = asyncio.Queue()

    def put(self, piece: Optional[str]) -> None:
        """From any thread. None: there is no more."""
        try:
            self._loop.call_soon_threadsafe(self._pieces.put_nowait, piece)
        except RuntimeError as closed:  # the server has ended its loop before the page's stream
            logger.debug("A page's event loop is gone: %s", closed)

    async def get(self, timeout: float) -> Optional[str]:
        """The next piece; None: no more, or the time is over."""
        try:
            return await asyncio.wait_for(self._pieces.get(), timeout)
        except asyncio.TimeoutError:
            return None


class Streams:
    """All pages of a process that a feed has under ASGI."""

    def __init__(self, feed: StatusFeed) -> None:
        self.feed = feed
        self._lock = threading.Lock()
        self._pages: List[_Page] = []
        self._thread: Optional[threading.Thread] = None
        self._first: List[str] = []

    async def events(self) -> AsyncIterator[str]:
        """A page's stream: the feed's pieces."""
        page = _Page()
        end = time.monotonic() + _MAX_AGE * random.uniform(0.8, 1.0)  # nosec B311
        self._add(page)
        try:
            while True:
                piece = await page.get(max(0.0, end - time.monotonic()))
                if piece is None:
                    return
                yield piece
        finally:
            with self._lock:
                self._pages.remove(page)

    def _add(self, page: _Page) -> None:
        with self._lock:
            self._pages.append(page)
            if self._thread is None:
                self._first = []
                self._thread = threading.Thread(target=self._run, name="cometchat-events", daemon=True)
                self._thread.start()
            else:
                for piece in self._first:
                    page.put(piece)

    def _run(self) -> None:
        while self._take():
            """Each of the feed's streams has an end; where pages are left, the next one begins."""

    def _take(self) -> bool:
        """Hand on one stream of the feed. Returns whether there is to be another."""
        is_ending, given = server_is_ending(), 0
        for given, piece in enumerate(self.feed.events(is_ending), 1):
            with self._lock:
                # How a stream begins, and the newest status: what a new page needs.
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
            for page in self._pages:  # the feed is closed, or the server ends
                page.put(None)
            self._thread = None
            return False

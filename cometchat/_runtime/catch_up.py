"""What a catch-up with missed messages works on; :mod:`.inbox` does it."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Optional, Protocol, Tuple

from .run import Run

#: Messages asked for at once: the vendor's documented size of a page.
PAGE = 100

#: Live messages that wait for a catch-up. More are let go: they are stored, and asked for too.
HELD = 1000

#: Bytes of them, likewise.
HELD_BYTES = 32 * 1024 * 1024


class History(Protocol):
    """What the service keeps."""

    def messages_after(self, message_id: str, limit: int) -> List[Dict[str, Any]]:
        """The messages after one, oldest first."""

    def newest_message_id(self) -> str:
        """The id of the newest message; ``"0"`` where there is none."""

    def renew(self) -> None:
        """Renew a login that was refused."""


class Held:
    """Live messages that wait for a catch-up.

    :ivar let_go: how many were let go since the last question.
    """

    def __init__(self) -> None:
        self.messages: Deque[Tuple[Dict[str, Any], int]] = deque()
        self._bytes = 0
        self.let_go = 0

    def add(self, body: Dict[str, Any], size: int) -> None:
        """Keep one, or let it go: it is stored."""
        if len(self.messages) < HELD and self._bytes + size <= HELD_BYTES:
            self.messages.append((body, size))
            self._bytes += size
        else:
            self.let_go += 1

    def keep(self, wanted: Callable[[Dict[str, Any]], bool]) -> None:
        """Let go of the others."""
        self.messages = deque(entry for entry in self.messages if wanted(entry[0]))
        self._bytes = sum(size for _, size in self.messages)


class Queued:
    """A message in the dispatcher's queue. ``before``: what was known before it."""

    __slots__ = ("message_id", "before", "run", "cut", "claimed")

    def __init__(self, message_id: str, before: Optional[str], run: Run) -> None:
        self.message_id = message_id
        self.before = before
        self.run = run
        self.cut = False
        self.claimed = False


class CatchUp:
    """One, with its thread. ``after`` is the newest id that is known; None: nothing is, and only that is asked for.

    :ivar limit: how many messages are asked for at once.
    """

    def __init__(self, run: Run, after: Optional[str]) -> None:
        self.run = run
        self.after = after
        self.limit = PAGE
        self.stopped = threading.Event()
        #: Set when there may be room for a page, and when it is stopped.
        self.room = threading.Event()
        self.released = self.renewed = False
        # A connection has come and gone meanwhile: once the beginning is known, what came after it is asked for.
        self.goes_on = False

"""The heartbeat: decides when to send a ping, and when a missing pong means that the connection is lost.

Recorded from the vendor's client 4.2.0: it sends ``{"action": "ping", "ack": "true"}`` 15 s after the last ping, and
considers the connection dead if no ``{"action": "pong"}`` arrives within 3 s.
"""

from __future__ import annotations

from collections import deque
from typing import Deque, Optional


class Heartbeat:
    """The heartbeat of one socket. Not thread-safe: the connection thread owns it.

    :param interval: seconds between pings.
    :param timeout: seconds to wait for a pong.
    """

    def __init__(self, interval: float, timeout: float, now: float) -> None:
        self._interval = interval
        self._timeout = timeout
        self._next_ping = now + interval
        self._expires: Optional[float] = None
        # A pong has no number, so it answers the oldest ping.
        self._unanswered: Deque[float] = deque()

    def sent(self, now: float) -> None:
        """Note that a ping of the heartbeat was sent."""
        self._unanswered.append(now)
        self._next_ping = now + self._interval
        if self._expires is None:
            self._expires = now + self._timeout

    def sent_by_user(self, now: float) -> None:
        """Note that a ping of ``Client.ping()`` was sent. Without an answer to it the connection may still be alive."""
        self._unanswered.append(now)

    def forget(self, sent_at: float) -> None:
        """Forget a ping whose caller has stopped waiting. A later pong must not be matched with it."""
        if sent_at in self._unanswered:
            self._unanswered.remove(sent_at)

    def pong(self) -> Optional[float]:
        """Note a pong. Returns the time at which its ping was sent; None if no ping waits for an answer."""
        self._expires = None
        return self._unanswered.popleft() if self._unanswered else None

    def due(self, now: float) -> bool:
        """Return True if it is time to send a ping. False while a ping is unanswered."""
        return self._expires is None and now >= self._next_ping

    def expired(self, now: float) -> bool:
        """Return True if the pong is overdue."""
        return self._expires is not None and now >= self._expires

    @property
    def deadline(self) -> float:
        """Return when to check again, on the clock of ``now``."""
        return self._next_ping if self._expires is None else self._expires

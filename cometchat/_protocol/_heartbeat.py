"""The heartbeat: when to send a ping, and when a missing pong means that the connection is gone.

Source: recorded with the vendor's client 4.2.0. It sends ``{"action": "ping", "ack": "true"}`` 15 s after the last one,
and takes the connection for dead when no ``{"action": "pong"}`` came within 3 s.
"""

from __future__ import annotations

from collections import deque
from typing import Deque, Optional


class Heartbeat:
    """The clockwork of one socket. Not thread-safe; the connection thread owns it.

    :param interval: seconds between pings.
    :param timeout: seconds to wait for a pong.
    """

    def __init__(self, interval: float, timeout: float, now: float) -> None:
        self._interval = interval
        self._timeout = timeout
        self._next_ping = now + interval
        self._expires: Optional[float] = None
        # A pong carries no number: the oldest ping is the one that it answers.
        self._unanswered: Deque[float] = deque()

    def sent(self, now: float) -> None:
        """A ping is on its way: the heartbeat's own."""
        self._unanswered.append(now)
        self._next_ping = now + self._interval
        if self._expires is None:
            self._expires = now + self._timeout

    def sent_by_user(self, now: float) -> None:
        """A ping of ``Client.ping()``: measured, but no proof against the connection if it stays unanswered."""
        self._unanswered.append(now)

    def forget(self, sent_at: float) -> None:
        """The user waits no longer for the ping sent at that time: it must not lend its time to a later pong."""
        if sent_at in self._unanswered:
            self._unanswered.remove(sent_at)

    def pong(self) -> Optional[float]:
        """A pong came. Returns when the ping was sent that it answers; None for a pong that nobody asked for."""
        self._expires = None
        return self._unanswered.popleft() if self._unanswered else None

    def due(self, now: float) -> bool:
        """A ping is to be sent. Not while one is unanswered: that one decides first."""
        return self._expires is None and now >= self._next_ping

    def expired(self, now: float) -> bool:
        """The pong did not come in time."""
        return self._expires is not None and now >= self._expires

    @property
    def deadline(self) -> float:
        """When to look again, in the seconds of ``now``."""
        return self._next_ping if self._expires is None else self._expires

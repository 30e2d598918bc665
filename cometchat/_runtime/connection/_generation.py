"""The resources of one generation of the connection, from ``connect()`` to ``disconnect()``."""

from __future__ import annotations

import threading
from typing import List, Optional

from ..._protocol import Heartbeat
from ..._transport import Socket
from ...exceptions import CometChatException
from .._session import Credentials
from .._threads import ServiceThread, Wakeup


class PingWaiter:
    """A ``ping()`` that waits for its pong. The connection thread fills it."""

    def __init__(self, sent_at: float) -> None:
        self.sent_at = sent_at
        self.done = Wakeup()
        self.round_trip: Optional[float] = None
        self.error: Optional[CometChatException] = None


class Generation:
    """The resources of one generation: its thread, its socket, and the waits on them.

    Its number shows whether it is still the current one: see :class:`.ConnectionState`.

    :param number: its number.
    :param lock: the client's lock. It guards the heartbeat and the ping waiters.
    :ivar wake: ends the wait between two attempts.
    :ivar settings_known: set when no request for the settings is in progress.
    :ivar lost_at: monotonic seconds of the newest loss; None without a loss in this generation.
    :ivar refresh_at: monotonic seconds of the next request for the settings; None without a next request.
    :ivar jwt_suspect: the last attempt failed during the wait for the answer to ``auth``, possibly because of the jwt.
    :ivar jwt_is_fresh: whether the jwt was fetched for this attempt.
    :ivar warned_of: the code of the newest error, if a warning about it was logged for the app's operator.
    """

    def __init__(self, number: int, lock: threading.RLock) -> None:
        self.number = number
        self._lock = lock
        self.wake = Wakeup()
        self.settings_known = Wakeup()
        self.settings_known.set()
        self.thread: Optional[ServiceThread] = None
        self.socket: Optional[Socket] = None
        self.credentials: Optional[Credentials] = None
        self.heartbeat: Optional[Heartbeat] = None
        self.lost_at: Optional[float] = None
        self.refresh_at: Optional[float] = None
        self.jwt_suspect = False
        self.jwt_is_fresh = False
        self.warned_of: Optional[str] = None
        self._ping_waiters: List[PingWaiter] = []

    def interrupt(self, *, at_exit: bool = False) -> None:
        """End every wait of the thread. Any thread; does not wait itself.

        :param at_exit: the interpreter exits, so threads that wait for a pong are not woken.
        """
        if at_exit:
            with self._lock:
                self._ping_waiters.clear()
        self.wake.set()
        self.settings_known.set()
        socket = self.socket
        if socket is not None:
            socket.interrupt()

    def add_ping(self, now: float) -> Optional[PingWaiter]:
        """Register a user's ping. Returns None if no connection is up."""
        with self._lock:
            if self.heartbeat is None:
                return None
            waiter = PingWaiter(now)
            self._ping_waiters.append(waiter)
            self.heartbeat.sent_by_user(now)
            return waiter

    def remove_ping(self, waiter: PingWaiter) -> None:
        """Remove a ping whose caller no longer waits."""
        with self._lock:
            if waiter in self._ping_waiters:
                self._ping_waiters.remove(waiter)
                if self.heartbeat is not None:
                    self.heartbeat.forget(waiter.sent_at)

    def pong(self, now: float) -> Optional[float]:
        """Note a pong. Returns the round trip in seconds, or None without a ping."""
        with self._lock:
            sent_at = self.heartbeat.pong() if self.heartbeat is not None else None
            for waiter in self._ping_waiters:
                if waiter.sent_at == sent_at:
                    self._ping_waiters.remove(waiter)
                    waiter.round_trip = now - waiter.sent_at
                    waiter.done.set()
                    break
        return None if sent_at is None else now - sent_at

    def release_pings(self, error: Optional[CometChatException] = None) -> None:
        """Wake every waiting ``ping()``, because the connection is down.

        :param error: the reason; None if it was closed on purpose.
        """
        with self._lock:
            self.heartbeat = None
            while self._ping_waiters:
                waiter = self._ping_waiters.pop(0)
                waiter.error = error
                waiter.done.set()

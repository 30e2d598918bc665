"""What one run of the connection thread owns, from ``connect()`` until it is not wanted any more."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from typing import Deque, Optional

from .._protocol import Heartbeat
from .._transport.base import Socket
from ..exceptions import CometChatException
from .account import Credentials

_numbers = itertools.count(1)


class PingWaiter:
    """A ``ping()`` that waits for its pong. Filled by the connection thread."""

    def __init__(self, sent_at: float) -> None:
        self.sent_at = sent_at
        self.done = threading.Event()
        self.round_trip: Optional[float] = None
        self.error: Optional[CometChatException] = None


class Run:
    """What dies with a connection thread. A disconnect leaves it behind, and what it still says is dropped."""

    def __init__(self) -> None:
        #: Later runs have higher ones.
        self.number = next(_numbers)
        self.stopped = False
        #: Ends the wait between two attempts.
        self.wake = threading.Event()
        self.socket: Optional[Socket] = None
        self.credentials: Optional[Credentials] = None
        #: Guards the heartbeat's count of pings, and who waits for one.
        self.lock = threading.Lock()
        self.heartbeat: Optional[Heartbeat] = None
        self.waiters: Deque[PingWaiter] = deque()
        self.thread: Optional[threading.Thread] = None
        #: A GET /settings is under way.
        self.refreshing = False
        #: Monotonic seconds of the next GET /settings; None: none.
        self.refresh_at: Optional[float] = None
        #: The last attempt broke off while it waited for the answer to `auth`: the jwt may be why.
        self.jwt_suspect = False
        #: The jwt was fetched for this attempt.
        self.jwt_is_fresh = False

    def stop(self, *, at_exit: bool = False) -> None:
        """End every wait of the thread. Any thread; does not wait itself.

        :param at_exit: those who wait for a pong are left to sleep.
        """
        if at_exit:
            with self.lock:
                self.waiters.clear()
        self.stopped = True
        self.wake.set()
        socket = self.socket
        if socket is not None:
            socket.interrupt()

    def add_waiter(self, now: float) -> Optional[PingWaiter]:
        """Somebody is about to send a ping. None: no connection is up."""
        with self.lock:
            if self.heartbeat is None:
                return None
            waiter = PingWaiter(now)
            self.waiters.append(waiter)
            self.heartbeat.sent_by_user(now)
            return waiter

    def remove_waiter(self, waiter: PingWaiter) -> None:
        """Somebody waits no longer."""
        with self.lock:
            if waiter in self.waiters:
                self.waiters.remove(waiter)
                if self.heartbeat is not None:
                    self.heartbeat.forget(waiter.sent_at)

    def pong(self, now: float) -> Optional[float]:
        """A pong came: the one who waits for it learns its round trip. Returns that; None: nobody had asked."""
        with self.lock:
            sent_at = self.heartbeat.pong() if self.heartbeat is not None else None
            for waiter in self.waiters:
                if waiter.sent_at == sent_at:
                    self.waiters.remove(waiter)
                    waiter.round_trip = now - waiter.sent_at
                    waiter.done.set()
                    break
        return None if sent_at is None else now - sent_at

    def release_waiters(self, error: Optional[CometChatException] = None) -> None:
        """The connection is gone, and no pong will come any more.

        :param error: why; None: it was closed on purpose.
        """
        with self.lock:
            self.heartbeat = None
            while self.waiters:
                waiter = self.waiters.popleft()
                waiter.error = error
                waiter.done.set()

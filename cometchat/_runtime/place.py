"""A client's place among processes that share one connection: what the store says, kept for the socket to read."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Callable, Deque, Optional, Union

from .._protocol.states import CometChatWSState
from .._transport import Socket
from ..exceptions import WS_CONNECTION_FAIL, CometChatException, exception_for
from ..status_store import Seat, SharedStatus
from .counters import again

logger = logging.getLogger("cometchat.connection")

#: The statuses in which a leader's connection is up.
UP_STATUSES = (CometChatWSState.CONNECTED.value, CometChatWSState.FEATURE_THROTTLED.value)

#: Frames that wait in a follower for its connection thread. More: it lags, and asks for what it missed.
MAX_FRAMES = 10_000

#: Seconds that a follower's frame may take to find room in the leader's socket: the store's thread waits for it.
_SEND = 0.1


class Place:
    """One stay in a line: what the store says, for the socket to read.

    :param on_news: called, without a lock, when it is worth another attempt.
    :param as_own: makes a follower's frame one of this process'; None: it may not be sent.
    """

    def __init__(
        self, uid: str, on_news: Callable[[], None], as_own: Callable[[str], Optional[str]] = lambda text: text
    ) -> None:
        self.uid = uid
        self._news = on_news
        self._as_own = as_own
        self.cond = threading.Condition()
        self.seat: Optional[Seat] = None
        #: Counts the changes of role: a socket belongs to one.
        self.turn = 0
        self.leads = False
        self.status: Optional[SharedStatus] = None
        self.error: Optional[CometChatException] = None
        #: What the leader relays; and a status where its connection broke, which ends the follower's at that place.
        self.frames: Deque[Union[bytes, SharedStatus]] = deque()
        #: The errors of this leader that were told.
        self.failures_told = 0
        self.real: Optional[Socket] = None
        #: This process leads, and the service has accepted its connection: what followers send can go out.
        self.up = False
        #: Counts what was worth another attempt.
        self.news = 0

    @property
    def away(self) -> bool:
        """Nobody knows who leads."""
        return self.error is not None

    def lead(self) -> None:
        """See :class:`Member`."""
        with self.cond:
            real = self._turn_over()
            self.leads = True
            self.news += 1
        if real is not None:
            real.interrupt()
        self._news()

    def follow(self, status: SharedStatus) -> None:
        """See :class:`Member`."""
        with self.cond:
            real = None
            was_up = self.status is not None and self.status.status in UP_STATUSES
            worth = self.away or (status.status in UP_STATUSES and not was_up)
            if self.status is None:
                real = self._turn_over()
            elif was_up and not _goes_on(self.status, status):
                # Though it may be up again by the time that somebody looks: what came meanwhile has to be asked for.
                self.frames.append(status)
            self.status = status
            self.news += worth
            self.cond.notify_all()
        if real is not None:
            real.interrupt()
        if worth:
            self._news()

    def away_because(self, error: CometChatException) -> None:
        """See :meth:`Member.away`."""
        with self.cond:
            real = self._turn_over()
            self.error = error
        if real is not None:
            real.interrupt()

    def lapse(self, turn: int, now: float, error: CometChatException) -> None:
        """The lead of this turn is over, if it is by now, and the store has not said yet what comes after it."""
        with self.cond:
            if turn == self.turn and self.leads and self.seat is not None and now >= self.seat.leads_until():
                self._turn_over()
                self.error = error

    def frame(self, data: bytes) -> None:
        """See :class:`Member`."""
        with self.cond:
            if self.status is None:
                return
            if len(self.frames) >= MAX_FRAMES:
                error = exception_for(WS_CONNECTION_FAIL, "This process is too slow for what its leader relays.")
                logger.warning("%s What it misses is asked for.", error)
                self.frames.clear()
                self.frames.append(SharedStatus(self.status.status, self.status.failures, error))
            self.frames.append(data)
            self.cond.notify_all()

    def send(self, text: str) -> None:
        """See :class:`Member`."""
        real = self.real
        if real is None or not self.leads or not self.up:
            return
        own = self._as_own(text)
        if own is None:
            logger.warning("What came from another process to be sent is no frame that may be: it is let go.")
            return
        try:
            real.send(own, _SEND)
        except CometChatException as error:
            logger.info("a frame of a follower's could not be sent: %s", error)

    def end(self) -> None:
        """The place is left."""
        with self.cond:
            self._turn_over()

    def broken(self, status: Optional[SharedStatus] = None) -> CometChatException:
        """Why a socket of an earlier turn is no use any more; or one that this status has ended."""
        if self.error is not None:
            return again(self.error)
        status = status or self.status
        if status is not None and status.error is not None:
            return again(status.error)
        return exception_for(WS_CONNECTION_FAIL, "The connection that processes share has gone to another of them.")

    def _turn_over(self) -> Optional[Socket]:
        """Under the lock. The real socket that has had its time, to be interrupted."""
        self.turn += 1
        self.leads, self.up, self.status, self.error = False, False, None, None
        self.failures_told = 0
        self.frames.clear()
        real, self.real = self.real, None
        self.cond.notify_all()
        return real


def _goes_on(old: SharedStatus, new: SharedStatus) -> bool:
    """It is the same connection as before: each loss is an error more."""
    return new.status in UP_STATUSES and new.failures == old.failures


class PlaceMember:
    """What the store calls; deaf once the place is left."""

    def __init__(self, place: Place) -> None:
        self.place: Optional[Place] = place

    def lead(self) -> None:
        if self.place is not None:
            self.place.lead()

    def follow(self, status: SharedStatus) -> None:
        if self.place is not None:
            self.place.follow(status)

    def away(self, error: CometChatException) -> None:
        if self.place is not None:
            self.place.away_because(error)

    def frame(self, data: bytes) -> None:
        if self.place is not None:
            self.place.frame(data)

    def send(self, text: str) -> None:
        if self.place is not None:
            self.place.send(text)

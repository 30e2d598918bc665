"""A client's membership among the processes that share a connection: keeps the store's news for the socket."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Callable, Deque, Optional, Protocol, Union

from ..._log import SafeLog
from ..._protocol._states import UP_STATUSES
from ..._transport._interfaces import Socket
from ...exceptions import WS_CONNECTION_FAIL, CometChatException, copy_of, exception_for
from ...status_store import Seat, SharedStatus
from .._threads import Wakeup

logger = logging.getLogger("cometchat.connection")

#: Maximum number of frames that wait in a follower for its connection thread. If more arrive, the follower fetches the
#: missed messages from the service.
MAX_FRAMES = 10_000

#: Maximum wait of a follower's frame for room in the leader's socket, in seconds. The store's thread waits for it.
_SEND = 0.1

#: Maximum wait for the store's thread to say why a lead ended, in seconds.
_REASON = 0.5


class Role:
    """The role of this process for the shared connection, until the next change. A socket belongs to one role.

    :ivar leads: this process holds the connection.
    :ivar status: the leader's status, if this process follows.
    :ivar error: the reason, if this process neither leads nor follows.
    :ivar has_socket: a socket has taken this role.
    :ivar failed_attempts: number of consecutive failed attempts of this leader.
    :ivar published: the newest status for the followers of this leader.
    :ivar reported_failures: number of the leader's errors that this follower has reported.
    """

    def __init__(
        self,
        *,
        leads: bool = False,
        status: Optional[SharedStatus] = None,
        error: Optional[CometChatException] = None,
    ) -> None:
        self.leads = leads
        self.status = status
        self.error = error
        self.has_socket = False
        self.failed_attempts = self.reported_failures = 0
        self.published = SharedStatus("")


class WaitingSocket(Protocol):
    """The socket of a follower whose connection thread waits for frames."""

    def route(self, data: bytes) -> None:
        """Route a frame in place of the connection thread. Never raises."""


class Membership:
    """One membership; see :class:`cometchat.status_store.Member`. The store's threads call it.

    :param wake: ends the connection thread's wait for the next attempt.
    :param as_own: converts a follower's frame to this process's; returns None if it must not be sent.
    :ivar log: of the client.
    :ivar lock: guards the rest. No code waits under it, and no code of the store runs under it.
    :ivar changed: set at each change that matters to a waiting socket.
    :ivar waiting: the socket whose connection thread waits for frames, if the store's thread may route the next one.
    :ivar routes: the store's thread routes a frame. The connection thread must not route until then.
    :ivar has_news: since the newest attempt began, a change made another one worthwhile.
    """

    def __init__(
        self, uid: str, wake: Wakeup, as_own: Callable[[str], Optional[str]], client_name: Callable[[], str]
    ) -> None:
        self.uid = uid
        self.wake = wake
        self._as_own = as_own
        self.log = SafeLog(logger, client_name)
        self.lock = threading.RLock()
        self.changed = Wakeup()
        self.seat: Optional[Seat] = None
        self.role = Role()
        #: The frames that the leader relays, and its status at the point where its connection broke.
        self.frames: Deque[Union[bytes, SharedStatus]] = deque()
        self.waiting: Optional[WaitingSocket] = None
        self.routes = False
        self.real: Optional[Socket] = None
        self.has_news = False
        #: The statuses that the store does not know yet, oldest first.
        self.unpublished: Deque[SharedStatus] = deque()
        self._publishes = threading.Lock()  # no thread waits for it
        self._ended = False

    # --- the store's calls

    def lead(self) -> None:
        """See :class:`Member`."""
        self._take_role(Role(leads=True), news=True)

    def follow(self, status: SharedStatus) -> None:
        """See :class:`Member`."""
        role = self.role
        before = role.status
        if before is None:
            self._take_role(Role(status=status), news=role.error is not None or status.status in UP_STATUSES)
            return
        with self.lock:
            if self._ended or self.role is not role:
                return
            was_up = before.status in UP_STATUSES
            worthwhile = status.status in UP_STATUSES and not was_up
            if was_up and not _is_same_connection(before, status):
                # The connection may be up again when the socket checks. The messages in between must be fetched.
                self.frames.append(status)
            role.status = status
            if worthwhile:
                self.has_news = True  # the socket resets it without the lock
        self.changed.set()
        if worthwhile:
            self.wake.set()

    def away(self, error: CometChatException) -> None:
        """See :class:`Member`."""
        self._take_role(Role(error=error), news=False)

    def frame(self, data: bytes) -> None:
        """See :class:`Member`.

        While the connection thread only waits, this thread routes the frame. That saves a change of threads.
        """
        with self.lock:
            status = self.role.status
            if self._ended or status is None:
                return
            waiting = None if self.routes or self.frames else self.waiting
            if waiting is None:
                error = self._keep(data, status)
            else:
                self.routes = True
        if waiting is not None:
            self._route(waiting, data)
            return
        self.changed.set()
        if error is not None:
            self.log.warning("%s It fetches missed messages from the service.", error)

    def send(self, text: str) -> bool:
        """See :class:`Member`."""
        real, role = self.real, self.role
        if real is None or not role.leads or role.published.status not in UP_STATUSES:
            return False
        own = self._as_own(text)
        if own is None:
            self.log.warning("Dropped a frame of another process that must not be sent.")
            return False
        try:
            real.send(own, _SEND)
        except CometChatException as error:
            self.log.info("could not send a frame of a follower: %s", error)
            return False
        return True

    def _keep(self, data: bytes, status: SharedStatus) -> Optional[CometChatException]:
        """Keep a frame for the connection thread, under the lock. Returns an error if too many wait."""
        error = None
        if len(self.frames) >= MAX_FRAMES:
            error = exception_for(WS_CONNECTION_FAIL, "This process is too slow for its leader's frames.")
            self.frames.clear()
            self.frames.append(SharedStatus(status.status, status.failures, error))
        self.frames.append(data)
        return error

    def _route(self, waiting: WaitingSocket, data: bytes) -> None:
        try:
            waiting.route(data)
        finally:
            with self.lock:
                self.routes = False
                goes_on = self.waiting is waiting and not self.frames
        if not goes_on:
            self.changed.set()

    # --- the socket's and the connection's calls

    def publish(self) -> None:
        """Pass the unpublished statuses to the store, one at a time. If several threads call it, one passes all."""
        seat = self.seat
        while seat is not None and self.unpublished and self._publishes.acquire(blocking=False):
            try:
                while self.unpublished:
                    seat.publish(self.unpublished.popleft())
            finally:
                self._publishes.release()

    def end(self) -> None:
        """End the membership. Later calls of the store are no-ops."""
        self._take_role(Role(), news=False)
        self._ended = True

    def lapse(self, role: Role, now: float, error: CometChatException) -> None:
        """End the lead of a role whose time is over, if the store has not yet named the next role.

        Wait a moment first, because the store's thread sees the end of that time too, and knows the reason.
        """
        if role is not self.role or not role.leads or self.seat is None or now < self.seat.leads_until():
            return
        lapsed = Role(error=error)
        self._take_role(lapsed, news=False, only_after=role)
        with self.lock:
            if self.role is not lapsed:
                return
            self.changed.clear()
        self.changed.wait(_REASON)
        self.changed.set()

    def why_broken(self, status: Optional[SharedStatus] = None) -> CometChatException:
        """Return why a socket must end: its role is an old one, or this status ended it."""
        role = self.role
        if role.error is not None:
            return copy_of(role.error)
        status = status or role.status
        if status is not None and status.error is not None:
            return copy_of(status.error)
        return exception_for(WS_CONNECTION_FAIL, "Another process took over the shared connection.")

    def _take_role(self, role: Role, *, news: bool, only_after: Optional[Role] = None) -> None:
        with self.lock:
            if self._ended or (only_after is not None and self.role is not only_after):
                return
            self.role = role
            self.waiting = None
            self.frames.clear()
            real, self.real = self.real, None
            if news:
                self.has_news = True
        self.changed.set()
        if real is not None:
            real.interrupt()
        if news:
            self.wake.set()


def _is_same_connection(old: SharedStatus, new: SharedStatus) -> bool:
    """Return True if the leader's connection was not lost in between. (Each loss adds an error.)"""
    return new.status in UP_STATUSES and new.failures == old.failures

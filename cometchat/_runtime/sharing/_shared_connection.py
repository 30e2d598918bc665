"""Lets one client share a connection with other processes: joins and leaves the store's line, and uses the store.

The leader has a real socket, and relays its frames to the store. A follower has a socket that the store feeds.
Everything above the socket (phases, heartbeat, listeners, missed messages) is the same in every process.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Callable, Optional

from ..._fork_marks import process_name
from ..._protocol._endpoints import MODE_DEFAULT
from ..._protocol._frames import readdress
from ..._protocol._states import UP_STATUSES, CometChatWSState
from ..._transport._interfaces import SocketFactory
from ...exceptions import WS_CONNECTION_FAIL, CometChatException, exception_for
from ...status_store import Seat, SharedStatus, StatusStore
from .._threads import Wakeup
from ..account import Account
from ._guarded_seat import join
from ._membership import Membership, Role

#: Number of consecutive failed attempts after which a leader lets another process try.
_ATTEMPTS = 3

#: The MODE of a follower whose leader is throttled, since it does not know the leader's MODE.
_THROTTLED = "SHARED"


class SharedConnection:
    """One client's part in the shared connection.

    :param status: returns the public status.
    :param new_socket: creates a real socket.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        store: StatusStore,
        account: Account,
        status: Callable[[], CometChatWSState],
        new_socket: SocketFactory,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._account = account
        self._status = status
        self.new_real_socket = new_socket
        self.clock = clock
        # Guards the next two. Re-entrant for signal handlers. No code of the store runs under it.
        self._lock = threading.RLock()
        self._membership: Optional[Membership] = None
        self._oldest = 0  # older generations have ended, and must not enter
        self._left: Optional[Seat] = None

    @property
    def leads(self) -> bool:
        """Whether this client holds the connection."""
        membership = self._membership
        if membership is None or membership.seat is None or not membership.role.leads:
            return False
        return self.clock() < membership.seat.leads_until()

    @property
    def leader(self) -> Optional[str]:
        """``host:pid`` of the process that holds the connection; None if unknown."""
        membership = self._membership
        if membership is None:
            return None
        role = membership.role
        return process_name() if role.leads else role.status.leader if role.status is not None else None

    def enter(self, generation: int, wake: Wakeup) -> Membership:
        """Return the logged-in user's membership. Joins the store if needed.

        :raises CometChatException: ``WS_CONNECTION_FAIL``: the generation has ended, before or while it joined;
            ``ERR_STATUS_STORE``: the store raised.
        """
        app_id, uid = self._account.require().owner
        with self._lock:
            if generation < self._oldest:
                raise interrupted()
            self._oldest = generation
            membership = self._membership
            if membership is not None and membership.uid == uid:
                membership.wake = wake
                return membership
            self._membership = None
            self.follow_mode(None)
        self._end(membership)
        membership = Membership(uid, wake, self._as_own, self._account.client_name)
        membership.seat = join(self._store, app_id, uid, membership, membership.log)
        with self._lock:
            if generation >= self._oldest:
                self._membership = membership
                return membership
        self._end(membership)
        raise interrupted()

    def leave(self, generation: int) -> None:
        """End the membership of this generation, or of an older one. Any thread; does not wait."""
        with self._lock:
            if generation < self._oldest:
                return
            self._oldest = generation + 1
            membership, self._membership = self._membership, None
            self.follow_mode(None)
        self._end(membership)

    def wait_left(self, timeout: float) -> None:
        """After :meth:`leave`, wait at most ``timeout`` seconds until the other processes can know."""
        seat = self._left
        if seat is not None:
            seat.wait_left(timeout)

    def release_after_fork(self) -> None:
        """In the child of a fork: release the parent's seat."""
        membership = self._membership
        if membership is not None and membership.seat is not None:
            membership.seat.release_after_fork()

    def wait_while_away(self, wake: Wakeup) -> None:
        """After a loss, wait while the store does not know which process may connect."""
        membership = self._membership
        if membership is not None and membership.role.error is not None:
            wake.wait()

    def wake_if_worthwhile(self, wake: Wakeup) -> None:
        """End the wait for the next attempt if there was news since the last attempt began.

        These returns need no jitter, because only one process, the leader, calls the service.
        """
        membership = self._membership
        if membership is not None and membership.has_news:
            wake.set()

    def publish(self, error: Optional[CometChatException] = None) -> None:
        """Publish the status to the followers, if this process leads.

        :param error: that has just been reported.
        """
        membership = self._membership
        if membership is None or membership.seat is None:
            return
        with membership.lock:
            role = membership.role
            if not role.leads or not role.has_socket:
                return  # an error that ends an older role is not an error of the leader
            status, before = self._status().value, role.published
            said = replace(before, status=status) if error is None else SharedStatus(status, before.failures + 1, error)
            steps_down = self._count_attempt(role, status, error)
            if said != before:
                role.published = said
                membership.unpublished.append(said)
        membership.publish()
        if steps_down:
            membership.seat.step_down()

    def relay(self, data: bytes) -> None:
        """Pass a frame of the service to the followers, if this process leads."""
        membership = self._membership
        if membership is not None and membership.role.leads and membership.seat is not None:
            membership.seat.relay(data)

    def follow_mode(self, status: Optional[SharedStatus]) -> None:
        """Take over the leader's MODE; None uses this process's own."""
        throttled = status is not None and status.status == CometChatWSState.FEATURE_THROTTLED.value
        self._account.shared_mode = None if status is None else _THROTTLED if throttled else MODE_DEFAULT

    def _count_attempt(self, role: Role, status: str, error: Optional[CometChatException]) -> bool:
        if status in UP_STATUSES:
            role.failed_attempts = 0
        elif error is not None and status == CometChatWSState.CONNECTING.value:
            role.failed_attempts += 1
            return role.failed_attempts % _ATTEMPTS == 0
        return False

    def _end(self, membership: Optional[Membership]) -> None:
        if membership is None:
            return
        membership.end()
        seat = membership.seat
        if seat is not None:
            self._left = seat
            seat.leave()

    def _as_own(self, text: str) -> Optional[str]:
        """Convert a follower's frame: the service accepts only frames with the connection's device id."""
        session = self._account.session
        return readdress(text, self._account.identity(session)) if session is not None else None


def interrupted() -> CometChatException:
    """Return the error of a connection that another thread has ended."""
    return exception_for(WS_CONNECTION_FAIL, "The connection was interrupted.")

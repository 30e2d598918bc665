"""The socket of a client that shares its connection: a real socket for the leader, else one that the store feeds.

A follower's socket is open while the leader's is up. It answers ``auth`` and pings itself, and it breaks when the
leader's breaks.
"""

from __future__ import annotations

from typing import Callable, List, Optional, Sequence

from ..._protocol._frames import PING
from ..._protocol._states import UP_STATUSES
from ..._transport._interfaces import Socket
from ...exceptions import (
    ERR_CONNECT_TIMEOUT,
    ERR_STATUS_STORE,
    CometChatException,
    copy_of,
    exception_for,
)
from .._threads import Wakeup
from ._membership import Membership, Role
from ._shared_connection import SharedConnection, interrupted

_ACCEPTED = b'{"type":"auth","body":{"code":"200","status":"OK"}}'
_PONG = b'{"action":"pong"}'


class SharedSocket:
    """See :class:`cometchat._transport.Socket`.

    :param generation: its number.
    :param wake: ends the wait for the next attempt when another is worthwhile.
    :param take: takes frames while the connection thread waits in :meth:`receive`.
    """

    def __init__(
        self, sharing: SharedConnection, generation: int, wake: Wakeup, take: Callable[[Sequence[bytes]], None]
    ) -> None:
        self._sharing = sharing
        self._generation = generation
        self._wake = wake
        self._take = take
        self._membership: Optional[Membership] = None
        self._role: Optional[Role] = None
        self._real: Optional[Socket] = None
        self._interrupted = False
        self._failure: Optional[BaseException] = None  # of a frame that the store's thread has routed
        self._asked_auth = False
        self._mode: Optional[str] = None

    def open(self, url: str, timeout: float) -> None:
        """Take the role from the store: open the real socket, or wait until the leader's connection is up."""
        membership = self._membership = self._sharing.enter(self._generation, self._wake)
        membership.has_news = False
        self._await_role(membership, self._sharing.clock() + timeout)
        membership.has_news = False  # the causes of this role do not start another attempt
        if self._real is None:
            return
        self._sharing.follow_mode(None)
        self._sharing.publish()
        try:
            if self._interrupted:
                raise interrupted()
            self._real.open(url, timeout)
        except CometChatException as error:
            raise self._reason(membership, error) from error.__cause__
        self._check_lead(membership)

    def receive(self, deadline: float, *, only_one: bool = False) -> List[bytes]:
        """Return messages from the service or the leader, or this socket's own answer."""
        membership, real = self._membership, self._real
        assert membership is not None
        if real is not None:
            return self._receive_real(membership, real, deadline, only_one)
        while True:
            with membership.lock:
                membership.changed.clear()
                membership.waiting = None
                rest: Optional[float] = None  # while the store's thread routes a frame
                if not membership.routes:
                    frames = self._take_frames(membership, only_one)
                    if frames is not None:
                        return frames
                    rest = deadline - self._sharing.clock()
                    if rest <= 0:
                        return []
                    if not only_one:
                        membership.waiting = self
            membership.changed.wait(rest)

    def route(self, data: bytes) -> None:
        """Route a frame in place of the connection thread, which gets the exceptions. On a thread of the store."""
        try:
            self._take((data,))
        except BaseException as error:  # SystemExit too
            self._failure = error
            self.interrupt()

    def send(self, text: str, timeout: float) -> None:
        """Send to the service, through the leader if this process follows."""
        membership = self._membership
        if self._real is not None and membership is not None:
            self._check_lead(membership)
            self._real.send(text, timeout)
            return
        if membership is None or self._role is not membership.role or membership.seat is None:
            raise interrupted()
        if not self._asked_auth:  # auth is the first frame
            self._asked_auth, answer = True, _ACCEPTED
        elif text == PING:
            answer = _PONG
        else:
            membership.seat.send_up(text)
            return
        with membership.lock:
            membership.frames.appendleft(answer)  # waiting frames must not delay an answer
        membership.changed.set()

    def interrupt(self) -> None:
        """End the waits of the connection thread."""
        self._interrupted = True
        membership, real = self._membership, self._real
        if real is not None:
            real.interrupt()
        if membership is not None:
            membership.changed.set()

    def release_after_fork(self) -> None:
        """In the child of a fork: release the parent's socket."""
        if self._real is not None:
            self._real.release_after_fork()

    def close(self) -> None:
        """Close the real socket, if there is one."""
        membership, real = self._membership, self._real
        if membership is not None and membership.real is real:
            membership.real = None
        if real is not None:
            real.close()

    def _await_role(self, membership: Membership, deadline: float) -> None:
        """Wait until this process leads, or until the leader's connection is up."""
        while True:
            with membership.lock:
                membership.changed.clear()
                if self._interrupted:
                    raise interrupted()
                role = membership.role
                if role is not self._role:
                    self._role = role
                    role.has_socket = True
            if role.leads:
                membership.lapse(role, self._sharing.clock(), _lapsed())
            with membership.lock:
                if role is not membership.role:
                    continue
                if role.leads:
                    self._real = membership.real = self._sharing.new_real_socket()
                    return
            if role.error is not None:
                raise membership.why_broken()
            if self._follow(membership, role):
                return
            if role.status is not None:
                membership.changed.wait()  # while the leader tries; an interrupt ends it
            elif self._sharing.clock() >= deadline:
                raise exception_for(ERR_CONNECT_TIMEOUT, "The status store has not yet named the connecting process.")
            else:
                membership.changed.wait(max(0.0, deadline - self._sharing.clock()))

    def _follow(self, membership: Membership, role: Role) -> bool:
        """Return True if the leader's connection is up. Raises the leader's newest error, once."""
        with membership.lock:
            status = role.status
            if status is None:
                return False
            if status.status in UP_STATUSES:
                self._mode = status.status
                self._sharing.follow_mode(status)
                membership.frames.clear()  # from before this connection
                return True
            if status.error is not None and status.failures > role.reported_failures:
                role.reported_failures = status.failures
                raise copy_of(status.error)
            return False

    def _take_frames(self, membership: Membership, only_one: bool) -> Optional[List[bytes]]:
        """Take waiting frames, under the lock. Returns None without any, and [] if the leader's MODE changed."""
        if self._failure is not None:
            raise self._failure
        if self._interrupted:
            raise interrupted()
        role = membership.role
        if self._role is not role or role.status is None:
            raise membership.why_broken()
        frames: List[bytes] = []
        while membership.frames and not (only_one and frames):
            item = membership.frames[0]
            if not isinstance(item, bytes):
                if frames:
                    break  # earlier frames are delivered first
                membership.frames.popleft()
                role.reported_failures = item.failures
                raise membership.why_broken(item)
            frames.append(item)
            membership.frames.popleft()
        if frames:
            return frames
        if role.status.status != self._mode:
            self._mode = role.status.status
            self._sharing.follow_mode(role.status)
            return []
        return None

    def _receive_real(self, membership: Membership, real: Socket, deadline: float, only_one: bool) -> List[bytes]:
        """Receive while no other process can lead."""
        clock, seat = self._sharing.clock, membership.seat
        assert seat is not None
        while True:
            until = seat.leads_until()
            try:
                frames = real.receive(min(deadline, until), only_one=only_one)
            except CometChatException as error:
                raise self._reason(membership, error) from error.__cause__
            self._check_lead(membership)  # the next leader delivers the messages after its end
            if frames or clock() >= deadline:
                return frames

    def _check_lead(self, membership: Membership) -> None:
        role, now = self._role, self._sharing.clock()
        assert role is not None
        if role is not membership.role or membership.seat is None or now >= membership.seat.leads_until():
            membership.lapse(role, now, _lapsed())
            raise self._reason(membership, _lapsed())

    def _reason(self, membership: Membership, error: CometChatException) -> CometChatException:
        """Return why a real socket ended. An ended lead is the reason, if so."""
        if self._role is membership.role or self._interrupted:
            return error
        return membership.why_broken()


def _lapsed() -> CometChatException:
    return exception_for(
        ERR_STATUS_STORE, "This process could not renew its lead in time. Another process may hold the connection now."
    )

"""The socket of a client that shares its connection: a real one where it leads, else one that the store feeds.

A follower's is open while the leader's is up; ``auth`` and pings are answered here; it breaks when the leader's does.
"""

from __future__ import annotations

from typing import Callable, List, Optional, Protocol

from .._protocol import PING
from .._protocol.states import CometChatWSState
from .._transport.base import Socket, SocketFactory
from ..exceptions import (
    ERR_CONNECT_TIMEOUT,
    ERR_STATUS_STORE,
    WS_CONNECTION_FAIL,
    CometChatException,
    exception_for,
)
from ..status_store import SharedStatus
from .counters import again
from .place import UP_STATUSES, Place

_ACCEPTED = b'{"type":"auth","body":{"code":"200","status":"OK"}}'
_PONG = b'{"action":"pong"}'


class Share(Protocol):
    """What a socket needs of :class:`.shared.Shared`."""

    new_real: SocketFactory
    clock: Callable[[], float]

    def enter(self) -> Place:
        """The place in the line."""

    def begin_attempt(self, place: Place) -> None:
        """An attempt begins."""

    def begin_turn(self, place: Place) -> None:
        """A socket takes its role, which may be another than the one before had."""

    def publish(self, status: CometChatWSState) -> None:
        """Tell the followers."""

    def throttle(self, status: Optional[SharedStatus]) -> None:
        """Whose MODE counts."""


class SharedSocket:
    """See :class:`.base.Socket`."""

    def __init__(self, shared: Share) -> None:
        self._shared = shared
        self._place: Optional[Place] = None
        self._turn = -1
        self._real: Optional[Socket] = None
        self._interrupted = False
        self._asked = False
        self._mode: Optional[str] = None

    def open(self, url: str, timeout: float) -> None:
        """Take the role that the store gives: open the real one, or wait until the leader's is up."""
        place = self._place = self._shared.enter()
        self._shared.begin_attempt(place)
        with place.cond:
            self._take_role(place, self._shared.clock() + timeout)
            self._shared.begin_attempt(place)  # what has led to this role is no news
        if self._real is None:
            return
        self._shared.throttle(None)
        self._shared.publish(CometChatWSState.CONNECTING)
        try:
            if self._interrupted:
                raise self._lost()
            self._real.open(url, timeout)
        except CometChatException as error:
            raise self._reason(place, error) from error.__cause__
        self._check_lead(place)

    def receive(self, deadline: float) -> Optional[bytes]:
        """The next message of the service, of the leader's, or an answer of this very socket."""
        return next(iter(self._receive(deadline, burst=False)), None)

    def receive_burst(self, deadline: float) -> List[bytes]:
        """The same, with those behind it that are here already."""
        return self._receive(deadline, burst=True)

    def _receive(self, deadline: float, burst: bool) -> List[bytes]:
        place, real = self._place, self._real
        assert place is not None
        if real is not None:
            return self._receive_real(place, real, deadline, burst)
        with place.cond:
            if not self._wait_for_frames(place, deadline):
                return []
            frames: List[bytes] = []
            while place.frames:
                item = place.frames[0]
                if not isinstance(item, bytes):
                    if frames:
                        break  # they are told before it
                    place.frames.popleft()
                    place.failures_told = item.failures
                    raise place.broken(item)
                frames.append(item)
                place.frames.popleft()
                if not burst:
                    break
            return frames

    def _wait_for_frames(self, place: Place, deadline: float) -> bool:
        """Under the place's lock. False: the deadline is reached, or the leader's MODE is another."""
        while True:
            if self._interrupted:
                raise self._lost()
            if self._turn != place.turn:
                raise place.broken()
            if place.frames:
                return True
            status = place.status
            if status is None:
                raise place.broken()
            if status.status != self._mode:
                self._mode = status.status
                self._shared.throttle(status)
                return False
            rest = deadline - self._shared.clock()
            if rest <= 0:
                return False
            place.cond.wait(rest)

    def send(self, text: str, timeout: float) -> None:
        """To the service, if need be by the leader."""
        place = self._place
        if self._real is not None and place is not None:
            self._check_lead(place)
            self._real.send(text, timeout)
            return
        if place is None or self._turn != place.turn or place.seat is None:
            raise self._lost()
        answer = None if self._asked and text != PING else _PONG if self._asked else _ACCEPTED
        self._asked = True
        if answer is None:
            place.seat.send_up(text)
            return
        with place.cond:
            place.frames.appendleft(answer)  # what waits is no reason for a late answer
            place.cond.notify_all()

    def interrupt(self) -> None:
        """See :class:`.base.Socket`."""
        self._interrupted = True
        place, real = self._place, self._real
        if real is not None:
            real.interrupt()
        if place is not None:
            with place.cond:
                place.cond.notify_all()

    def forsake(self) -> None:
        """See :class:`.base.Socket`."""
        if self._real is not None:
            self._real.forsake()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """See :class:`.base.Socket`."""
        place, real = self._place, self._real
        if place is not None and place.real is real:
            place.real = None
        if real is not None:
            real.close(code, reason)

    def _take_role(self, place: Place, deadline: float) -> None:
        """Under the place's lock, which the waits let go of."""
        while True:
            if self._interrupted:
                raise self._lost()
            if self._turn != place.turn:
                self._turn = place.turn
                self._shared.begin_turn(place)
            if place.leads:
                place.lapse(self._turn, self._shared.clock(), self._lapsed())
            if place.leads:
                self._real = place.real = self._shared.new_real()
                return
            if place.error is not None:
                raise place.broken()
            status = place.status
            if status is not None:
                if status.status in UP_STATUSES:
                    self._mode = status.status
                    self._shared.throttle(status)
                    place.frames.clear()  # older than this connection
                    return
                if status.error is not None and status.failures > place.failures_told:
                    place.failures_told = status.failures
                    raise again(status.error)
                place.cond.wait()  # for as long as the leader tries: an interrupt ends it
            elif self._shared.clock() >= deadline:
                raise exception_for(ERR_CONNECT_TIMEOUT, "The status store has not said yet which process connects.")
            else:
                place.cond.wait(max(0.0, deadline - self._shared.clock()))

    def _receive_real(self, place: Place, real: Socket, deadline: float, burst: bool) -> List[bytes]:
        """No longer than nobody else can lead."""
        clock, seat = self._shared.clock, place.seat
        assert seat is not None
        while True:
            until = seat.leads_until()
            try:
                if burst:
                    frames = real.receive_burst(min(deadline, until))
                else:
                    data = real.receive(min(deadline, until))
                    frames = [] if data is None else [data]
            except CometChatException as error:
                raise self._reason(place, error) from error.__cause__
            self._check_lead(place)  # what has come since it ended is the next leader's to tell
            if frames or clock() >= deadline:
                return frames

    def _check_lead(self, place: Place) -> None:
        if self._turn != place.turn or place.seat is None or self._shared.clock() >= place.seat.leads_until():
            place.lapse(self._turn, self._shared.clock(), self._lapsed())
            raise self._reason(place, self._lapsed())

    def _reason(self, place: Place, error: CometChatException) -> CometChatException:
        """Of a real socket that ended because the lead did, that is the reason."""
        if self._turn == place.turn or self._interrupted:
            return error
        return place.broken()

    def _lapsed(self) -> CometChatException:
        return exception_for(
            ERR_STATUS_STORE, "This process could not renew its lead in time; another may hold the connection now."
        )

    def _lost(self) -> CometChatException:
        return exception_for(WS_CONNECTION_FAIL, "The connection was interrupted.")

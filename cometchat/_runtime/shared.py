"""One client's share in a connection that processes share: enters and leaves the line, and speaks to its store.

Whoever leads has a real socket, and hands what comes to the store as well. Whoever follows has one that the store
feeds. All that stands above a socket (states, heartbeat, listeners, missed messages) is the same in every process.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Callable, Optional

from .._protocol.endpoints import MODE_DEFAULT
from .._protocol.frames import readdress
from .._protocol.machine import Step
from .._protocol.states import STATUS, CometChatWSState, Phase
from .._transport.base import Socket, SocketFactory
from ..exceptions import CometChatException
from ..status_store import Seat, SharedStatus, StatusStore
from .account import Account
from .connection import Connection
from .link import Link
from .place import UP_STATUSES, Place, PlaceMember
from .shared_socket import SharedSocket

logger = logging.getLogger("cometchat.connection")

#: After so many attempts of a leader's that failed in a row another process may have better luck.
_ATTEMPTS = 3

#: A MODE that is not the default one: which it is, is the leader's to know.
_THROTTLED = "SHARED"


class Shared:
    """One client's share in a connection.

    :param new_socket: makes a real one.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        store: StatusStore,
        app_id: str,
        account: Account,
        new_socket: SocketFactory,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._app_id = app_id
        self._account = account
        self.new_real = new_socket
        self.clock = clock
        # Held while the line is entered or left, which waits for nothing.
        self._moving = threading.Lock()
        self._wanted: Callable[[], bool] = lambda: False
        self._place: Optional[Place] = None
        self._member: Optional[PlaceMember] = None
        self._left: Optional[Seat] = None
        self._seen = 0
        self._turn = -1  # of the place, in which what follows counts
        self._failures = 0
        self._error: Optional[CometChatException] = None
        self._told: Optional[SharedStatus] = None
        self._wake: Optional[threading.Event] = None
        # Attempts of the leader's that failed in a row.
        self._failed = 0

    def serve(self, connection: Connection, link: Link) -> None:
        """Learn what these two know."""
        self._wanted = lambda: connection.wanted
        connection.on_step, connection.on_end, link.relay = self._step, self.leave, self._relay
        connection.on_forsake, connection.on_join = self._forsake, self._wait_left

    def new_socket(self) -> Socket:
        """A socket of either kind: which, it learns when it is opened."""
        return SharedSocket(self)

    @property
    def leads(self) -> bool:
        """The connection is this process' to make."""
        place = self._place
        return place is not None and place.leads

    def enter(self) -> Place:
        """The place in the line of who is logged in."""
        uid = self._account.require().uid
        with self._moving:
            if self._place is not None and self._place.uid == uid:
                return self._place
            self._leave()
            place = Place(uid, self._news, self._as_own)
            member = PlaceMember(place)
            place.seat = self._store.join(self._app_id, uid, member)
            self._place, self._member, self._turn = place, member, -1
            return place

    def begin_turn(self, place: Place) -> None:
        """What was before this process led is not for its followers."""
        if self._turn == place.turn:
            return
        self._turn = place.turn
        self._told, self._failures, self._error, self._failed = None, 0, None, 0

    def leave(self) -> None:
        """No connection is wanted; where one is again already, it keeps its place. Any thread; does not wait."""
        with self._moving:
            if not self._wanted():
                self._leave()

    def _leave(self) -> None:
        place, member = self._place, self._member
        self._place = self._member = None
        if place is None or member is None:
            return
        self._left = place.seat
        member.place = None
        self.throttle(None)
        if place.seat is not None:
            place.seat.leave()
        place.end()

    def _wait_left(self, timeout: float) -> None:
        seat = self._left
        if seat is not None:
            seat.wait_left(timeout)

    def _forsake(self) -> None:
        place = self._place
        if place is not None and place.seat is not None:
            place.seat.release_after_fork()

    def _step(self, step: Step) -> None:
        place = self._place
        if place is None or not place.leads or place.turn != self._turn:
            return  # what ends with an earlier role is no word of the leader's
        for notify in step.notifications:
            if notify.error is not None:
                self._failures += 1
                self._error = notify.error
        status = STATUS[step.new]
        place.up = status.value in UP_STATUSES
        self._count_failure(place, step)
        self.publish(status)

    def _count_failure(self, place: Place, step: Step) -> None:
        if place.up:
            self._failed = 0
        elif step.new is Phase.BACKOFF and any(notify.error is not None for notify in step.notifications):
            self._failed += 1
            if self._failed % _ATTEMPTS == 0 and place.seat is not None:
                place.seat.step_down()

    def publish(self, status: CometChatWSState) -> None:
        """Tell the followers, if this one leads."""
        place = self._place
        if place is None or not place.leads or place.seat is None:
            return
        said = SharedStatus(status.value, self._failures, self._error)
        if said != self._told:
            self._told = said
            place.seat.publish(said)

    def begin_attempt(self, place: Place) -> None:
        """An attempt begins: what is news from now on comes after it."""
        self._seen = place.news

    def _relay(self, data: bytes) -> None:
        place = self._place
        if place is not None and place.leads and place.seat is not None:
            place.seat.relay(data)

    def _as_own(self, text: str) -> Optional[str]:
        """The service takes of a connection what bears its device id."""
        session = self._account.session
        return readdress(text, self._account.identity(session)) if session is not None else None

    def throttle(self, status: Optional[SharedStatus]) -> None:
        """The MODE is the leader's; None: this one's."""
        throttled = status is not None and status.status == CometChatWSState.FEATURE_THROTTLED.value
        self._account.shared_mode = None if status is None else _THROTTLED if throttled else MODE_DEFAULT

    def hold(self, wake: threading.Event) -> bool:
        """While nobody knows who leads, the connection is lost, and not being made. Ended by ``wake``.

        :returns: it was so: no other wait is needed before the next attempt.
        """
        place = self._place
        if place is None or not place.away:
            return False
        logger.info("waiting for the status store: %s", place.error)
        self._wake = wake
        if place.away:
            wake.wait()
        wake.set()
        return True

    def expect(self, wake: threading.Event) -> None:
        """A wait for the next attempt begins: ended by ``wake`` when another is worth it, and be it that it is by now.

        Not by chance spread: of all processes only the one that leads goes to the service.
        """
        self._wake = wake
        place = self._place
        if place is not None and place.news != self._seen:
            wake.set()

    def _news(self) -> None:
        wake = self._wake
        if wake is not None:
            wake.set()

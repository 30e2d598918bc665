"""Routes frames: messages go to the inbox, all other events to the queue. On one thread at a time.

That is the connection thread. While it waits in the socket of a follower, it is the thread of the store.

Taps get each event before it waits for the listeners. A listener that blocks holds up the other listeners. It does not
hold up a tap.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from ..._protocol._delivery import Delivery, Self, deliver
from ..._protocol._error_codes import ErrorKind
from ..._protocol._frames import AuthAnswer, Event, EventKind, Ignored, ServerEvent, decode
from ..._transport._json_decoder import loads
from ...exceptions import WS_AUTH_FAIL, WS_CONNECTION_FAIL, ConnectionException, exception_for
from ..account import Account
from ..delivery import EventQueue, Inbox
from ..sharing import SharedConnection
from ._counters import Counters
from ._frame_log import FrameLog, logger
from ._state import Generation
from ._tap import Received, Tap


class FrameRouter:
    """Routes the frames of one client's connections.

    Each change and each copy of the taps is one step of their dict, so that no thread needs a lock.

    :param sharing: relays frames to the processes that share the connection; None without sharing.
    :param clock: monotonic seconds.
    :param read: reads JSON.
    """

    def __init__(
        self,
        account: Account,
        events: EventQueue,
        inbox: Inbox,
        counters: Counters,
        sharing: Optional[SharedConnection],
        clock: Callable[[], float] = time.monotonic,
        read: Callable[[bytes], Any] = loads,
    ) -> None:
        self._read = read
        self._account = account
        self._events = events
        self._inbox = inbox
        self._counters = counters
        self._sharing = sharing
        self._frames = FrameLog(account)
        self._clock = clock
        self._taps: Dict[int, Tap] = {}

    def add_tap(self, tap: Tap) -> None:
        """Start to hand the events to a tap, each before it is queued. Any thread."""
        self._taps[id(tap)] = tap

    def remove_tap(self, tap: Tap) -> None:
        """Stop handing events to a tap. Any thread; no-op for an unknown tap."""
        self._taps.pop(id(tap), None)

    def begin(self, generation: Generation) -> None:
        """Note that a connection is up, so that missed messages are fetched."""
        self._inbox.begin(generation.number)
        for tap in list(self._taps.values()):
            self._try(tap.opened)

    def take(self, generation: Generation, frames: Sequence[bytes]) -> None:
        """Route frames that arrived together. Their events are queued together.

        :raises CometChatException: ``WS_AUTH_FAIL``: the server withdraws its acceptance.
        """
        self._counters.frames(frames)
        me, read, logs = self._account.me, self._read, logger.isEnabledFor(logging.DEBUG)
        ephemeral: List[Tuple[Delivery, int]] = []  # with the sizes of their frames
        for data in frames:
            event = decode(data, read)
            if logs or type(event) is Ignored:
                self._note(event, data)
            if type(event) is ServerEvent:
                if self._sharing is not None:
                    self._sharing.relay(data)
                if self._taps:
                    self._hand_to_taps(event, me, data)
                if event.type == "message":
                    self._post(generation, ephemeral)  # events before it are delivered before it
                    own = me.has_sent(event.device_id)
                    self._inbox.take(generation.number, event.body, own, len(data))
                    continue
                delivery = self._delivery_of(event, me)
                if delivery is None:
                    continue
                if delivery.event_kind is EventKind.EPHEMERAL:
                    ephemeral.append((delivery, len(data)))
                else:
                    self._post(generation, ephemeral)
                    self._events.post_kept(delivery, generation.number, len(data))
            elif type(event) is not Ignored:
                self._post(generation, ephemeral)  # events before a pong are queued when ping() returns
                self._take_answer(generation, event)
        self._post(generation, ephemeral)

    def decode(self, data: bytes) -> Event:
        """Read one frame."""
        event = decode(data, self._read)
        self._note(event, data)
        return event

    def _note(self, event: Event, data: bytes) -> None:
        """Log a frame, and count it if it is not used."""
        ignored = ""
        if isinstance(event, Ignored):
            self._counters.ignored()
            ignored = event.reason
        self._frames.received(data, ignored)

    def check_accepted(self, answer: AuthAnswer) -> None:
        """Check an answer to ``auth``.

        :raises CometChatException: ``WS_AUTH_FAIL``; ``WS_CONNECTION_FAIL`` if another attempt may succeed; the
            answer's own code if an operator of the app must act first.
        """
        if answer.accepted:
            return
        said = self._frames.shown(
            ", ".join(part for part in (answer.code, answer.status, answer.message) if part) or "no code"
        )
        if answer.kind is ErrorKind.OPERATOR:
            code = self._frames.shown(answer.code or "")
            raise ConnectionException(code, "The server refuses this app.", details=said)
        if answer.kind in (ErrorKind.TEMPORARY, ErrorKind.RATE_LIMIT):
            raise exception_for(WS_CONNECTION_FAIL, "The server could not authenticate now.", details=said)
        raise exception_for(WS_AUTH_FAIL, "The server refused the authentication of the WebSocket.", details=said)

    def _take_answer(self, generation: Generation, answer: Event) -> None:
        if isinstance(answer, AuthAnswer):
            self.check_accepted(answer)
        else:  # a pong
            round_trip = generation.pong(self._clock())
            if round_trip is not None:
                self._counters.pong(round_trip)

    def _hand_to_taps(self, event: ServerEvent, me: Self, data: bytes) -> None:
        received = Received(event, me, data, len(data))
        for tap in list(self._taps.values()):
            self._try(tap.received, received)

    def _try(self, call: Callable[..., None], *args: object) -> None:
        try:
            call(*args)
        except Exception:  # a tap must not end the connection
            self._frames.log.exception("A tap raised.")

    def _post(self, generation: Generation, ephemeral: List[Tuple[Delivery, int]]) -> None:
        if ephemeral:
            self._events.post_ephemeral(ephemeral, generation.number)
            ephemeral.clear()

    def _delivery_of(self, event: ServerEvent, me: Self) -> Optional[Delivery]:
        try:
            return deliver(event, me)
        except Exception:  # a frame must not end the connection; a failure to read it is a bug of this SDK
            self._counters.ignored()
            self._frames.log.exception("A frame of type %s can't be delivered.", event.type)
            return None

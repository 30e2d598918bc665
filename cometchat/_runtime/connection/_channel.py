"""Sends on the connection that is up. Any thread."""

from __future__ import annotations

import logging
import time
from typing import Callable, Tuple

from ..._log import ClientLog
from ..._protocol import MODE_DEFAULT, MODE_LIMITED, PING, CometChatWSState
from ...exceptions import (
    ERR_FEATURE_THROTTLED,
    ERR_PONG_TIMEOUT,
    NO_WEBSOCKET_CONNECTION,
    RECEIPTS_TEMPORARILY_BLOCKED,
    CometChatException,
    client_closed,
    exception_for,
)
from .._account import Account
from .._counters import copy_of
from ._state import ConnectionState

logger = logging.getLogger("cometchat.connection")

_UP = (CometChatWSState.CONNECTED, CometChatWSState.FEATURE_THROTTLED)


class Channel:
    """Sends on the current socket of one client.

    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        state: ConnectionState,
        account: Account,
        client_name: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._account = account
        self._log = ClientLog(logger, client_name)
        self._clock = clock

    def sendable(self) -> Tuple[str, ...]:
        """Return the kinds of outbox items that may be sent now."""
        status = self._state.status
        if status is CometChatWSState.CONNECTED:
            return "message", "receipt"
        return ("message",) if status is CometChatWSState.FEATURE_THROTTLED else ()

    def check_transient(self, kind: str) -> None:
        """Check that the service accepts transient frames of a kind now.

        :param kind: ``"typing"``, ``"receipt"`` or ``"transient"``.
        :raises CometChatException: ``NO_WEBSOCKET_CONNECTION``, ``ERR_FEATURE_THROTTLED``,
            ``RECEIPTS_TEMPORARILY_BLOCKED``.
        """
        if self._state.status not in _UP:
            raise self._not_connected("send on")
        mode = self._account.mode
        if mode == MODE_DEFAULT or (mode == MODE_LIMITED and kind == "transient"):
            return
        if kind == "receipt":
            raise exception_for(
                RECEIPTS_TEMPORARILY_BLOCKED,
                "The service does not accept receipts now. outbox.mark_as_read() keeps them and sends them later.",
            )
        raise exception_for(
            ERR_FEATURE_THROTTLED, "The service does not accept typing indicators, receipts and transient messages now."
        )

    def send(self, text: str, timeout: float) -> None:
        """Send a frame.

        :param timeout: maximum wait for room in the socket, in seconds.
        """
        generation = self._state.newest
        socket = generation.socket if generation is not None and generation.heartbeat is not None else None
        if socket is None:
            raise self._not_connected("send on")
        socket.send(text, timeout)

    def ping(self, timeout: float) -> float:
        """Send a ping and wait for its pong. Returns the round trip in seconds."""
        generation = self._state.newest
        socket = generation.socket if generation is not None else None
        waiter = generation.add_ping(self._clock()) if generation is not None else None
        if generation is None or socket is None or waiter is None:
            raise self._not_connected("ping")
        try:
            socket.send(PING, timeout)
            self._log.debug("> %s", PING)
            arrived = waiter.done.wait(timeout)
        finally:
            generation.remove_ping(waiter)
        if waiter.round_trip is not None:
            return waiter.round_trip
        if arrived:
            if self._state.closed:
                raise client_closed()
            message = "The connection was closed while ping() waited."
            raise copy_of(waiter.error or exception_for(NO_WEBSOCKET_CONNECTION, message))
        raise exception_for(ERR_PONG_TIMEOUT, f"No pong came within {timeout:g} s.")

    def _not_connected(self, to: str) -> CometChatException:
        return exception_for(
            NO_WEBSOCKET_CONNECTION, f"There is no connection to {to}: it is {self._state.status}."
        )

"""The signal ``status_changed``."""

from __future__ import annotations

import logging
from typing import Optional

import blinker
from flask import Flask

from cometchat import Client, CometChatException, CometChatWSState, ConnectionListener

from ..._log import SafeLog

logger: SafeLog = SafeLog(logging.getLogger("cometchat.web"))

#: Sent at each change, on the client's dispatcher thread: ``receiver(app, status, error)``. ``error`` is the reason for
#: a failed attempt or a lost connection, or None.
status_changed: blinker.NamedSignal = blinker.signal("cometchat-status-changed")


class Signals(ConnectionListener):
    """Sends the signal for each call of the client's listener."""

    def __init__(self, app: Flask, client: Client) -> None:
        self._app = app
        self._client = client

    def _send(self, status: CometChatWSState, error: Optional[CometChatException] = None) -> None:
        if getattr(status_changed, "is_muted", False):
            return
        # Not status_changed.send(), which stops at the first receiver that raises.
        for receiver in list(status_changed.receivers_for(self._app)):
            try:
                receiver(self._app, status=status, error=error)
            except Exception:
                logger.exception("A receiver of status_changed raised: %r", receiver)

    def on_connecting(self) -> None:
        self._send(CometChatWSState.CONNECTING)

    def on_connected(self) -> None:
        self._send(CometChatWSState.CONNECTED)

    def on_feature_throttled(self) -> None:
        self._send(CometChatWSState.FEATURE_THROTTLED)

    def on_disconnected(self) -> None:
        self._send(CometChatWSState.DISCONNECTED)

    def on_connection_error(self, error: CometChatException) -> None:
        self._send(self._client.get_connection_status(), error)

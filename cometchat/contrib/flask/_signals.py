"""The signal ``status_changed``."""

from __future__ import annotations

import logging
from typing import Optional

import blinker
from flask import Flask

from cometchat import Client, CometChatException, CometChatWSState, ConnectionListener
from cometchat._status_listener import status_listener

from ..._log import SafeLog

logger: SafeLog = SafeLog(logging.getLogger("cometchat.web"))

#: Sent at each change, on the client's dispatcher thread: ``receiver(app, status, error)``. ``error`` is the reason for
#: a failed attempt or a lost connection, or None.
status_changed: blinker.NamedSignal = blinker.signal("cometchat-status-changed")


def signal_listener(app: Flask, client: Client) -> ConnectionListener:
    """Return a listener that sends the signal for each status and each error."""

    def send(status: CometChatWSState, error: Optional[CometChatException] = None) -> None:
        if getattr(status_changed, "is_muted", False):
            return
        # Not status_changed.send(), which stops at the first receiver that raises.
        for receiver in list(status_changed.receivers_for(app)):
            try:
                app.ensure_sync(receiver)(app, status=status, error=error)
            except Exception:
                logger.exception("A receiver of status_changed raised: %r", receiver)

    return status_listener(send, lambda error: send(client.get_connection_status(), error))

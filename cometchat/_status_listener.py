"""A connection listener of two functions, for the integrations and the commands."""

from __future__ import annotations

from typing import Callable

from ._protocol._states import CometChatWSState
from .exceptions import CometChatException
from .listeners import ConnectionListener


def status_listener(
    on_status: Callable[[CometChatWSState], object], on_error: Callable[[CometChatException], object]
) -> ConnectionListener:
    """Return a listener that passes each new status to one function, and each error to the other."""
    return ConnectionListener(
        on_connecting=lambda: on_status(CometChatWSState.CONNECTING),
        on_connected=lambda: on_status(CometChatWSState.CONNECTED),
        on_feature_throttled=lambda: on_status(CometChatWSState.FEATURE_THROTTLED),
        on_disconnected=lambda: on_status(CometChatWSState.DISCONNECTED),
        on_connection_error=on_error,
    )

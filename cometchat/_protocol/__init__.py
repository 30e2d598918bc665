"""The protocol, pure: no I/O, no threads, no clock, no randomness. Time comes in as ``now``.

What is here takes data and returns data, so that all of it can be tested without a socket and without waiting. It must
not import ``threading``, ``socket``, ``time`` or ``random``, nor anything of the floors above.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ._endpoints import (
    DEFAULT_API_VERSION,
    HOST_FAMILIES,
    KNOWN_REGIONS,
    MODE_DEFAULT,
    HttpEndpoints,
    SettingsEndpoints,
    app_hosts,
    endpoints_from_settings,
    http_endpoints,
    is_allowed_host,
    jwt_expiry,
    mode_of,
    websocket_url,
)
from ._error_codes import ERROR_KINDS, ErrorKind, error_kind
from ._events import EVENT_KINDS, AuthAnswer, Event, EventKind, Ignored, Pong, ServerEvent
from ._frames import (
    PING,
    PLATFORM,
    Identity,
    app_info,
    decode,
    encode_auth,
    encode_receipt,
    encode_transient_message,
    encode_typing,
    readdress,
    user_agent,
)
from ._heartbeat import Heartbeat
from ._message_ids import id_of, newer, older, rank

if TYPE_CHECKING:
    from ..models._message import message_from_dict
    from ._delivery import Delivery, Self, deliver, deliver_message
else:

    def __getattr__(name: str) -> object:
        # Later: it loads the models, which are half of the time that importing the package would take.
        if name not in ("Delivery", "Self", "deliver", "deliver_message", "message_from_dict"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = getattr(importlib.import_module(f"{__name__}._delivery"), name)
        return globals()[name]


__all__ = [
    "AuthAnswer",
    "DEFAULT_API_VERSION",
    "Delivery",
    "ERROR_KINDS",
    "EVENT_KINDS",
    "ErrorKind",
    "Event",
    "EventKind",
    "HOST_FAMILIES",
    "Heartbeat",
    "HttpEndpoints",
    "Identity",
    "Ignored",
    "KNOWN_REGIONS",
    "MODE_DEFAULT",
    "PING",
    "PLATFORM",
    "Pong",
    "Self",
    "ServerEvent",
    "SettingsEndpoints",
    "app_hosts",
    "app_info",
    "decode",
    "deliver",
    "deliver_message",
    "encode_auth",
    "encode_receipt",
    "encode_transient_message",
    "encode_typing",
    "endpoints_from_settings",
    "error_kind",
    "http_endpoints",
    "id_of",
    "is_allowed_host",
    "jwt_expiry",
    "message_from_dict",
    "mode_of",
    "newer",
    "older",
    "rank",
    "readdress",
    "user_agent",
    "websocket_url",
]

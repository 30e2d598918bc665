"""The protocol, pure: no I/O, no threads, no clock, no randomness. Time comes in as ``now``.

These modules take data and return data, so that tests need neither a socket nor waits. They must not import
``threading``, ``socket``, ``time`` or ``random``, nor a module of the floors above.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import load_name

if TYPE_CHECKING:
    from ..models._message import message_from_dict
    from ._delivery import Delivery, Self, deliver, deliver_message, is_changed
    from ._endpoints import (
        HOST_FAMILIES,
        KNOWN_REGIONS,
        MODE_DEFAULT,
        MODE_LIMITED,
        HttpEndpoints,
        SettingsEndpoints,
        app_hosts,
        endpoints_from_settings,
        http_endpoints,
        is_allowed_host,
        is_in_clear,
        is_of_unknown_region,
        jwt_expiry,
        mode_of,
        used_settings,
        websocket_url,
    )
    from ._error_codes import ERROR_KINDS, ErrorKind, error_kind, kind_of, known_kind
    from ._failures import Jwt, judge, refusal_by_close
    from ._frames import (
        EVENT_KINDS,
        PING,
        PLATFORM,
        AuthAnswer,
        Event,
        EventKind,
        Heartbeat,
        Identity,
        Ignored,
        Ping,
        Pong,
        ServerEvent,
        app_info,
        decode,
        encode_auth,
        encode_receipt,
        encode_transient_message,
        encode_typing,
        id_of,
        newer,
        older,
        rank,
        readdress,
        user_agent,
    )
    from ._login_states import LOGIN_STATE, ON_CALL, Call, LoginState, Outcome
    from ._position import Gap, Position, overlapped
    from ._states import STATUS, UP, UP_STATUSES, CometChatWSState, ConnectionMachine, Phase, Signal, Step
else:
    #: Loaded at first use, in this order: without them importing the package takes half of the time.
    _HOMES = (
        "_states",
        "_login_states",
        "_endpoints",
        "_error_codes",
        "_frames",
        "_delivery",
        "_failures",
        "_position",
    )

    def __getattr__(name: str) -> object:
        return load_name(globals(), _HOMES, name)


__all__ = [
    "AuthAnswer",
    "Call",
    "CometChatWSState",
    "ConnectionMachine",
    "Delivery",
    "ERROR_KINDS",
    "EVENT_KINDS",
    "ErrorKind",
    "Event",
    "EventKind",
    "Gap",
    "HOST_FAMILIES",
    "Heartbeat",
    "HttpEndpoints",
    "Identity",
    "Ignored",
    "Jwt",
    "KNOWN_REGIONS",
    "LOGIN_STATE",
    "LoginState",
    "MODE_DEFAULT",
    "MODE_LIMITED",
    "ON_CALL",
    "Outcome",
    "PING",
    "PLATFORM",
    "Phase",
    "Ping",
    "Pong",
    "Position",
    "STATUS",
    "Self",
    "ServerEvent",
    "SettingsEndpoints",
    "Signal",
    "Step",
    "UP",
    "UP_STATUSES",
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
    "is_changed",
    "is_in_clear",
    "is_of_unknown_region",
    "judge",
    "jwt_expiry",
    "kind_of",
    "known_kind",
    "message_from_dict",
    "mode_of",
    "newer",
    "older",
    "overlapped",
    "rank",
    "readdress",
    "refusal_by_close",
    "used_settings",
    "user_agent",
    "websocket_url",
]

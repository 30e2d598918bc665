"""The results of ``Client.stats()`` and ``Client.connection_info()``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Optional, Tuple

from .exceptions import CometChatException


@dataclass(frozen=True)
class PastError:
    """An error that listeners got in ``on_connection_error``.

    :ivar at: Unix seconds.
    :ivar phase: the phase in which it happened: ``"opening"``, ``"authenticating"``, ``"online"``, ...
    :ivar error: a copy without a traceback.
    """

    at: float
    phase: str
    error: CometChatException


@dataclass(frozen=True)
class Stats:
    """Counts since the client was created; in the child of a fork, since the fork.

    :ivar attempts: attempts to connect.
    :ivar connects: attempts whose authentication the service accepted.
    :ivar failures: failed attempts, by the error's code. Up to 100 codes; all others count as ``"other"``.
    :ivar drops: lost connections, by the error's code, limited like ``failures``. ``disconnect()`` does not count.
    :ivar close_codes: connections that the server ended with a close frame, by the frame's code. Up to 100 codes; all
        others count as 0.
    :ivar frames_received: WebSocket messages of the server while connected, pongs included.
    :ivar bytes_received: the size of these messages.
    :ivar frames_ignored: messages that the SDK does not use: of an unknown type, or not of the protocol.
    :ivar messages_fetched: messages fetched later, because the client missed them or slow listeners left no room.
    :ivar events_queued: calls that wait for the listeners now.
    :ivar events_dropped: events (typing indicators, receipts, presence, ...) dropped because listeners were slow.
    :ivar pings: answered pings.
    :ivar ping_round_trip: round trip of the newest answered ping, in seconds; None before the first one.
    :ivar ping_round_trip_mean: mean round trip of all answered pings, in seconds.
    :ivar last_errors: up to ten errors, the newest last.
    :ivar dead_letters: outbox items that became dead letters since then. ``outbox.dead_letters()`` returns the stored
        ones.
    :ivar messages_truncated: messages that were nested too deeply: more than 600 levels, on PyPy some hundred. The
        client reads them down to 128 levels, with None below, and warns of each.
    :ivar rate_limit_remaining: requests that the service still accepts in the minute of its newest answer; None if
        unknown.
    :ivar leads: whether this process holds the shared connection; None without a ``status_store``.
    """

    attempts: int
    connects: int
    failures: Mapping[str, int]
    drops: Mapping[str, int]
    close_codes: Mapping[int, int]
    frames_received: int
    bytes_received: int
    frames_ignored: int
    messages_fetched: int
    events_queued: int
    events_dropped: int
    pings: int
    ping_round_trip: Optional[float]
    ping_round_trip_mean: Optional[float]
    last_errors: Tuple[PastError, ...]
    dead_letters: int = 0
    rate_limit_remaining: Optional[int] = None
    leads: Optional[bool] = None
    messages_truncated: int = 0


@dataclass(frozen=True)
class ConnectionInfo:
    """The addresses of a client's connection and its newest error. Contains no secret.

    :ivar websocket_url: the address that the service named at login; before that, the region's usual address. None
        before a login with overridden hosts, or if the service named no usable address.
    :ivar jwt_expires_at: Unix seconds; None without a jwt, or if the jwt does not say.
    :ivar mode: the service's ``MODE``; None before the login.
    :ivar failed_in: the phase of the newest error: ``"opening"`` (TCP, TLS, upgrade), ``"authenticating"``,
        ``"renewing"`` (the jwt), ``"online"`` or ``"throttled"``; None without an error since ``connect()``.
    :ivar leader: ``host:pid`` of the process that holds the shared connection (``status_store``); None if unknown, or
        if each process has its own connection.
    """

    admin_url: str
    client_url: str
    websocket_url: Optional[str]
    uid: Optional[str]
    device_id: Optional[str]
    jwt_expires_at: Optional[float]
    mode: Optional[str]
    failed_in: Optional[str]
    last_error: Optional[CometChatException]
    leader: Optional[str] = None

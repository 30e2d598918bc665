"""A look at a client from outside: what ``Client.stats()`` and ``Client.connection_info()`` return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Optional, Tuple

from .exceptions import CometChatException


@dataclass(frozen=True)
class PastError:
    """An error that listeners heard of as ``on_connection_error``.

    :ivar at: Unix seconds.
    :ivar phase: what was being done: ``"opening"``, ``"authenticating"``, ``"online"``, ...
    :ivar error: a copy without a traceback.
    """

    at: float
    phase: str
    error: CometChatException


@dataclass(frozen=True)
class Stats:
    """Counts since the client was made; in the child of a fork, since the fork.

    :ivar attempts: attempts to connect that were begun.
    :ivar connects: those whose authentication was accepted.
    :ivar failures: attempts that failed, by the error's code; beyond 100 codes, those of all others as ``"other"``.
    :ivar drops: connections that were up and were lost, by the error's code, likewise. ``disconnect()`` does not count.
    :ivar close_codes: the same that the server ended with a close frame, by the frame's code; beyond 100, others as 0.
    :ivar frames_received: WebSocket messages of the server, once connected, pongs among them.
    :ivar bytes_received: of these.
    :ivar frames_ignored: those that say nothing to this SDK: of an unknown type, or not of the protocol.
    :ivar messages_fetched: messages that were missed, or that slow listeners left no room for, and asked for later.
    :ivar events_queued: calls that wait for the listeners now.
    :ivar events_dropped: events (typing indicators, receipts, presence, ...) dropped because listeners were slow.
    :ivar pings: pings that were answered.
    :ivar ping_round_trip: seconds, of the newest of them; None: none yet.
    :ivar ping_round_trip_mean: seconds, of all.
    :ivar last_errors: the newest ten, the newest last.
    :ivar dead_letters: items of the outbox that this client has made dead letters. ``outbox.dead_letters()`` has those
        that are kept.
    :ivar rate_limit_remaining: requests that the service still took in the minute of its newest answer; None if no
        answer has said it.
    :ivar leads: whether this process holds the connection that processes share; None without a ``status_store``.
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


@dataclass(frozen=True)
class ConnectionInfo:
    """Where a client is connected, and what went wrong last. Holds no secret.

    :ivar websocket_url: what the service named after the login; before that, the usual address of the region. None if
        the hosts are overridden and there was no login yet, or if the service named no usable address.
    :ivar jwt_expires_at: Unix seconds; None where there is no jwt, or it does not say.
    :ivar mode: the service's ``MODE``; None before the login.
    :ivar failed_in: the phase of the newest error: ``"opening"`` (TCP, TLS, upgrade), ``"authenticating"``,
        ``"renewing"`` (the jwt), ``"online"`` or ``"throttled"``; None where there was none since ``connect()``.
    :ivar leader: ``host:pid`` of the process that holds the connection that processes share (``status_store``); None if
        it is not known, or if each process has a connection of its own.
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
